"""Members, receipts, channels, numbers and timelines: what history says, and to whom it says nothing."""

import pytest
from msgspec.structs import replace

from history.timeline import time_of
from shared.commands import ConversationKind, JoinRule, Role, Stage
from shared.errors import Invalid, NotAMember, NotFound
from shared.history_api import MemberList, Receipt, SyncQuery
from shared.ids import ConversationId, GatewayId, MessageId, UserId, new_id
from tests.fakes.history_commands import ALICE, BOB, DIRECT, EVE, GROUP, acknowledge, create_group, send
from tests.fakes.history_world import GroupWorld

SPACE = ConversationId("space")


@pytest.fixture
async def world() -> GroupWorld:
    return await GroupWorld.made()


async def test_strangers_are_told_nothing(world: GroupWorld) -> None:
    await world.store.append([send("c1", to=BOB)], at=world.clock.now(), repeated=False)
    none = ConversationId("none")
    for user, room, error in ((EVE, DIRECT, NotAMember), (EVE, none, NotFound), (UserId("x"), GROUP, NotAMember)):
        with pytest.raises(error):
            await world.history.conversation(user, room)
        with pytest.raises(error):
            await world.history.messages(user, room, before=None, after=None, limit=1)
    with pytest.raises(NotFound):
        await world.history.members(none)
    assert await world.history.members(DIRECT) == MemberList(version=0, since={ALICE: 0, BOB: 0})
    answer = await world.history.sync(SyncQuery(user_id=EVE, versions={DIRECT: 0}))
    assert [each.conversation.id for each in answer.conversations] == [GROUP]


# --- members and receipts


async def test_members_come_page_by_page(world: GroupWorld) -> None:
    first = await world.history.member_page(BOB, GROUP, limit=2, cursor=None)
    assert [(each.user_id, each.role) for each in first.members] == [(ALICE, Role.OWNER), (BOB, Role.MEMBER)]
    second = await world.history.member_page(BOB, GROUP, limit=2, cursor=first.next_cursor)
    assert ([each.user_id for each in second.members], second.next_cursor) == ([EVE], None)
    for cursor in ("!", "é", "_w=="):
        with pytest.raises(Invalid):
            await world.history.member_page(BOB, GROUP, limit=2, cursor=cursor)


async def test_delivery_learns_the_members_with_their_windows(world: GroupWorld) -> None:
    await world.remove(BOB)
    await world.add(BOB)
    members = await world.history.members(GROUP)
    assert (members.version, members.since) == (3, {ALICE: 0, BOB: 2, EVE: 0})


async def test_receipts_say_when_a_watermark_passed_a_message(world: GroupWorld) -> None:
    await world.send("one", "two", "three")
    await world.add(UserId("late"))
    read_at = world.clock.now()
    await world.store.advance([acknowledge(2, room=GROUP)], at=read_at)
    await world.clock.advance(9)
    await world.store.advance([acknowledge(3, Stage.DELIVERED, room=GROUP)], at=world.clock.now())
    bob, eve = await world.history.receipts(EVE, GROUP, 1)
    assert bob == Receipt(user_id=BOB, delivered=True, delivered_at=read_at, read=True, read_at=read_at)
    assert eve == Receipt(user_id=EVE)
    bob, _ = await world.history.receipts(ALICE, GROUP, 3)
    assert bob == Receipt(user_id=BOB, delivered=True, delivered_at=world.clock.now())
    for seq in (0, 4, -1, 2**70):
        with pytest.raises(NotFound):
            await world.history.receipts(ALICE, GROUP, seq)


async def test_a_time_that_is_too_long_ago_is_not_made_up(world: GroupWorld) -> None:
    await world.send(*["text"] * 102)
    for seq in range(1, 103):
        await world.store.advance([acknowledge(seq, room=GROUP)], at=world.clock.now())
    for seq, known in ((2, False), (3, False), (4, True)):
        bob, _ = await world.history.receipts(ALICE, GROUP, seq)
        assert (bob.read, bob.read_at is not None) == (True, known)


# --- finding things


async def spaces(world: GroupWorld) -> tuple[ConversationId, ConversationId]:
    """Make a space of Alice and Bob with a channel that is open, and one for which one is invited."""
    space = replace(create_group((ALICE, BOB), room=SPACE), kind=ConversationKind.SPACE)
    await world.create(space)
    rooms = ConversationId("b-open"), ConversationId("a-closed")
    for room, join in zip(rooms, (JoinRule.OPEN, JoinRule.INVITE), strict=True):
        command = replace(create_group((ALICE,), room=room), kind=ConversationKind.CHANNEL, parent_id=SPACE)
        await world.create(replace(command, join=join, name=room.upper()))
        await world.send("secret", room=room)
    return rooms


async def test_a_space_shows_the_channels_that_one_is_in_or_may_join(world: GroupWorld) -> None:
    opened, closed = await spaces(world)
    assert [each.id for each in await world.history.channels(ALICE, SPACE)] == [closed, opened]
    [channel] = await world.history.channels(BOB, SPACE)
    assert (channel.id, channel.name, channel.role, channel.member_count) == (opened, "B-OPEN", None, 1)
    assert (channel.member_ids, channel.last_message, channel.watermarks) == ((), None, ())
    with pytest.raises(NotAMember):
        await world.history.channels(EVE, SPACE)
    with pytest.raises(NotFound):
        await world.history.channels(EVE, ConversationId("none"))


async def test_a_number_finds_what_one_is_in_or_may_join(world: GroupWorld) -> None:
    opened, closed = await spaces(world)
    numbers = {each: (await world.history.record(each)).number for each in (opened, closed, GROUP)}
    for user, room in ((ALICE, closed), (BOB, opened), (EVE, GROUP)):
        assert await world.history.conversation_numbered(user, numbers[room]) == room
    club = replace(create_group(room=ConversationId("club")), join=JoinRule.OPEN)
    await world.create(club)
    number = (await world.history.record(club.conversation_id)).number
    assert await world.history.conversation_numbered(UserId("anybody"), number) == club.conversation_id
    for user, number in ((BOB, numbers[closed]), (EVE, numbers[opened]), (ALICE, 99), (ALICE, 0), (ALICE, 2**80)):
        with pytest.raises(NotFound):
            await world.history.conversation_numbered(user, number)


async def test_a_message_is_found_by_id_and_number_where_one_may_read_it(world: GroupWorld) -> None:
    await world.remove(EVE)
    [old] = await world.send("old")
    await world.add(EVE)
    [new] = await world.send("new")
    for name in (new.id, new.number):
        place = await world.history.message_place(EVE, name)
        assert (place.message_id, place.conversation_id, place.seq) == (new.id, GROUP, 2)
    for user, message in ((EVE, old.id), (EVE, old.number), (UserId("x"), new.id), (BOB, MessageId("none"))):
        with pytest.raises(NotFound):
            await world.history.message_place(user, message)
    for number in (new.number + 1, 0, -1, 2**90, new.number & ~(2**26 - 1)):
        with pytest.raises(NotFound):
            await world.history.message_place(BOB, number)


# --- what became of a message


async def test_a_timeline_tells_every_step_of_a_message(world: GroupWorld) -> None:
    gateway, pushed_by = GatewayId("g1"), GatewayId("g2")
    made_at = time_of(MessageId(identity := new_id()))
    command = send("t", room=GROUP, message_id=identity)
    at = world.clock.now()
    await world.store.append([command], at=at, repeated=False, via={command.message_id: gateway})
    delivered = replace(acknowledge(1, Stage.DELIVERED, room=GROUP), pushed_at=at, gateway_id=pushed_by)
    await world.clock.advance(1)
    await world.store.advance([delivered], at=world.clock.now())
    await world.clock.advance(1)
    await world.store.advance([acknowledge(1, room=GROUP)], at=world.clock.now())
    timeline = await world.history.timeline(command.message_id)
    steps = {(step.step, step.user_id): (step.at, step.process) for step in timeline.steps}
    assert steps.pop(("accepted", None)) == (made_at, gateway)
    assert steps == {
        ("stored", None): (at, "history"),
        ("pushed", BOB): (at, pushed_by),
        ("delivered", BOB): (world.clock.now().replace(second=1), pushed_by),
        ("read", BOB): (world.clock.now(), None),
    }
    assert (timeline.seq, timeline.sender_id, timeline.conversation_id) == (1, ALICE, GROUP)
    with pytest.raises(NotFound):
        await world.history.timeline(MessageId("none"))


def test_an_id_of_another_form_tells_no_time() -> None:
    assert time_of(MessageId("m1")) is None
    assert time_of(MessageId("6ba7b810-9dad-41d1-80b4-00c04fd430c8")) is None
