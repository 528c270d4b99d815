"""Whom a recipient's name means on the devices wire: a device, unless only a group goes by it."""

import pytest

from gateway.dialects.devices_names import find_recipient
from gateway.dialects.world import Room
from shared.commands import EMPTY_OBJECT, ConversationKind, JoinRule
from shared.errors import Unavailable
from shared.ids import ConversationId, UserId, direct_conversation_id
from shared.presence_api import Profile
from tests.fakes.clock import START
from tests.fakes.world import FakeWorld

PHONE, TABLET = UserId("phone"), UserId("tablet")
CLUB = ConversationId("club")
TO_TABLET = (direct_conversation_id(PHONE, TABLET), TABLET)


def world(*known: UserId) -> FakeWorld:
    made = FakeWorld(PHONE)
    made.presence.people = {each: Profile(user_id=each, name=each, created_at=START) for each in known}
    return made


def club() -> Room:
    return Room(
        id=CLUB,
        number=1,
        kind=ConversationKind.GROUP,
        name="Club",
        metadata=EMPTY_OBJECT,
        parent_id=None,
        join=JoinRule.INVITE,
        member_ids=(PHONE, TABLET),
        member_count=2,
    )


async def test_a_name_that_nobody_knows_is_a_device() -> None:
    assert await find_recipient(world(), "tablet") == TO_TABLET


async def test_a_group_goes_by_its_id() -> None:
    seen = world()
    seen.rooms[CLUB] = club()
    assert await find_recipient(seen, "club") == (CLUB, None)


async def test_a_device_of_the_same_name_goes_before_a_group() -> None:
    seen = world(UserId("club"))
    seen.rooms[CLUB] = club()
    assert await find_recipient(seen, "club") == (direct_conversation_id(PHONE, UserId("club")), "club")


async def test_a_device_that_was_here_is_written_to_while_history_is_away() -> None:
    seen = world(TABLET)
    seen.history.down = True
    assert await find_recipient(seen, "tablet") == TO_TABLET


async def test_what_may_be_a_group_waits_for_history() -> None:
    seen = world()
    seen.history.down = True
    with pytest.raises(Unavailable):
        await find_recipient(seen, "club")
