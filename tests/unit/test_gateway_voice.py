"""What a session says stays in order, also where some of it takes questions first."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from gateway.dialects.base import Caller, Frame, Telling
from gateway.dialects.world import SocketWorld
from gateway.outbox import Outbox
from gateway.voice import Voice
from gateway.world import SessionWorld
from shared.errors import NotFound, Unavailable
from shared.ids import DeviceId
from tests.fakes.clock import FakeClock, settle
from tests.fakes.messages import BOB


class Speaker:
    """A voice, and the answers that its tellings wait for."""

    def __init__(self, tasks: asyncio.TaskGroup, *, max_waiting: int = 10) -> None:
        self.clock = FakeClock()
        self.overflows = 0
        self.outbox = Outbox(max_frames=100, max_bytes=10_000, overflow=self._overflow)
        self._tasks = tasks
        self.voice = Voice(self.outbox, max_waiting=max_waiting, spawn=self._spawn, clock=self.clock)
        self.answers: asyncio.Queue[Sequence[Frame] | Exception] = asyncio.Queue()

    def begin(self) -> None:
        self.voice.begin(_world())

    def telling(self) -> Telling:
        """Give one that says what the next of `answers` is."""

        async def frames(_: SocketWorld) -> Sequence[Frame]:
            answer = await self.answers.get()
            if isinstance(answer, Exception):
                raise answer
            return answer

        return Telling(frames)

    async def said(self) -> list[Frame]:
        await settle()
        return [] if self.outbox.empty else await self.outbox.take()

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        self._tasks.create_task(work, name=name)

    def _overflow(self) -> None:
        self.overflows += 1


def _world() -> SocketWorld:
    """Give a world that nobody asks anything."""
    world = SessionWorld.__new__(SessionWorld)
    world.caller = Caller(BOB, "Bob", DeviceId("phone"))
    return world


async def speak(story: Callable[[Speaker], Awaitable[None]], *, max_waiting: int = 10) -> None:
    async with asyncio.TaskGroup() as tasks:
        await story(Speaker(tasks, max_waiting=max_waiting))


async def test_what_is_said_later_waits_for_what_takes_questions() -> None:
    async def story(speaker: Speaker) -> None:
        speaker.begin()
        speaker.voice.say(("one",))
        speaker.voice.say(speaker.telling())
        speaker.voice.say(("three",))
        assert await speaker.said() == ["one"]
        assert not speaker.voice.silent
        speaker.answers.put_nowait(("two",))
        assert await speaker.said() == ["two", "three"]
        assert speaker.voice.silent

    await speak(story)


async def test_nothing_is_asked_before_the_session_runs() -> None:
    async def story(speaker: Speaker) -> None:
        speaker.voice.say(speaker.telling())
        speaker.answers.put_nowait(("asked",))
        assert await speaker.said() == []
        speaker.begin()
        assert await speaker.said() == ["asked"]

    await speak(story)


async def test_what_cannot_be_asked_now_is_asked_again() -> None:
    async def story(speaker: Speaker) -> None:
        speaker.begin()
        speaker.voice.say(speaker.telling())
        speaker.answers.put_nowait(Unavailable("history is away"))
        assert await speaker.said() == []
        speaker.answers.put_nowait(("in the end",))
        await speaker.clock.advance(60)
        assert await speaker.said() == ["in the end"]

    await speak(story)


async def test_what_is_no_longer_there_is_left_unsaid() -> None:
    async def story(speaker: Speaker) -> None:
        speaker.begin()
        speaker.voice.say(speaker.telling())
        speaker.voice.say(("next",))
        speaker.answers.put_nowait(NotFound("gone"))
        assert await speaker.said() == ["next"]

    await speak(story)


async def test_a_voice_that_waits_for_too_much_is_a_slow_client() -> None:
    async def story(speaker: Speaker) -> None:
        speaker.begin()
        speaker.voice.say(speaker.telling())
        speaker.voice.say(("1",))
        speaker.voice.say(("2",))
        assert speaker.voice.crowded
        assert speaker.overflows == 0
        speaker.voice.say(("3",))
        assert speaker.overflows == 1
        speaker.voice.close(("bye",))
        speaker.answers.put_nowait(("too late",))
        assert await speaker.said() == ["bye"]

    await speak(story, max_waiting=3)


async def test_after_the_close_nothing_is_asked_any_more() -> None:
    async with asyncio.TaskGroup() as tasks:
        speaker = Speaker(tasks)
        speaker.begin()
        speaker.voice.say(("one",))
        speaker.voice.close(("last",))
    speaker.voice.say(speaker.telling())  # an answer that comes late: nobody is there to ask what it takes
    speaker.voice.say(("two",))
    assert await speaker.said() == ["one", "last"]
