"""What one session says, in order: frames at once, and tellings, which take questions, when their turn comes."""

from collections import deque
from collections.abc import Callable, Coroutine, Sequence

import structlog

from gateway.dialects.base import Frame, Telling
from gateway.dialects.world import SocketWorld
from gateway.outbox import Outbox
from shared.broker.retry import Backoff
from shared.clock import Clock
from shared.errors import Unavailable, WarrenError

Spawn = Callable[[Coroutine[None, None, None], str], None]

log = structlog.get_logger()


class Voice:
    """The way to an outbox. Where nothing waits for an answer, what is said is in the outbox at once."""

    def __init__(self, outbox: Outbox, *, max_waiting: int, spawn: Spawn, clock: Clock) -> None:
        self._outbox = outbox
        self._max_waiting = max_waiting
        self._spawn = spawn
        self._clock = clock
        self._waiting: deque[Sequence[Frame] | Telling] = deque()  # the first is being worked on
        self._world: SocketWorld | None = None  # not begun yet
        self._closed = False

    @property
    def crowded(self) -> bool:
        """Whether more than half of the room is taken."""
        return self._outbox.crowded or (bool(self._waiting) and len(self._waiting) * 2 > self._max_waiting)

    @property
    def silent(self) -> bool:
        """Whether all that was said is with the writer."""
        return not self._waiting

    def begin(self, world: SocketWorld) -> None:
        """Begin with what takes questions: the session runs now."""
        self._world = world
        if self._waiting:
            self._spawn(self._work(world), "session.voice")

    def say(self, said: Sequence[Frame] | Telling) -> None:
        """Say something after all that was said before; never waits."""
        if self._closed:  # answers may come after the session is gone
            return
        if not self._waiting and not isinstance(said, Telling):
            self._outbox.put(said)
            return
        self._waiting.append(said)
        if len(self._waiting) > self._max_waiting:
            self._outbox.overflow()
        elif len(self._waiting) == 1 and self._world is not None:
            self._spawn(self._work(self._world), "session.voice")

    def clear(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        self._outbox.clear()

    def close(self, last: Sequence[Frame] = ()) -> None:
        """Say these last frames, and nothing after them. What still takes questions is left unsaid."""
        self._closed = True
        self._waiting.clear()
        self._outbox.close(last)

    async def _work(self, world: SocketWorld) -> None:
        while self._waiting:
            said = self._waiting[0]
            frames = await self._told(said, world) if isinstance(said, Telling) else said
            if self._waiting and self._waiting[0] is said:  # else it was dropped meanwhile
                self._waiting.popleft()
                self._outbox.put(frames)

    async def _told(self, telling: Telling, world: SocketWorld) -> Sequence[Frame]:
        backoff = Backoff()
        while True:
            try:
                return await telling.frames(world)
            except Unavailable as error:
                wait_s = backoff.next()
                log.warning("telling_delayed", user_id=world.caller.user_id, error=error.message, wait_s=wait_s)
                await self._clock.sleep(wait_s)
            except WarrenError as error:
                log.info("telling_dropped", user_id=world.caller.user_id, error=error.message)
                return ()
