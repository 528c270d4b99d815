"""Who is told to be here in the channels that a client of the huddle wire shows."""

import pytest
from msgspec.structs import replace

from gateway.dialects.base import Caller
from gateway.dialects.huddle_sights import MAX_SHOWN, Sight, Sights
from shared.errors import TooLarge, Unavailable
from shared.history_api import Conversation
from shared.ids import ConversationId, DeviceId, UserId
from shared.presence_api import MAX_USERS, Presence
from tests.fakes.messages import ALICE, BOB, conversation
from tests.fakes.socket_world import FakeSocketWorld

CAROL = UserId("carol")


def seen(user_id: UserId, status: str = "online") -> Presence:
    return Presence(user_id=user_id, status=status)


def channel(number: int, *members: UserId) -> Conversation:
    room = ConversationId(f"room-{number}")
    return replace(conversation(0, room=room), number=number, member_ids=(ALICE, *members))


class Screen:
    """What Alice's client shows, and who is here."""

    def __init__(self, *here: UserId) -> None:
        self.sights = Sights()
        self.world = FakeSocketWorld(Caller(ALICE, "Alice", DeviceId("browser")))
        self.world.presence.here = {user_id: seen(user_id) for user_id in here}

    async def shows(self, *channels: Conversation) -> list[Sight]:
        return [sight for each in channels for sight in await self.sights.show(self.world, each)]


async def test_showing_a_channel_tells_who_of_the_others_is_here() -> None:
    screen = Screen(ALICE, BOB)
    assert await screen.shows(channel(1, BOB, CAROL)) == [Sight(BOB, here=True, channel=1)]
    assert screen.world.watched == {BOB, CAROL}
    assert [screen.sights.sees(user_id) for user_id in (BOB, CAROL, UserId("dora"))] == [True, False, None]


async def test_who_comes_is_told_once_and_who_goes_is_gone_from_each_channel_and_altogether() -> None:
    screen = Screen()
    await screen.shows(channel(1, BOB), channel(2, BOB))
    came = [Sight(BOB, here=True, channel=1), Sight(BOB, here=True, channel=2)]
    assert screen.sights.changed(seen(BOB)) == came
    assert screen.sights.changed(seen(BOB, "away")) == []
    went = [Sight(BOB, here=False, channel=1), Sight(BOB, here=False, channel=2), Sight(BOB, here=False)]
    assert screen.sights.changed(seen(BOB, "offline")) == went
    assert screen.sights.changed(seen(BOB, "offline")) == []


async def test_hiding_a_channel_ends_what_is_told_of_it() -> None:
    screen = Screen()
    await screen.shows(channel(1, BOB, CAROL), channel(2, CAROL))
    screen.sights.hide(screen.world, ConversationId("room-1"))
    assert screen.world.watched == {CAROL}
    assert screen.sights.changed(seen(BOB)) == []
    assert screen.sights.changed(seen(CAROL)) == [Sight(CAROL, here=True, channel=2)]


async def test_members_who_join_and_leave_a_channel_that_is_shown_are_told() -> None:
    screen = Screen(CAROL)
    await screen.shows(channel(1, BOB))
    room = ConversationId("room-1")
    assert await screen.sights.joined(screen.world, room, {CAROL, ALICE}) == [Sight(CAROL, here=True, channel=1)]
    assert await screen.sights.joined(screen.world, room, {CAROL}) == ()
    assert screen.sights.left(screen.world, room, {BOB, CAROL}) == [Sight(CAROL, here=False, channel=1)]
    assert screen.world.watched == set()
    assert screen.sights.left(screen.world, room, {ALICE}) == ()
    assert room not in screen.sights


async def test_channels_opened_longest_ago_make_room() -> None:
    screen = Screen()
    await screen.shows(*(channel(number, BOB) for number in range(1, MAX_SHOWN + 2)))
    assert ConversationId("room-1") not in screen.sights
    crowd = [UserId(f"user-{number}") for number in range(MAX_USERS)]
    await screen.shows(channel(100, *crowd))
    assert ConversationId("room-2") not in screen.sights
    assert screen.world.watched == set(crowd)


async def test_a_channel_whose_members_cannot_be_asked_about_is_not_shown() -> None:
    screen = Screen()
    screen.world.presence.down = True
    with pytest.raises(Unavailable):
        await screen.shows(channel(1, BOB))
    assert ConversationId("room-1") not in screen.sights


async def test_new_members_who_are_too_many_to_watch_are_left_out() -> None:
    screen = Screen()
    await screen.shows(channel(1, BOB))
    screen.world.refusal = TooLarge("Too many.")
    assert await screen.sights.joined(screen.world, ConversationId("room-1"), {CAROL}) == ()
    assert screen.sights.changed(seen(CAROL)) == []
