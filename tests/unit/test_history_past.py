"""Readers who are not told what was said before they came, though they may read it."""

import pytest

from shared.commands import HistoryRule
from shared.history_api import SyncQuery
from shared.ids import UserId
from shared.position import Position
from tests.fakes.history_commands import ALICE, BOB, EVE, GROUP, create_group
from tests.fakes.history_world import GroupWorld


async def given(
    world: GroupWorld, since: Position, *, user: UserId = EVE, past: bool = True, oldest_first: bool = False
) -> list[int]:
    """Give the versions that a sync gives, of which none was left out."""
    query = SyncQuery(user_id=user, since=since.token(), past=past, oldest_first=oldest_first)
    [changes] = (await world.history.sync(query)).conversations
    assert not changes.limited
    return [event.version for event in changes.events]


@pytest.mark.parametrize("had", [None, 1, 3])
async def test_without_the_past_it_begins_where_the_reader_came(had: int | None) -> None:
    world = GroupWorld()
    await world.create(create_group([ALICE, BOB], history=HistoryRule.FULL))
    since = Position(world.clock.now(), {} if had is None else {GROUP: had})
    await world.send("before", "too")
    await world.add(EVE)
    await world.send("after")
    assert await given(world, since, past=False) == [4, 5]
    assert await given(world, since, past=False, oldest_first=True) == [4, 5]
    assert await given(world, since) == [version for version in (1, 2, 3, 4, 5) if version > (had or 0)]


async def test_who_comes_back_is_given_what_was_said_meanwhile() -> None:
    world = GroupWorld()
    await world.create(create_group([ALICE, BOB, EVE], history=HistoryRule.FULL))
    since = Position(world.clock.now(), {GROUP: 1})
    await world.remove(EVE)
    await world.send("meanwhile")
    await world.add(EVE)
    assert await given(world, since, past=False) == [2, 3, 4]


async def test_members_from_the_beginning_are_given_everything() -> None:
    world = GroupWorld()
    since = Position(world.clock.now())
    await world.clock.advance(1)
    await world.create(create_group([ALICE, BOB], history=HistoryRule.FULL))
    await world.send("first")
    assert await given(world, since, user=BOB, past=False) == [1, 2]
