"""The history service on a broker in memory: what becomes of changes is told to everyone concerned."""

from typing import TypeGuard

import msgspec
import pytest
from prometheus_client import REGISTRY

from shared.broker.topology import COMMANDS
from shared.commands import Alteration, Role, Stage
from shared.envelope import Body
from shared.errors import QueueFull
from shared.events import (
    Changed,
    ConversationChange,
    ConversationChanged,
    ConversationCreated,
    LogEvent,
    MessageDeleted,
    MessageEdited,
    ReactionChanged,
    ReceiptAdvanced,
    Rejected,
)
from shared.ids import UserId
from tests.fakes.clock import settle
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
from tests.fakes.history_process import PlayedHistory


@pytest.fixture
async def history() -> PlayedHistory:
    return await PlayedHistory.declared()


async def test_a_conversation_is_created_and_then_there(history: PlayedHistory) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(create_direct())
        await history.order(create_direct(), msgspec.structs.replace(create_direct(), creator_id=EVE))
        (made, there, refused) = [answer.body for answer in await gateway.received()]
        assert isinstance(made, ConversationCreated)
        assert isinstance(there, ConversationCreated)
        assert isinstance(refused, Rejected)
        assert (made.conversation_id, made.number, made.created) == (DIRECT, 1, True)
        assert (there.conversation_id, there.number, there.created) == (DIRECT, 1, False)


async def test_a_created_group_is_told_to_its_members(history: PlayedHistory) -> None:
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


async def test_a_change_is_told_to_the_members_and_to_whoever_asked(history: PlayedHistory) -> None:
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


async def test_a_refused_change_is_answered_alone_and_what_is_so_already_with_the_version(
    history: PlayedHistory,
) -> None:
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


async def test_a_repeated_change_is_answered_and_told_as_the_first_time(history: PlayedHistory) -> None:
    async with history.run(), history.gateway() as gateway:
        await history.order(create_group())
        command = rename("New")
        await history.order(command)
        (_, told), (answer,) = await history.events(), await gateway.got(Changed)
        await history.order(command, attempt=2)
        assert [event.body for event in await history.events()] == [told.body]
        assert await gateway.got(Changed) == [answer]


async def test_changes_keep_their_order_through_an_outage(history: PlayedHistory) -> None:
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


async def test_who_leaves_a_space_leaves_its_channels(history: PlayedHistory) -> None:
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


async def test_a_removal_that_is_repeated_late_takes_nobody_out_who_has_come_back(history: PlayedHistory) -> None:
    async with history.run():
        await history.order(create_space())
        removal = remove(BOB, by=BOB, room=SPACE)
        await history.order(removal)
        await history.order(add(BOB, room=SPACE))
        await history.order(create_channel((ALICE, BOB), parent=SPACE))
        await history.events()
        await history.order(removal)
        assert [event.body.conversation_id for event in await history.events() if is_change(event.body)] == [SPACE]


async def test_a_full_queue_of_its_own_does_not_hold_it_up(history: PlayedHistory) -> None:
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


async def test_a_large_rooms_events_name_the_member_list_and_receipts_go_to_the_reader(history: PlayedHistory) -> None:
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


async def test_it_counts_what_became_of_changes(history: PlayedHistory) -> None:
    def counted() -> list[float]:
        labels = [{"change": "conversation", "result": result} for result in ("changed", "unchanged", "refused")]
        return [REGISTRY.get_sample_value("warren_history_alterations_total", each) or 0 for each in labels]

    before = counted()
    async with history.run():
        await history.order(create_group())
        await history.order(rename("A"), rename("A"), rename("B", by=BOB))
    assert [after - earlier for after, earlier in zip(counted(), before, strict=True)] == [1, 1, 1]
