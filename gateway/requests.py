"""What one client asks for: each request is carried out, and answered once where it wants an answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from msgspec.structs import replace

from gateway.accounts import Accounts
from gateway.acks import Acks
from gateway.catch_up import CatchUps
from gateway.content import MAX_CONTENT_BYTES, MAX_METADATA_BYTES
from gateway.deliveries import Deliveries
from gateway.dialects.base import (
    Answer,
    Caller,
    ChooseStatus,
    Command,
    Dialect,
    Done,
    Errand,
    FetchHistory,
    Hello,
    Limits,
    MessageChange,
    Presences,
    Reply,
    Request,
    StoredLate,
    Subscribe,
    Synchronise,
    Unsubscribe,
    Welcome,
    Wish,
)
from gateway.directory import Directory
from gateway.feed import Feed, Flow
from gateway.ingress import Command as Submitted
from gateway.ingress import Ingress, Outcome
from gateway.limits import RateLimiter
from gateway.naming import Naming, Spawn
from gateway.positions import Positions
from gateway.queries import BoundedHistory, BoundedPresence
from gateway.settings import SocketSettings
from gateway.statuses import Statuses
from gateway.typing_signals import TypingSignals
from gateway.voice import Voice
from gateway.watching import Watch, Watchers
from gateway.world import Reach, SessionWorld
from shared import events
from shared.clock import Clock
from shared.commands import (
    Acknowledge,
    DeleteMessage,
    EditMessage,
    SendMessage,
    SetReaction,
    SetStatus,
    SetTyping,
    Stage,
)
from shared.errors import ErrorBody, WarrenError
from shared.events import Stored
from shared.history_api import SyncQuery
from shared.ids import UserId
from shared.position import Position


@dataclass(frozen=True, slots=True)
class Services:
    """What all sessions of a gateway share."""

    settings: SocketSettings
    ingress: Ingress
    acks: Acks
    typing: TypingSignals
    history: BoundedHistory
    catch_ups: CatchUps
    accounts: Accounts
    directory: Directory
    presence: BoundedPresence
    watchers: Watchers
    statuses: Statuses
    limiter: RateLimiter
    positions: Positions
    reach: Reach
    clock: Clock


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a session starts: from where its pushes go on.

    `resumes`: the client will sync from there itself; `catches_up`: it is pushed what it lacks.
    """

    position: Position
    resumes: bool = False
    catches_up: bool = False
    echo: bool = True
    reply_to: str | None = None  # the id of the hello


class Requests:
    """The requests of one session. It is its own `Asker`: answers go straight to the outbox."""

    def __init__(
        self,
        about: events.Session,
        *,
        caller: Caller,
        dialect: Dialect,
        voice: Voice,
        feed: Feed,
        deliveries: Deliveries | None,
        services: Services,
        spawn: Spawn,
    ) -> None:
        self.in_flight = 0
        self.landed: Callable[[], None] | None = None  # called after each answer
        self._about = about
        self._dialect = dialect
        self._voice = voice
        self._feed = feed
        self._deliveries = deliveries
        self._services = services
        self._settings = services.settings
        self._spawn = spawn
        self.watch = Watch(feed, services.watchers)
        self.world = SessionWorld(services.reach, caller, self.watch)
        self._naming = Naming(self.world, services.directory, spawn=spawn, perform=self._found, refuse=self._not_found)
        self._echo = True
        self._since: str | None = None
        self._sync_by = 0.0
        self._room = asyncio.Event()

    def begin(self, beginning: Beginning) -> None:
        """Welcome the client, and let the pushes begin, or wait for its sync."""
        self._echo = beginning.echo
        welcome = self._welcome(beginning.position)
        self._voice.say(self._dialect.welcome(welcome))
        self._answer(welcome, beginning.reply_to)
        if beginning.resumes:
            self._resume(beginning.position)
        elif beginning.catches_up:
            self._services.catch_ups.request(self._feed)
        else:
            self._feed.release()

    async def room(self) -> None:
        """Wait until fewer requests are in flight than may be."""
        while self.in_flight >= self._settings.max_in_flight:
            self._room.clear()
            await self._room.wait()

    def perform(self, request: Request) -> None:
        """Carry out a request, or refuse it; never waits."""
        try:
            if not _is_free(request.wish):
                self._services.limiter.spend(self._about.user_id)
            self._perform(request)
        except WarrenError as error:
            self.refuse(error.body(), request.reply_to)

    def refuse(self, error: ErrorBody, reply_to: str | None) -> None:
        """Tell why something was not done."""
        self._voice.say(self._dialect.refuse(error, reply_to=reply_to))

    def check_sync(self, monotonic: float) -> None:
        """Go on without a client's sync that does not come."""
        if self._feed.flow is Flow.AWAITING_SYNC and monotonic >= self._sync_by:
            self._feed.hold()
            self._services.catch_ups.request(self._feed)

    def end(self) -> None:
        """Take back what must not outlive the session."""
        self.watch.close()
        self._services.typing.forget(self._about.id)

    # --- carrying out

    def _perform(self, request: Request) -> None:
        wish, reply_to = request.wish, request.reply_to
        match wish:
            case SendMessage() | Acknowledge() | SetTyping() | EditMessage() | DeleteMessage() | SetReaction():
                if self._naming.must_wait(wish):
                    self.in_flight += 1
                    self._naming.wait(wish, reply_to)
                else:
                    self._carry_out(wish, reply_to)
            case Errand():
                self.in_flight += 1
                self._naming.wait(wish, reply_to)
            case FetchHistory():
                self._query(partial(self._fetch, wish, reply_to), reply_to)
            case Synchronise():
                self._query(partial(self._sync, wish, reply_to), reply_to)
            case Subscribe(users=users):
                more = self.watch.subscribe(users)  # at once: an `unsubscribe` that comes behind it takes it back
                self._query(partial(self._subscribe, users, more, reply_to), reply_to)
            case Unsubscribe(users=users):
                self.watch.unsubscribe(users)
                self._answer(Presences(presences=()), reply_to)
            case ChooseStatus():
                self._choose(wish, reply_to)
            case Hello():
                self._greet(wish, reply_to)
            case _:
                assert_never(wish)

    def _carry_out(self, wish: Command, reply_to: str | None) -> None:
        match wish:
            case SendMessage():
                if not self._echo:
                    self._feed.leave_out(wish.client_id)
                self._submit(wish, reply_to)
            case Acknowledge():
                self._acknowledge(wish, reply_to)
            case SetTyping():
                self._services.typing.set(self._about.id, wish, expires_s=self._dialect.habits.typing_s)
                self._answer(Done(), reply_to)
            case EditMessage() | DeleteMessage() | SetReaction():
                self._submit(wish, reply_to)
            case _:
                assert_never(wish)

    def _found(self, found: Sequence[Request | Reply]) -> None:
        """Carry out what has been found, in its turn."""
        try:
            for item in found:
                self._carry_out_found(item)
        finally:
            self._land()

    def _carry_out_found(self, item: Request | Reply) -> None:
        if isinstance(item, Reply):
            self._voice.say(item.frames)
            return
        try:
            if isinstance(item.wish, Command):
                self._carry_out(item.wish, item.reply_to)
            else:
                self._perform(item)
        except WarrenError as error:
            self.refuse(error.body(), item.reply_to)

    def _not_found(self, error: WarrenError, reply_to: str | None) -> None:
        self.refuse(error.body(), reply_to)
        self._land()

    def _submit(self, command: SendMessage | MessageChange, reply_to: str | None) -> None:
        self.in_flight += 1
        self._services.ingress.submit(command, self, reply_to=reply_to)

    def _choose(self, wish: ChooseStatus, reply_to: str | None) -> None:
        command = SetStatus(
            user_id=self._about.user_id,
            session_id=self._about.id,
            status=wish.status,
            text=wish.text,
            at=self._services.clock.now(),
        )

        def answered(error: WarrenError | None) -> None:
            self._answer(Done() if error is None else error.body(), reply_to)
            self._land()

        self._services.statuses.choose(command, answered)
        self.in_flight += 1

    def _acknowledge(self, ack: Acknowledge, reply_to: str | None) -> None:
        if self._deliveries is not None:
            self._deliveries.acknowledged(ack.conversation_id, ack.seq, self._feed.position)
        if ack.stage is Stage.DELIVERED:
            pushed_at = self._feed.pushed_at(ack.conversation_id, ack.seq)
            if pushed_at is not None:
                ack = replace(ack, pushed_at=pushed_at, gateway_id=self._about.gateway_id)
        if reply_to is None:
            self._services.acks.take(ack)
            return

        def answered(error: WarrenError | None) -> None:
            self._answer(Done() if error is None else error.body(), reply_to)

        self._services.acks.take(ack, answered)

    def _greet(self, hello: Hello, reply_to: str | None) -> None:
        """Answer a hello of a client that its upgrade has authenticated already."""
        self._echo = hello.echo
        if hello.since is not None:
            self._resume(Position.from_token(hello.since))
        self._answer(self._welcome(self._feed.position), reply_to)

    def _resume(self, position: Position) -> None:
        self._since = position.token()
        self._sync_by = self._services.clock.monotonic() + self._settings.sync_wait_s
        self._feed.await_sync(position)

    def _query(self, ask: Callable[[], Awaitable[None]], reply_to: str | None) -> None:
        self.in_flight += 1
        self._spawn(self._ask(ask, reply_to), "session.query")

    async def _ask(self, ask: Callable[[], Awaitable[None]], reply_to: str | None) -> None:
        try:
            async with self._services.history.turns_of(self._about.user_id):
                await ask()
        except WarrenError as error:
            self.refuse(error.body(), reply_to)
        finally:
            self._land()

    async def _fetch(self, wish: FetchHistory, reply_to: str | None) -> None:
        conversation_id = await self._naming.conversation(wish.conversation_id)
        page = await self._services.history.messages(
            self._about.user_id, conversation_id, before=wish.before, after=wish.after, limit=wish.limit
        )
        self.watch.opened(conversation_id, (watermark.user_id for watermark in page.watermarks))
        self._answer(page, reply_to)

    async def _subscribe(self, users: tuple[UserId, ...], more: Set[UserId], reply_to: str | None) -> None:
        """Ask about users who are watched already, so that what changes in between is told; `more`: for this alone."""
        before = self._services.watchers.told(users)
        try:
            presences = await self._services.presence.presence_of(users)
        except WarrenError:
            self.watch.unsubscribe(more)
            raise
        self._answer(Presences(presences=self._services.watchers.answered(presences, before)), reply_to)

    async def _sync(self, wish: Synchronise, reply_to: str | None) -> None:
        """Answer with what the client lacks; pushes wait meanwhile, and go on behind the answer."""
        async with self._feed.lock:
            self._feed.hold()
            try:
                versions = {await self._naming.conversation(name): have for name, have in wish.versions.items()}
                query = SyncQuery(user_id=self._about.user_id, since=wish.since or self._since, versions=versions)
                answer = await self._services.history.sync(query)
                shown = self._feed.sync(answer)
            except WarrenError:
                self._services.catch_ups.request(self._feed)  # the pushes must go on all the same
                raise
            self._answer(shown, reply_to)
            if answer.has_more:
                self._resume(self._feed.position)
            else:
                self._feed.release()

    # --- answering

    def answered(self, command: Submitted, outcome: Outcome, reply_to: str | None) -> None:
        """Take the one answer to a command."""
        self._answer(outcome, reply_to)
        self._land()

    def stored_later(self, command: SendMessage, stored: Stored) -> None:
        """Tell by a receipt that a message that was accepted has its place."""
        late = StoredLate(sender_id=command.sender_id, at=self._services.clock.now(), stored=stored)
        self._voice.say(self._dialect.render(late))

    def _land(self) -> None:
        self.in_flight -= 1
        self._room.set()
        if self.landed is not None:
            self.landed()

    def _answer(self, answer: Answer | ErrorBody, reply_to: str | None) -> None:
        if isinstance(answer, ErrorBody):
            self.refuse(answer, reply_to)
        elif reply_to is not None:
            self._voice.say(self._dialect.answer(answer, reply_to=reply_to))

    def _welcome(self, position: Position) -> Welcome:
        return Welcome(
            session_id=self._about.id,
            user_id=self._about.user_id,
            device_id=self._about.device.id,
            heartbeat_s=self._settings.heartbeat_s,
            since=position.token(),
            limits=Limits(
                max_frame_bytes=self._settings.max_frame_bytes,
                max_content_bytes=MAX_CONTENT_BYTES,
                max_metadata_bytes=MAX_METADATA_BYTES,
                max_in_flight=self._settings.max_in_flight,
            ),
        )


def _is_free(wish: Wish) -> bool:
    """Tell whether a wish spends no rate: an acknowledgement lightens the load."""
    return isinstance(wish, Acknowledge) or (isinstance(wish, Errand) and wish.free)
