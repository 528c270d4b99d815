"""Entries of rooms too large to name their members: delivery finds out whom they are for, and does not ask for each."""

import pytest
from msgspec.structs import replace

from shared.broker.topology import SIGNALS_ROUTE
from shared.commands import ConversationKind, SetTyping
from shared.events import (
    ConversationChange,
    ConversationChanged,
    ConversationState,
    Entry,
    Handoff,
    MessageDeleted,
    MessageEdited,
    MessageStored,
    ReactionChanged,
    SessionOpened,
    TypingChanged,
)
from shared.history_api import MemberList
from shared.ids import MessageId, UserId
from tests.fakes.clock import START
from tests.fakes.delivery import ALICE, BOB, CAROL, ROOM, Delivery, stored
from tests.fakes.running import PlayedGateway, running
from tests.fakes.sessions import session

MEMBERS = tuple(UserId(f"u{n:04}") for n in range(1000))
EVERYBODY = (ALICE, BOB, *MEMBERS)


@pytest.fixture
async def delivery() -> Delivery:
    made = await Delivery.declared()
    made.history.set_room(ROOM, *EVERYBODY, version=3)
    return made


async def come(gateway: PlayedGateway, *users: UserId) -> None:
    await gateway.tell(*(SessionOpened(session=session(f"s-{u}", u, gateway_id=gateway.id)) for u in users))
    await gateway.received()


def message(version: int, *, members_version: int = 3) -> MessageStored:
    return replace(stored(version), members_version=members_version)


def membership(version: int, change: ConversationChange, *users: UserId) -> ConversationChanged:
    state = ConversationState(
        id=ROOM,
        number=1,
        kind=ConversationKind.GROUP,
        created_at=START,
        member_count=len(EVERYBODY),
        members_version=version,
    )
    return ConversationChanged(
        audience=(),
        members_version=version,
        conversation_id=ROOM,
        version=version,
        at=START,
        change=change,
        actor_id=ALICE,
        user_ids=users,
        conversation=state,
    )


def joined(version: int, *users: UserId) -> ConversationChanged:
    return membership(version, ConversationChange.MEMBER_ADDED, *users)


def removed(version: int, *users: UserId) -> ConversationChanged:
    return membership(version, ConversationChange.MEMBER_REMOVED, *users)


async def told(gateway: PlayedGateway) -> list[tuple[int, set[UserId]]]:
    """Give the version and the recipients of each entry that has come."""
    handoffs = await gateway.got(Handoff)
    return [(entry_of(handoff).version, set(handoff.recipients)) for handoff in handoffs]


def entry_of(handoff: Handoff) -> Entry:
    assert not isinstance(handoff.event, TypingChanged)
    return handoff.event


async def test_every_kind_of_entry_reaches_the_members_that_are_there_on_each_gateway(delivery: Delivery) -> None:
    said = stored(4).message
    entries: tuple[Entry, ...] = (
        message(4),
        MessageEdited(message=replace(said, version=5), at=START, audience=(), members_version=3),
        ReactionChanged(
            conversation_id=ROOM,
            version=6,
            at=START,
            message_id=MessageId("m4"),
            seq=4,
            user_id=BOB,
            emoji="x",
            audience=(),
            members_version=3,
        ),
        MessageDeleted(message=replace(said, version=7), at=START, audience=(), members_version=3),
    )
    async with running(delivery.build()), delivery.gateway("gw-1") as one, delivery.gateway("gw-2") as two:
        await come(one, ALICE, CAROL)
        await come(two, ALICE, BOB)
        await delivery.happen(*entries)
        assert await told(one) == [(version, {ALICE}) for version in (4, 5, 6, 7)]
        assert await told(two) == [(version, {ALICE, BOB}) for version in (4, 5, 6, 7)]
    assert delivery.history.asked == 1


async def test_a_handoff_carries_no_list_of_members(delivery: Delivery) -> None:
    hiding = replace(message(4), hidden_from=(BOB, *MEMBERS))
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE, BOB)
        await delivery.happen(hiding)
        (handoff,) = await gateway.got(Handoff)
        entry = entry_of(handoff)
        assert set(handoff.recipients) == {ALICE, BOB}  # the position of who may not see it moves on, too
        assert (entry.audience, entry.members_version, entry.hidden_from) == ((), None, (BOB,))


async def test_a_member_gets_no_entry_from_before_it_was_one(delivery: Delivery) -> None:
    delivery.history.rooms[ROOM] = MemberList(version=8, since={ALICE: 0, BOB: 7})
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE, BOB)
        await delivery.happen(message(7), joined(8, BOB), message(9, members_version=8))
        assert await told(gateway) == [(7, {ALICE}), (8, {ALICE, BOB}), (9, {ALICE, BOB})]


async def test_who_is_removed_gets_that_as_the_last(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE, BOB)
        await delivery.happen(message(4), removed(5, BOB), message(6, members_version=5))
        assert await told(gateway) == [(4, {ALICE, BOB}), (5, {ALICE, BOB}), (6, {ALICE})]


async def test_who_is_removed_is_told_also_where_the_list_is_newer_already(delivery: Delivery) -> None:
    delivery.history.rooms[ROOM] = MemberList(version=5, since={ALICE: 0})
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE, BOB)
        await delivery.happen(removed(5, BOB), message(6, members_version=5))
        assert await told(gateway) == [(5, {ALICE, BOB}), (6, {ALICE})]


async def test_a_burst_of_joins_asks_history_once(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE, CAROL)
        await delivery.happen(message(4))
        for version in range(5, 105):
            await delivery.happen(joined(version, UserId(f"new{version}")))
        await delivery.happen(joined(105, CAROL), message(106, members_version=105))
        assert (await told(gateway))[-2:] == [(105, {ALICE, CAROL}), (106, {ALICE, CAROL})]
    assert delivery.history.asked == 1


async def test_a_list_with_a_change_missing_is_asked_for_anew(delivery: Delivery) -> None:
    """Another replica had the shard meanwhile: what it handled is not known here."""
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE, BOB, CAROL)
        await delivery.happen(message(4))
        delivery.history.rooms[ROOM] = MemberList(version=7, since={ALICE: 0, CAROL: 6})
        await gateway.received()
        await delivery.happen(joined(7, CAROL))  # bob went with version 5 or 6
        await delivery.happen(message(8, members_version=7))
        assert await told(gateway) == [(7, {ALICE, CAROL}), (8, {ALICE, CAROL})]
    assert delivery.history.asked == 2


async def test_other_entries_do_not_hide_that_a_change_of_members_is_missing(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE, BOB)
        await delivery.happen(message(4))
        delivery.history.rooms[ROOM] = MemberList(version=5, since={ALICE: 0})
        await gateway.received()
        await delivery.happen(message(6, members_version=5))
        assert await told(gateway) == [(6, {ALICE})]


async def test_a_repeated_entry_changes_nothing(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE, BOB)
        await delivery.happen(message(4), removed(5, BOB), joined(6, BOB))
        await gateway.received()
        await delivery.happen(removed(5, BOB), message(7, members_version=6))
        assert (await told(gateway))[-1] == (7, {ALICE, BOB})
    assert delivery.history.asked == 1


async def test_while_history_is_away_the_shard_waits_and_loses_nothing(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE)
        delivery.history.available = False
        await delivery.happen(message(4), message(5))
        await delivery.happen(message(6))
        await delivery.clock.advance(6)
        assert await told(gateway) == []
        delivery.history.available = True
        await delivery.clock.advance(6)
        assert [version for version, _ in await told(gateway)] == [4, 5, 6]
        assert await delivery.left() == []


async def test_an_entry_that_history_does_not_know_yet_is_tried_again_alone(delivery: Delivery) -> None:
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE)
        await delivery.happen(message(4), message(6, members_version=5), message(7))
        assert [version for version, _ in await told(gateway)] == [4, 7]
        delivery.history.set_room(ROOM, *EVERYBODY, version=5)
        await delivery.clock.advance(1)
        assert [version for version, _ in await told(gateway)] == [6]


async def test_entries_of_a_conversation_that_is_gone_are_for_nobody(delivery: Delivery) -> None:
    delivery.history.rooms.clear()
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE)
        await delivery.happen(message(4))
        assert await told(gateway) == []
        assert await delivery.left() == []


async def test_typing_in_a_large_room_goes_by_the_list_that_its_entries_confirm(delivery: Delivery) -> None:
    signal = SetTyping(conversation_id=ROOM, user_id=ALICE, name="Alice", active=True)
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE, BOB, CAROL)
        await delivery.happen(stored(3, ALICE, CAROL))  # it was small then
        await delivery.happen(message(4))
        await gateway.received()
        await delivery.publish(SIGNALS_ROUTE, signal)
        (handoff,) = await gateway.got(Handoff)
        assert handoff.recipients == (BOB,)
    assert delivery.history.asked == 1


async def test_who_was_removed_from_a_small_room_is_not_shown_typing_any_more(delivery: Delivery) -> None:
    leaving = removed(5, BOB)
    leaving = replace(
        leaving,
        members_version=None,
        audience=(ALICE, BOB, CAROL),
        conversation=replace(leaving.conversation, member_ids=(ALICE, CAROL)),
    )
    async with running(delivery.build()), delivery.gateway("gw-1") as gateway:
        await come(gateway, ALICE, BOB, CAROL)
        await delivery.happen(stored(4, ALICE, BOB, CAROL), leaving)
        assert await told(gateway) == [(4, {ALICE, BOB, CAROL}), (5, {ALICE, BOB, CAROL})]
        await delivery.publish(SIGNALS_ROUTE, SetTyping(conversation_id=ROOM, user_id=ALICE, name="Alice", active=True))
        (handoff,) = await gateway.got(Handoff)
        assert handoff.recipients == (CAROL,)
    assert delivery.history.asked == 0
