"""Old messages expire: by one replica at a time, oldest first, and never the end of a log."""

from datetime import timedelta

import pytest

from history import retention
from history.retention import Retention
from shared.errors import StoreUnavailable
from shared.ids import ConversationId
from tests.fakes.clock import FakeClock
from tests.fakes.history_commands import ALICE, create_group, done, send
from tests.fakes.history_store import FakeMessageStore

DAY_S = 86_400.0


class Keeping:
    """A store with some rooms, and the replicas that keep it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeMessageStore()
        self.one = Retention(self.store, holder="one", clock=self.clock)
        self.other = Retention(self.store, holder="other", clock=self.clock)

    async def room(self, name: str, messages: int) -> ConversationId:
        room = ConversationId(name)
        [created] = await self.store.create([create_group((ALICE,), room=room)], at=self.clock.now())
        done(created)
        await self.say(room, messages)
        return room

    async def say(self, room: ConversationId, messages: int) -> None:
        now = self.clock.now()
        commands = [send(f"{now}-{n}", room=room, content=str(n)) for n in range(messages)]
        for result in await self.store.append(commands, at=now, repeated=False):
            done(result)

    async def left(self, room: ConversationId) -> int:
        return len(await self.store.messages(room, before=None, after=0, limit=1_000_000, newest=True))


@pytest.fixture
def keeping() -> Keeping:
    return Keeping()


async def test_nothing_expires_until_days_are_set(keeping: Keeping) -> None:
    room = await keeping.room("room", 3)
    await keeping.clock.advance(1_000 * DAY_S)
    await keeping.one.sweep()
    assert (await keeping.one.days(), await keeping.left(room)) == (None, 3)


async def test_what_is_older_than_the_days_goes_and_the_rest_stays(keeping: Keeping) -> None:
    room, quiet = await keeping.room("room", 3), await keeping.room("quiet", 2)
    await keeping.one.set_days(7)
    await keeping.clock.advance(6 * DAY_S)
    await keeping.say(room, 2)
    await keeping.one.sweep()
    assert await keeping.left(room) == 5
    await keeping.clock.advance(1.5 * DAY_S)
    await keeping.one.sweep()
    assert await keeping.left(room) == 2
    assert await keeping.left(quiet) == 1  # its end


async def test_one_replica_sweeps_until_it_is_gone(keeping: Keeping) -> None:
    room = await keeping.room("room", 3)
    await keeping.one.set_days(1)
    await keeping.clock.advance(DAY_S - 60)
    await keeping.one.sweep()  # nothing is old yet
    await keeping.clock.advance(120)
    await keeping.other.sweep()
    assert await keeping.left(room) == 3
    await keeping.clock.advance(retention.LEASE.total_seconds())
    await keeping.other.sweep()
    assert await keeping.left(room) == 1


async def test_a_sweep_has_its_bounds_and_the_next_one_goes_on(keeping: Keeping) -> None:
    most = retention.BATCH * retention.BATCHES
    first, second = await keeping.room("a", most + 99), await keeping.room("b", 10)
    await keeping.one.set_days(1)
    await keeping.clock.advance(2 * DAY_S)
    await keeping.say(first, 1)
    await keeping.one.sweep()
    assert (await keeping.left(first), await keeping.left(second)) == (101, 10)  # the log began with its making
    await keeping.one.sweep()
    assert (await keeping.left(first), await keeping.left(second)) == (1, 1)


async def test_many_conversations_are_gone_through_over_several_sweeps(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CONVERSATIONS", 2)
    monkeypatch.setattr(retention, "QUERIES", 2)
    rooms = [await keeping.room(f"room-{n}", 2) for n in range(7)]
    await keeping.one.set_days(1)
    await keeping.clock.advance(2 * DAY_S)
    await keeping.one.sweep()
    assert [await keeping.left(room) for room in rooms] == [1, 1, 1, 1, 2, 2, 2]
    await keeping.one.sweep()
    assert [await keeping.left(room) for room in rooms] == [1] * 7
    await keeping.say(rooms[0], 1)
    await keeping.clock.advance(2 * DAY_S)
    await keeping.one.sweep()
    assert await keeping.left(rooms[0]) == 1  # it began anew


async def test_an_outage_ends_the_sweep_and_the_next_one_does_it(keeping: Keeping) -> None:
    room = await keeping.room("room", 3)
    await keeping.one.set_days(1)
    await keeping.clock.advance(2 * DAY_S)
    keeping.store.fail(1)
    with pytest.raises(StoreUnavailable):
        await keeping.one.sweep()
    await keeping.one.sweep()
    assert await keeping.left(room) == 1


def test_a_lease_outlives_the_wait_between_sweeps() -> None:
    assert timedelta(seconds=2 * retention.EVERY_S) < retention.LEASE
