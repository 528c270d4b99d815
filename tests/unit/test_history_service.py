"""The history service on a broker in memory: what is stored is told to everyone concerned, whatever fails."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TypeAlias, TypeGuard

import msgspec
import pytest
from prometheus_client import REGISTRY

from history import wiring
from history.sequence import Appended
from history.settings import HistorySettings
from history.store import NO_GATEWAYS
from shared.broker.api import Headers
from shared.broker.memory import MemoryBroker
from shared.broker.topology import COMMANDS, EVENTS, RECEIPTS, Exchange, Route, Topology
from shared.commands import Acknowledge, Alteration, CreateConversation, Role, SendMessage, Stage
from shared.envelope import Body, Envelope, decode_batch, encode, join
from shared.errors import BrokerUnavailable, QueueFull, WarrenError
from shared.events import (
    Changed,
    ConversationChange,
    ConversationChanged,
    ConversationCreated,
    LogEvent,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageStored,
    ReactionChanged,
    ReceiptAdvanced,
    Rejected,
    Stored,
)
from shared.ids import GatewayId, MessageId, UserId, new_id
from tests.fakes.clock import FakeClock, settle
from tests.fakes.history_commands import (
    ALICE,
    BOB,
    CHANNEL,
    DIRECT,
    EVE,
    GROUP,
    SPACE,
    acknowledge,
    add,
    create_channel,
    create_direct,
    create_group,
    create_space,
    delete,
    edit,
    react,
    remove,
    rename,
    send,
)
from tests.fakes.history_store import FakeMessageStore
from tests.fakes.running import PlayedGateway, running

Order: TypeAlias = SendMessage | Acknowledge | CreateConversation | Alteration
TOPOLOGY = Topology(shards=2)
SETTINGS = HistorySettings.from_env(
    {
        "WARREN_SHARDS": "2",
        "WARREN_MODE": "development",
        "WARREN_PUBLISH_PACE_S": "0",
        "WARREN_ADMIN_TOKEN": "admin",
        "WARREN_INTERNAL_TOKEN": "internal",
    }
)


class PoisonedStore(FakeMessageStore):
    """A store with a bug that one content brings out."""

    async def append(
        self,
        commands: Sequence[SendMessage],
        *,
        at: datetime,
        repeated: bool,
        via: Mapping[MessageId, GatewayId] = NO_GATEWAYS,
    ) -> list[Appended | WarrenError]:
        if any(command.content == "poison" for command in commands):
            raise ZeroDivisionError
        return await super().append(commands, at=at, repeated=repeated, via=via)


class FlakyBroker(MemoryBroker):
    """A connection that fails as often as it is told, publishing to one exchange."""

    failing: Exchange | None = None
    failures = 0
    failure: WarrenError = BrokerUnavailable("The connection was told to fail.")

    async def publish(self, route: Route, body: bytes, *, headers: Headers | None = None) -> None:
        if route.exchange is self.failing and self.failures:
            self.failures -= 1
            raise self.failure
        await super().publish(route, body, headers=headers)


class History:
    """One history replica on a broker in memory, and what surrounds it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.broker = MemoryBroker(self.clock)
        self.store = PoisonedStore()
        self.connection = FlakyBroker(self.clock, parent=self.broker)

    def run(self) -> AbstractAsyncContextManager[None]:
        service = wiring.build(SETTINGS, broker=self.connection, store=self.store, clock=self.clock, new_id=new_id)
        return running(service)

    def gateway(self, name: str = "gw-1") -> AbstractAsyncContextManager[PlayedGateway]:
        return PlayedGateway.open(name, self.broker.connect(), self.clock)

    async def order(self, *commands: Order, reply_to: str | None = "gw-1", attempt: int = 1) -> list[Envelope]:
        """Publish commands to their conversation's shard, and let history carry them out."""
        envelopes = [
            Envelope(
                id=new_id(),
                trace_id=new_id(),
                occurred_at=self.clock.now(),
                body=command,
                attempt=attempt,
                reply_to=GatewayId(reply_to) if reply_to else None,
            )
            for command in commands
        ]
        route = TOPOLOGY.commands_route(commands[0].conversation_id)
        await self.broker.publish(route, join([encode(envelope) for envelope in envelopes]))
        await settle()
        return envelopes

    async def events(self) -> list[Envelope]:
        """Take what history has told delivery."""
        envelopes: list[Envelope] = []
        for queue in TOPOLOGY.delivery_events:
            while (delivery := await self.broker.get(queue)) is not None:
                envelopes += decode_batch(delivery.body)[0]
                await delivery.ack()
        return envelopes

    async def left(self) -> list[str]:
        """Name the queues of commands, retries and dead letters in which something waits."""
        queues = [queue for queue in TOPOLOGY.queues if queue.family == "history.commands"]
        return [queue.name for queue in queues if await self.broker.depth(queue)]


@pytest.fixture
async def history() -> History:
    made = History()
    await made.broker.declare(TOPOLOGY)
    return made


def places(envelopes: Sequence[Envelope]) -> list[tuple[str, int]]:
    """The client id and seq of each stored message."""
    return [
        (envelope.body.message.client_id, envelope.body.message.seq)
        for envelope in envelopes
        if isinstance(envelope.body, MessageStored)
    ]


async def test_a_stored_message_is_told_to_its_sender_and_to_delivery(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        (command,) = await history.order(send("c1", to=BOB, message_id="m-1"))
        (answer,) = await gateway.received()
        (event,) = await history.events()
        assert (answer.id, answer.trace_id, event.trace_id) == (command.id, command.trace_id, command.trace_id)
        assert isinstance(event.body, MessageStored)
        message = event.body.message
        assert (event.body.audience, event.body.previous_at) == ((ALICE, BOB), None)
        assert answer.body == Stored(
            message_id=MessageId("m-1"),
            conversation_id=DIRECT,
            client_id="c1",
            seq=1,
            version=1,
            number=message.number,
            created_at=history.clock.now(),
        )
        assert await history.left() == []


async def test_the_store_is_told_of_each_shard_that_is_taken_over(history: History) -> None:
    async with history.run():
        await settle()
        assert history.store.taken_over == TOPOLOGY.shards
        history.connection.break_connection()
        history.connection.restore()
        await history.clock.advance(60)
        assert history.store.taken_over == 2 * TOPOLOGY.shards


async def test_a_repeat_is_answered_and_told_as_the_first_time(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB))
        first, told = await gateway.got(Stored), await history.events()
        await history.order(send("c1", to=BOB))
        assert await gateway.got(Stored) == first
        assert [event.body for event in await history.events()] == [event.body for event in told]


async def test_a_refused_message_is_answered_and_told_to_nobody_else(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        (_, refused) = await history.order(send("c1", to=BOB), send("c1", sender=EVE))
        answers = {answer.id: answer.body for answer in await gateway.received()}
        rejected = answers[refused.id]
        assert isinstance(rejected, Rejected)
        assert rejected.error.code == "not_a_member"
        assert places(await history.events()) == [("c1", 1)]
        assert await history.left() == []


async def test_a_refusal_that_its_gateway_cannot_take_becomes_a_receipt(history: History) -> None:
    async with history.run(), history.gateway("gw-2") as elsewhere:
        await history.order(send("c1", sender=EVE), reply_to="gw-1")
        (failed,) = await elsewhere.got(MessageFailed)
        assert (failed.sender_id, failed.client_id, failed.error.code) == (EVE, "c1", "not_a_member")


async def test_a_gateway_that_is_gone_holds_nothing_up(history: History) -> None:
    async with history.run():
        await history.order(send("c1", to=BOB), send("c2"), reply_to="gw-1")
        assert places(await history.events()) == [("c1", 1), ("c2", 2)]
        assert await history.left() == []


async def test_an_outage_of_the_store_holds_the_order_and_parks_nothing(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        history.store.fail(3)
        await history.order(send("c1", to=BOB))
        await history.order(send("c2"))
        assert await gateway.received() == []
        await history.clock.advance(30)
        assert places(await history.events()) == [("c1", 1), ("c2", 2)]
        assert [answer.seq for answer in await gateway.got(Stored)] == [1, 2]
        assert await history.left() == []


async def test_an_event_that_the_broker_did_not_take_is_told_again(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        history.connection.failing, history.connection.failures = EVENTS, 1
        await history.order(send("c1", to=BOB))
        await history.clock.advance(30)
        assert places(await history.events()) == [("c1", 1)]
        assert {answer.seq for answer in await gateway.got(Stored)} == {1}
        assert await history.left() == []


async def test_an_event_that_a_full_queue_does_not_take_is_told_when_there_is_room(history: History) -> None:
    history.connection.failing, history.connection.failures = EVENTS, 10**6
    history.connection.failure = QueueFull("Delivery's queue was told to be full.")
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB))
        await history.clock.advance(100)
        history.connection.failures = 0
        await history.clock.advance(10)
        assert places(await history.events()) == [("c1", 1)]
        assert await gateway.got(MessageFailed) == []
        assert await history.left() == []


async def test_a_poisoned_message_is_given_up_alone_and_its_sender_learns_it(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB), send("c2", content="poison"), send("c3"))
        assert places(await history.events()) == [("c1", 1), ("c3", 2)]
        await gateway.received()
        await history.clock.advance(100)
        (failed,) = await gateway.got(MessageFailed)
        assert (failed.sender_id, failed.client_id) == (ALICE, "c2")
        assert await history.left() == ["history.commands.dead"]


async def test_a_receipt_is_told_once_and_read_implies_delivered(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB), send("c2"))
        await gateway.received()
        (*_, last) = await history.order(acknowledge(1, Stage.DELIVERED), acknowledge(2), reply_to=None)
        receipts = await gateway.received()
        assert [receipt.trace_id for receipt in receipts] == [last.trace_id] * 2
        at, audience = history.clock.now(), (ALICE, BOB)
        assert [receipt.body for receipt in receipts] == [
            ReceiptAdvanced(conversation_id=DIRECT, user_id=BOB, stage=stage, seq=2, at=at, audience=audience)
            for stage in (Stage.DELIVERED, Stage.READ)
        ]
        await history.order(acknowledge(2), acknowledge(1), reply_to=None)
        assert await gateway.received() == []


async def test_a_receipt_that_may_have_been_lost_is_told_again(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB))
        await history.order(acknowledge(1), reply_to=None)
        first = await gateway.got(ReceiptAdvanced)
        await history.clock.advance(5)
        await history.order(acknowledge(1), reply_to=None, attempt=2)
        assert await gateway.got(ReceiptAdvanced) == first


async def test_a_receipt_that_the_broker_did_not_take_is_told_again(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB))
        history.connection.failing, history.connection.failures = RECEIPTS, 1
        await history.order(acknowledge(1), reply_to=None)
        await history.clock.advance(30)
        assert [receipt.stage for receipt in await gateway.got(ReceiptAdvanced)] == [Stage.DELIVERED, Stage.READ]


async def test_a_receipt_that_one_full_gateway_does_not_take_is_not_done_again(history: History) -> None:
    history.connection.failing, history.connection.failures = RECEIPTS, 1
    history.connection.failure = QueueFull("A gateway's queue was told to be full.")
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB))
        await history.order(acknowledge(1, Stage.DELIVERED), reply_to=None)
        assert await history.left() == []
        await history.order(acknowledge(1, Stage.READ), reply_to=None)
        assert [receipt.stage for receipt in await gateway.got(ReceiptAdvanced)] == [Stage.READ]


async def test_a_strangers_receipt_is_dropped(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB))
        await gateway.received()
        await history.order(acknowledge(1, user=EVE), acknowledge(1), reply_to=None)
        assert {receipt.user_id for receipt in await gateway.got(ReceiptAdvanced)} == {BOB}
        assert await history.left() == []


async def test_a_conversation_is_created_and_then_there(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(create_direct())
        await history.order(create_direct(), msgspec.structs.replace(create_direct(), creator_id=EVE))
        (made, there, refused) = [answer.body for answer in await gateway.received()]
        assert isinstance(made, ConversationCreated)
        assert isinstance(there, ConversationCreated)
        assert isinstance(refused, Rejected)
        assert (made.conversation_id, made.number, made.created) == (DIRECT, 1, True)
        assert (there.conversation_id, there.number, there.created) == (DIRECT, 1, False)


async def test_a_created_group_is_told_to_its_members(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(create_group())
        (created,) = [event.body for event in await history.events()]
        assert isinstance(created, ConversationChanged)
        assert (created.version, created.change, created.audience) == (1, ConversationChange.CREATED, (ALICE, BOB, EVE))
        await history.order(create_group())
        assert await history.events() == []
        await history.order(create_group(), attempt=2)  # what was told the first time may have been lost
        assert [event.body for event in await history.events()] == [created]
        assert [answer.created for answer in await gateway.got(ConversationCreated)] == [True, False, False]


async def test_a_change_is_told_to_the_members_and_to_whoever_asked(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(create_group())
        await history.order(send("c1", room=GROUP, message_id="m-1"))
        await history.events()
        await gateway.received()
        commands: list[Alteration] = [
            edit("m-1"),
            react("m-1"),
            rename("New"),
            add(BOB, role=Role.ADMIN),
            remove(EVE),
            delete("m-1"),
        ]
        await history.order(*commands)
        events = [event.body for event in await history.events()]
        assert [type(event) for event in events] == [
            MessageEdited,
            ReactionChanged,
            ConversationChanged,
            ConversationChanged,
            ConversationChanged,
            MessageDeleted,
        ]
        answers = await gateway.got(Changed)
        assert [answer.version for answer in answers] == [3, 4, 5, 6, 7, 8]
        assert [answer.change_id for answer in answers] == [command.change_id for command in commands]
        assert await history.left() == []


async def test_a_refused_change_is_answered_alone_and_what_is_so_already_with_the_version(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(create_group())
        await history.events()
        await gateway.received()
        envelopes = await history.order(rename("A"), rename("B", by=BOB), rename("A"))
        answers = {answer.id: answer.body for answer in await gateway.received()}
        (first, refused, same) = [answers[envelope.id] for envelope in envelopes]
        assert isinstance(refused, Rejected)
        assert refused.error.code == "forbidden"
        assert isinstance(first, Changed)
        assert isinstance(same, Changed)
        assert (first.version, same.version) == (2, 2)
        assert len(await history.events()) == 1


async def test_a_repeated_change_is_answered_and_told_as_the_first_time(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(create_group())
        command = rename("New")
        await history.order(command)
        (_, told), (answer,) = await history.events(), await gateway.got(Changed)
        await history.order(command, attempt=2)
        assert [event.body for event in await history.events()] == [told.body]
        assert await gateway.got(Changed) == [answer]


async def test_changes_keep_their_order_through_an_outage(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(create_group())
        await history.events()
        history.store.fail(2)
        await history.order(rename("A"), rename("B"), rename("C"))
        await history.clock.advance(30)
        names = [event.body.conversation.name for event in await history.events() if is_change(event.body)]
        assert names == ["A", "B", "C"]
        assert [answer.version for answer in await gateway.got(Changed)] == [2, 3, 4]
        assert await history.left() == []


async def test_who_leaves_a_space_leaves_its_channels(history: History) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(create_space())
        await history.order(create_channel((ALICE, BOB), parent=SPACE))
        await history.events()
        await history.order(remove(BOB, by=BOB, room=SPACE))
        await settle()
        removals = {event.body.conversation_id: event.body for event in await history.events() if is_change(event.body)}
        assert {each: (event.change, event.user_ids, event.actor_id) for each, event in removals.items()} == {
            SPACE: (ConversationChange.MEMBER_REMOVED, (BOB,), BOB),
            CHANNEL: (ConversationChange.MEMBER_REMOVED, (BOB,), None),
        }
        assert len(await gateway.got(Changed)) == 1
        assert await history.left() == []


async def test_a_full_queue_of_its_own_does_not_hold_it_up(history: History) -> None:
    async with history.run():
        await history.order(create_space())
        await history.order(create_channel((ALICE, BOB), parent=SPACE))
        await history.events()
        history.connection.failing, history.connection.failures = COMMANDS, 10**6
        history.connection.failure = QueueFull("History's queue was told to be full.")
        await history.order(remove(BOB, by=BOB, room=SPACE))
        await history.order(rename("New", room=SPACE))  # it is not held up
        changes = [event.body.change for event in await history.events() if is_change(event.body)]
        assert changes == [ConversationChange.MEMBER_REMOVED, ConversationChange.UPDATED]
        history.connection.failures = 0
        await history.clock.advance(5)
        left = [event.body for event in await history.events() if is_change(event.body)]
        assert (CHANNEL, (BOB,)) in [(event.conversation_id, event.user_ids) for event in left]
        assert await history.left() == []


def is_change(body: Body) -> TypeGuard[ConversationChanged]:
    return isinstance(body, ConversationChanged)


async def test_a_large_rooms_events_name_the_member_list_and_receipts_go_to_the_reader(history: History) -> None:
    people = [UserId(f"u{n}") for n in range(600)]
    async with history.run(), history.gateway() as gateway:
        await history.order(create_group([ALICE, *people]))
        await history.order(send("c1", room=GROUP))
        await history.order(acknowledge(1, Stage.DELIVERED, user=people[0], room=GROUP), reply_to=None)
        events = [event.body for event in await history.events()]
        assert [(event.audience, event.members_version) for event in events if isinstance(event, LogEvent)] == [
            ((), 1),
            ((), 1),
        ]
        (receipt,) = await gateway.got(ReceiptAdvanced)
        assert receipt.audience == (people[0],)


async def test_it_counts_what_became_of_changes(history: History) -> None:
    def counted() -> list[float]:
        labels = [{"change": "conversation", "result": result} for result in ("changed", "unchanged", "refused")]
        return [REGISTRY.get_sample_value("warren_history_alterations_total", each) or 0 for each in labels]

    before = counted()
    async with history.run():
        await history.order(create_group())
        await history.order(rename("A"), rename("A"), rename("B", by=BOB))
    assert [after - earlier for after, earlier in zip(counted(), before, strict=True)] == [1, 1, 1]


async def test_it_is_ready_while_broker_and_store_are(history: History) -> None:
    service = wiring.build(SETTINGS, broker=history.connection, store=history.store, clock=history.clock, new_id=new_id)
    assert {name: await check() for name, check in service.ready.items()} == {"broker": True, "store": True}
    history.store.fail(1)
    history.broker.break_connection()
    assert {name: await check() for name, check in service.ready.items()} == {"broker": False, "store": False}
