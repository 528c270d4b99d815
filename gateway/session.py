"""One authenticated socket: reads frames, writes what there is to tell, until one of the two ends closes."""

import asyncio
import itertools
from collections.abc import Coroutine
from datetime import datetime
from enum import Enum, auto

import structlog
from msgspec.structs import replace

from gateway import metrics
from gateway.deliveries import Deliveries
from gateway.dialects.base import BadFrame, Caller, Dialect, Frame, Reply
from gateway.disconnects import Disconnect
from gateway.feed import Feed
from gateway.following import Following
from gateway.outbox import Outbox
from gateway.requests import Beginning, Requests, Services
from gateway.settings import SocketSettings
from gateway.transport import Transport
from gateway.voice import Voice
from shared import events
from shared.ids import ConversationId, SessionId, UserId

MAX_BAD_FRAMES = 10  # in a row
READ_AT_ONCE = 64  # frames, before others have their turn

log = structlog.get_logger()


class State(Enum):
    """The life of a session, in one direction."""

    OPEN = auto()
    LEAVING = auto()  # nothing is read, what is in flight is still answered
    CLOSING = auto()  # what waits is still written
    CLOSED = auto()


_NEXT = {
    State.OPEN: (State.LEAVING, State.CLOSING, State.CLOSED),
    State.LEAVING: (State.CLOSING, State.CLOSED),
    State.CLOSING: (State.CLOSED,),
    State.CLOSED: (),
}


class Session:
    """One socket of one device of one user."""

    def __init__(
        self,
        about: events.Session,
        *,
        address: str,
        issued_at: datetime | None,
        expires_at: datetime,
        dialect: Dialect,
        role: str | None,
        beginning: Beginning,
        services: Services,
        transport: Transport,
    ) -> None:
        self.id: SessionId = about.id
        self.user_id: UserId = about.user_id
        self.about = about
        self.address = address
        self.state = State.OPEN
        self.closed_by: Disconnect | None = None  # None: the client
        self._issued_at = issued_at
        self._expires_at = expires_at
        self._dialect = dialect
        self._services = services
        self._transport = transport
        self._bad_frames = 0
        self._deadline: asyncio.Timeout | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._children: set[asyncio.Task[None]] = set()
        self._role = role
        self._heard_at = services.clock.monotonic()
        self._writing = False
        self._outbox = self._make_outbox(services.settings)
        self._voice = Voice(
            self._outbox, max_waiting=services.settings.max_outbox_frames, spawn=self._spawn, clock=services.clock
        )
        self._deliveries = self._make_deliveries(beginning)
        self._hears = self._deliveries is not None or dialect.habits.beats
        self.feed = Feed(
            user_id=about.user_id,
            dialect=dialect,
            voice=self._voice,
            position=beginning.position,
            max_held=services.settings.max_held,
            wants=services.catch_ups.request,
            deliveries=self._deliveries,
        )
        self._requests = Requests(
            about,
            caller=self._caller(),
            dialect=dialect,
            voice=self._voice,
            feed=self.feed,
            deliveries=self._deliveries,
            services=services,
            spawn=self._spawn,
        )
        dialect.opened(self._caller())
        self._requests.begin(beginning)

    # --- its life

    async def run(self) -> None:
        """Serve the client until it or the server closes. Cancelling closes nothing; the caller does then."""
        try:
            async with asyncio.timeout(None) as self._deadline, asyncio.TaskGroup() as self._tasks:
                self._voice.begin(self._requests.world)
                self._spawn(self._read(), "session.read")
                if self._dialect.habits.follows:
                    self._spawn(self._follow(), "session.follow")
                await self._write()
                for child in tuple(self._children):
                    child.cancel()
        except TimeoutError:
            log.info("session_close_cut", session_id=self.id)
        finally:
            self._move_to(State.CLOSED)
            self.feed.close()
            self._voice.close()
            self._requests.end()

    def left(self, conversation_id: ConversationId) -> None:
        """Take note that the user is no member any more."""
        self._requests.watch.left(conversation_id)

    def rename(self, name: str) -> None:
        """Let what the user says from now on carry another name."""
        self.about = replace(self.about, name=name)
        self._requests.world.caller = self._caller()
        self._dialect.opened(self._caller())

    def hear(self) -> None:
        """Take note that the client is there: it has what was written to it."""
        self._heard_at = self._services.clock.monotonic()
        if self._deliveries is not None:
            all_written = not self._writing and self._outbox.empty and self._voice.silent
            self._deliveries.heard(self.feed.position, all_written=all_written)

    def must_end_by(self, event: events.DeviceSignedOut) -> bool:
        """Tell whether a sign-out is meant for this session: its token may have been let in before the gateway knew."""
        if self.about.device.id != event.device_id:
            return False
        old_token = self._issued_at is None or self._issued_at <= event.at
        return self.about.opened_at <= event.at or (event.reason is events.SignOutReason.KICKED and old_token)

    def leave(self, disconnect: Disconnect, *, retry_after_ms: int) -> None:
        """Close as soon as what is in flight has been answered, which takes at most some seconds."""
        if self.state is not State.OPEN:
            return
        self._move_to(State.LEAVING)

        def landed() -> None:
            if self._requests.in_flight == 0:
                self.close(disconnect, retry_after_ms=retry_after_ms)

        self._requests.landed = landed
        landed()

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None = None) -> None:
        """Write what waits, the reason, and the close frame; never waits for it. Once is enough."""
        if self.state in (State.CLOSING, State.CLOSED):
            return
        self._move_to(State.CLOSING)
        self.closed_by = disconnect
        self.feed.close()
        self._end_deliveries()
        self._voice.close(self._dialect.close(disconnect, retry_after_ms=retry_after_ms))
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + self._services.settings.close_s)

    def check_times(self, now: datetime, monotonic: float) -> None:
        """Close where the token has expired, or nothing was heard; go on without a sync that does not come."""
        if now >= self._expires_at:
            self.close(Disconnect.TOKEN_EXPIRED)
        elif self._dialect.habits.beats and monotonic - self._heard_at >= self._services.settings.silence_s:
            self.close(Disconnect.HEARTBEAT)
        else:
            self._requests.check_sync(monotonic)

    def _move_to(self, state: State) -> None:
        if state is not self.state:
            assert state in _NEXT[self.state], f"A session does not go from {self.state} to {state}."
            self.state = state

    def _make_outbox(self, settings: SocketSettings) -> Outbox:
        return Outbox(
            max_frames=settings.max_outbox_frames, max_bytes=settings.max_outbox_bytes, overflow=self._overflow
        )

    def _make_deliveries(self, beginning: Beginning) -> Deliveries | None:
        habits, services = self._dialect.habits, self._services
        if habits.resumes and habits.acknowledges:
            return None
        return Deliveries(
            self.user_id,
            self.about.device,
            habits,
            beginning.position,
            acks=services.acks,
            positions=services.positions,
        )

    def _end_deliveries(self) -> None:
        if self._deliveries is not None:
            self._deliveries.end()

    def _caller(self) -> Caller:
        return Caller(self.user_id, self.about.name, self.about.device.id, self._role)

    def _overflow(self) -> None:
        self._voice.clear()
        self.close(Disconnect.SLOW)

    def _spawn(self, coroutine: Coroutine[None, None, None], name: str) -> None:
        assert self._tasks is not None
        task = self._tasks.create_task(coroutine, name=name)
        self._children.add(task)
        task.add_done_callback(self._children.discard)

    async def _follow(self) -> None:
        services = self._services
        following = Following(
            self.feed,
            self._requests.watch,
            services.watchers,
            history=services.history,
            presence=services.presence,
            clock=services.clock,
        )
        await following.begin()

    # --- writing

    async def _write(self) -> None:
        transport = self._transport
        try:
            while frames := await self._outbox.take():
                self._writing = True
                await transport.write(frames, self.feed.position if self._voice.silent else None)
                self._writing = False
                metrics.FRAMES_OUT.inc(len(frames))
                if self._deliveries is not None and self._voice.silent and self._outbox.empty:
                    self._deliveries.written()
                self.feed.written()
            if self.closed_by is not None:
                await transport.close(self._dialect.close_code(self.closed_by), self.closed_by.reason)
        except OSError:  # how ASGI says that the client is gone
            self._voice.close()

    # --- reading

    async def _read(self) -> None:
        for read in itertools.count(1):
            if self.state is not State.OPEN:
                return
            if read % READ_AT_ONCE == 0:
                await asyncio.sleep(0)  # what has arrived already is received without waiting: let others do something
            await self._requests.room()  # back-pressure: a client that is not read from waits
            message = await self._transport.receive()
            if message["type"] == "websocket.disconnect":
                self._end_deliveries()
                self._voice.clear()
                self._voice.close()
                return
            if self.state is State.OPEN:
                metrics.FRAMES_IN.inc()
                if self._hears:
                    self.hear()
                self._take(message.get("text"))

    def _take(self, frame: Frame | None) -> None:
        try:
            requests = self._dialect.receive(frame)
        except BadFrame as bad:
            self._refuse(bad)
            return
        self._bad_frames = 0
        for request in requests:
            if isinstance(request, Reply):
                self._voice.say(request.frames)
            else:
                self._requests.perform(request)

    def _refuse(self, bad: BadFrame) -> None:
        metrics.BAD_FRAMES.inc()
        self._requests.refuse(bad.error.body(), bad.reply_to)
        self._bad_frames = self._bad_frames + 1 if bad.unreadable else 0
        if self._bad_frames >= MAX_BAD_FRAMES:
            self.close(Disconnect.PROTOCOL_ERRORS)
