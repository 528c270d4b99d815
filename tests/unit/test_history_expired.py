"""What history tells of a log that has lost its first entries."""

from datetime import timedelta

import pytest

from shared.errors import NotFound
from shared.events import MessageEdited
from shared.history_api import Changes, SyncQuery
from tests.fakes.history_commands import ALICE, BOB, GROUP
from tests.fakes.history_world import GroupWorld

SECOND = timedelta(seconds=1)


@pytest.fixture
async def world() -> GroupWorld:
    return await GroupWorld.made()


async def expire(world: GroupWorld, entries: int) -> None:
    assert await world.store.remove_before(GROUP, world.clock.now() + SECOND, entries) == entries


async def sync_from(world: GroupWorld, version: int) -> Changes:
    [changes] = (await world.history.sync(SyncQuery(user_id=BOB, versions={GROUP: version}))).conversations
    return changes


def seqs(changes: Changes) -> list[int]:
    return [event.message.seq for event in changes.events if hasattr(event, "message")]


async def test_pages_and_unread_begin_with_what_is_left(world: GroupWorld) -> None:
    await world.send("a", "b", "c", "d")
    await expire(world, 3)  # the making of the group is the first entry of its log
    assert await world.contents(BOB) == ["c", "d"]
    assert await world.history.unread(BOB) == {GROUP: 2}
    view = await world.history.conversation(BOB, GROUP)
    assert (view.last_seq, view.last_version, view.unread) == (4, 5, 2)
    page = await world.history.messages(BOB, GROUP, before=3, after=None, limit=50)
    assert (page.messages, page.has_more) == ((), False)


async def test_what_is_expired_is_not_found(world: GroupWorld) -> None:
    [first, _] = await world.send("a", "b")
    await expire(world, 2)
    with pytest.raises(NotFound):
        await world.history.message_place(BOB, first.id)


@pytest.mark.parametrize(("had", "limited"), [(2, True), (3, False), (4, False)])
async def test_who_lacks_what_expired_is_told_that_what_they_hold_is_stale(
    world: GroupWorld, had: int, limited: bool
) -> None:
    await world.send("a", "b", "c", "d")
    await expire(world, 3)
    changes = await sync_from(world, had)
    assert (changes.limited, changes.before) == ((True, 3) if limited else (False, None))
    assert seqs(changes) == ([3, 4] if had < 4 else [4])


async def test_who_was_away_for_long_is_told_so_too(world: GroupWorld) -> None:
    await world.send("a")
    await world.clock.advance(3600)
    _, since = await world.sync(BOB, None)
    await world.clock.advance(3600)
    await world.send("b", "c", "d")
    ((whole,), _) = await world.sync(BOB, since)
    await expire(world, 3)
    ((changes,), _) = await world.sync(BOB, since)
    assert (whole.limited, seqs(whole)) == (False, [2, 3, 4])
    assert (changes.limited, changes.before, seqs(changes)) == (True, 3, [3, 4])


async def test_who_holds_nothing_gets_what_is_left_as_all_there_is(world: GroupWorld) -> None:
    await world.send("a", "b", "c", "d")
    await expire(world, 3)
    ((changes,), _) = await world.sync(BOB, None)
    assert (changes.limited, seqs(changes)) == (False, [3, 4])


async def test_a_change_of_an_expired_message_is_left_out(world: GroupWorld) -> None:
    first, second = await world.send("a", "b")
    await world.edit(first, "A")
    await world.edit(second, "B")
    await expire(world, 2)
    changes = await sync_from(world, 3)
    assert [(type(event), event.version) for event in changes.events] == [(MessageEdited, 5)]
    assert (changes.version, changes.limited) == (5, False)
    assert await world.contents(ALICE) == ["B"]
