"""The history service on a broker in memory: what is stored is told to everyone concerned, whatever fails."""

from collections.abc import Sequence

import pytest

from history import wiring
from shared.broker.topology import EVENTS, RECEIPTS
from shared.commands import Stage
from shared.envelope import Envelope
from shared.errors import QueueFull
from shared.events import MessageFailed, MessageStored, ReceiptAdvanced, Rejected, Stored
from shared.ids import MessageId, new_id
from tests.fakes.clock import settle
from tests.fakes.history_commands import ALICE, BOB, DIRECT, EVE, acknowledge, send
from tests.fakes.history_process import SETTINGS, TOPOLOGY, PlayedHistory


@pytest.fixture
async def history() -> PlayedHistory:
    return await PlayedHistory.declared()


def places(envelopes: Sequence[Envelope]) -> list[tuple[str, int]]:
    """The client id and seq of each stored message."""
    return [
        (envelope.body.message.client_id, envelope.body.message.seq)
        for envelope in envelopes
        if isinstance(envelope.body, MessageStored)
    ]


async def test_a_stored_message_is_told_to_its_sender_and_to_delivery(history: PlayedHistory) -> None:
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


async def test_the_store_is_told_of_each_shard_that_is_taken_over(history: PlayedHistory) -> None:
    async with history.run():
        await settle()
        assert history.store.taken_over == TOPOLOGY.shards
        history.connection.break_connection()
        history.connection.restore()
        await history.clock.advance(60)
        assert history.store.taken_over == 2 * TOPOLOGY.shards


async def test_a_repeat_is_answered_and_told_as_the_first_time(history: PlayedHistory) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB))
        first, told = await gateway.got(Stored), await history.events()
        await history.order(send("c1", to=BOB))
        assert await gateway.got(Stored) == first
        assert [event.body for event in await history.events()] == [event.body for event in told]


async def test_a_refused_message_is_answered_and_told_to_nobody_else(history: PlayedHistory) -> None:
    async with history.run(), history.gateway() as gateway:
        (_, refused) = await history.order(send("c1", to=BOB), send("c1", sender=EVE))
        answers = {answer.id: answer.body for answer in await gateway.received()}
        rejected = answers[refused.id]
        assert isinstance(rejected, Rejected)
        assert rejected.error.code == "not_a_member"
        assert places(await history.events()) == [("c1", 1)]
        assert await history.left() == []


async def test_a_refusal_that_its_gateway_cannot_take_becomes_a_receipt(history: PlayedHistory) -> None:
    async with history.run(), history.gateway("gw-2") as elsewhere:
        await history.order(send("c1", sender=EVE), reply_to="gw-1")
        (failed,) = await elsewhere.got(MessageFailed)
        assert (failed.sender_id, failed.client_id, failed.error.code) == (EVE, "c1", "not_a_member")


async def test_a_gateway_that_is_gone_holds_nothing_up(history: PlayedHistory) -> None:
    async with history.run():
        await history.order(send("c1", to=BOB), send("c2"), reply_to="gw-1")
        assert places(await history.events()) == [("c1", 1), ("c2", 2)]
        assert await history.left() == []


async def test_an_outage_of_the_store_holds_the_order_and_parks_nothing(history: PlayedHistory) -> None:
    async with history.run(), history.gateway() as gateway:
        history.store.fail(3)
        await history.order(send("c1", to=BOB))
        await history.order(send("c2"))
        assert await gateway.received() == []
        await history.clock.advance(30)
        assert places(await history.events()) == [("c1", 1), ("c2", 2)]
        assert [answer.seq for answer in await gateway.got(Stored)] == [1, 2]
        assert await history.left() == []


async def test_an_event_that_the_broker_did_not_take_is_told_again(history: PlayedHistory) -> None:
    async with history.run(), history.gateway() as gateway:
        history.connection.failing, history.connection.failures = EVENTS, 1
        await history.order(send("c1", to=BOB))
        await history.clock.advance(30)
        assert places(await history.events()) == [("c1", 1)]
        assert {answer.seq for answer in await gateway.got(Stored)} == {1}
        assert await history.left() == []


async def test_an_event_that_a_full_queue_does_not_take_is_told_when_there_is_room(history: PlayedHistory) -> None:
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


async def test_a_poisoned_message_is_given_up_alone_and_its_sender_learns_it(history: PlayedHistory) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB), send("c2", content="poison"), send("c3"))
        assert places(await history.events()) == [("c1", 1), ("c3", 2)]
        await gateway.received()
        await history.clock.advance(100)
        (failed,) = await gateway.got(MessageFailed)
        assert (failed.sender_id, failed.client_id) == (ALICE, "c2")
        assert await history.left() == ["history.commands.dead"]


async def test_a_receipt_is_told_once_and_read_implies_delivered(history: PlayedHistory) -> None:
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


async def test_a_receipt_that_may_have_been_lost_is_told_again(history: PlayedHistory) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB))
        await history.order(acknowledge(1), reply_to=None)
        first = await gateway.got(ReceiptAdvanced)
        await history.clock.advance(5)
        await history.order(acknowledge(1), reply_to=None, attempt=2)
        assert await gateway.got(ReceiptAdvanced) == first


async def test_a_receipt_that_the_broker_did_not_take_is_told_again(history: PlayedHistory) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB))
        history.connection.failing, history.connection.failures = RECEIPTS, 1
        await history.order(acknowledge(1), reply_to=None)
        await history.clock.advance(30)
        assert [receipt.stage for receipt in await gateway.got(ReceiptAdvanced)] == [Stage.DELIVERED, Stage.READ]


async def test_a_receipt_that_one_full_gateway_does_not_take_is_not_done_again(history: PlayedHistory) -> None:
    history.connection.failing, history.connection.failures = RECEIPTS, 1
    history.connection.failure = QueueFull("A gateway's queue was told to be full.")
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB))
        await history.order(acknowledge(1, Stage.DELIVERED), reply_to=None)
        assert await history.left() == []
        await history.order(acknowledge(1, Stage.READ), reply_to=None)
        assert [receipt.stage for receipt in await gateway.got(ReceiptAdvanced)] == [Stage.READ]


async def test_a_strangers_receipt_is_dropped(history: PlayedHistory) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(send("c1", to=BOB))
        await gateway.received()
        await history.order(acknowledge(1, user=EVE), acknowledge(1), reply_to=None)
        assert {receipt.user_id for receipt in await gateway.got(ReceiptAdvanced)} == {BOB}
        assert await history.left() == []


async def test_it_is_ready_while_broker_and_store_are(history: PlayedHistory) -> None:
    service = wiring.build(SETTINGS, broker=history.connection, store=history.store, clock=history.clock, new_id=new_id)
    assert {name: await check() for name, check in service.ready.items()} == {"broker": True, "store": True}
    history.store.fail(1)
    history.broker.break_connection()
    assert {name: await check() for name, check in service.ready.items()} == {"broker": False, "store": False}
