"""The client of Warren's native protocol: one socket that heals itself, and nothing lost or doubled over it."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from client import wire
from client.dialogue import Dialogue
from client.errors import ClientError, Closed, ConnectionLost, Unreachable, first_of
from client.events import ConnectionState, E, Event, PresenceChanged
from client.link import Link, TokenFactory
from client.options import Options
from client.rooms import Rooms
from client.sending import Sent
from client.wire import Changed, Device, HistoryPage, Stage

log = logging.getLogger("warren.client")

T = TypeVar("T")


class WarrenClient:
    """One user's connection to Warren.

    `async with WarrenClient(url, token=…) as alice:` connects; inside, `async for event in alice` gives the events, and
    every other method may be called from any task of the same event loop. A lost connection is made again for as long
    as the context is open; messages wait meanwhile. After `Closed` was raised nothing more happens.
    """

    def __init__(
        self, url: str, *, token: str | TokenFactory, device: Device | None = None, options: Options | None = None
    ) -> None:
        self._url = url
        self._options = options or Options()
        device = device or Device(id=f"py-{uuid.uuid4().hex[:12]}", platform="python")
        self._dialogue = Dialogue(self._options, wake=lambda: self._link.wake(), drop=self.drop)
        self._link = Link(url, token=token, device=device, options=self._options, talk=self._dialogue)
        self._tasks = asyncio.TaskGroup()
        self._running: asyncio.Task[None] | None = None

    # --- life

    async def __aenter__(self) -> Self:
        """Connect. Raises: Unreachable, Closed (the token is refused)."""
        await self._tasks.__aenter__()
        self._running = self._tasks.create_task(self._link.run(), name="warren.client")
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await self._link.connected()
        except TimeoutError as error:
            await self.__aexit__(None, None, None)
            raise Unreachable(f"No connection to {self._url}: {self._link.last_failure or 'no answer'}") from error
        except (ClientError, asyncio.CancelledError):
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Say the last acknowledgements, then close. Messages without an answer fail with Closed.

        An error of the body goes on as it is; else one of the client's own, such as the token factory's, is raised.
        """
        await self._link.say(self._dialogue.acks())
        if self._running is not None:
            self._running.cancel()
        failure = None
        try:
            await self._tasks.__aexit__(None, None, None)
        except BaseExceptionGroup as group:  # the group is how the client is built, and nobody's concern
            failure = first_of(group)
        self._link.end(Closed("The client is closed."))
        if failure is None:
            return
        if error is None or isinstance(error, asyncio.CancelledError):  # cancelled because of the failure
            raise failure
        log.error("the client failed, too: %r", failure)

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands."""
        return self._link.state

    @property
    def user_id(self) -> str:
        """Who the server says we are; empty before the first welcome."""
        return self._dialogue.user_id

    @property
    def rooms(self) -> Rooms:
        """What is known of the conversations: members, names, unread counts. Events keep it up to date."""
        return self._dialogue.rooms

    @property
    def presences(self) -> Mapping[str, PresenceChanged]:
        """Each user's presence as it was last told."""
        return self._dialogue.presences.seen

    def drop(self) -> None:
        """Lose the connection as a broken network would; the client then makes a new one. For tests."""
        self._link.drop()

    # --- events

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """Take the next event. Cancelling loses nothing. Raises: Closed, with the close code where there is one."""
        return await self._dialogue.events.get()

    async def next(self, kind: type[E]) -> E:
        """Take the next event of one kind; those of other kinds before it are dropped. Raises: Closed."""
        while True:
            event = await self._dialogue.events.get()
            if isinstance(event, kind):
                return event

    # --- messages

    async def send(
        self,
        content: str = "",
        *,
        to: str | None = None,
        conversation_id: str | None = None,
        client_id: str | None = None,
        type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        reply_to: str | None = None,
        mentions: Sequence[str] | None = None,
    ) -> Sent:
        """Send a message, to a user or a conversation, and wait for the server's answer. Calls may overlap.

        The message is sent again, in order, until it is answered, however often the connection is lost. Cancelled, it
        may or may not be stored: send the same `client_id` again to know. Raises: ServerError (refused), OutboxFull,
        Closed.
        """
        self._link.check_open()
        client_id = client_id or uuid.uuid4().hex
        fields = {"type": type, "metadata": metadata, "reply_to": reply_to, "mentions": mentions}
        data = {**_target(to, conversation_id), "client_id": client_id, "content": content, **wire.given(fields)}
        return await self._dialogue.sending.send(client_id, data)

    async def edit(
        self,
        message_id: str,
        content: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        mentions: Sequence[str] | None = None,
    ) -> Changed:
        """Give one of our messages another content. Raises: as `history`, like every change and question below."""
        fields = wire.given({"metadata": metadata, "mentions": mentions})
        return await self._ask("edit", {"message_id": message_id, "content": content, **fields}, Changed)

    async def delete(self, message_id: str, *, scope: str = "everyone") -> Changed:
        """Delete a message for `everyone`, or from our own sight: `me`."""
        return await self._ask("delete", {"message_id": message_id, "scope": scope}, Changed)

    async def react(self, message_id: str, emoji: str, *, remove: bool = False) -> Changed:
        """React to a message, or take that back."""
        return await self._ask("react", {"message_id": message_id, "emoji": emoji, "remove": remove}, Changed)

    def ack(self, conversation_id: str, seq: int, stage: Stage = Stage.DELIVERED) -> None:
        """Say that everything up to `seq` is delivered or read. Coalesced; said again after a lost connection."""
        self._dialogue.ack(conversation_id, seq, stage)

    def typing(self, *, to: str | None = None, conversation_id: str | None = None, active: bool = True) -> None:
        """Say that we are typing, or have stopped; lost where there is no connection."""
        with contextlib.suppress(ConnectionLost):
            self._dialogue.post(wire.encode("typing", {**_target(to, conversation_id), "active": active}))

    async def history(
        self, conversation_id: str, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> HistoryPage:
        """Get a page of messages in seq order: the newest, just before a seq, or just after one.

        Raises: ServerError, TimeoutError, Closed.
        """
        bounds = wire.given({"before": before, "after": after})
        return await self._ask("history", {"conversation_id": conversation_id, "limit": limit, **bounds}, HistoryPage)

    async def sync(self) -> None:
        """Bring what is missing as events; the client does this by itself after a lost connection and on a gap.

        Returns when it is done. Raises: TimeoutError.
        """
        self._dialogue.catch_up.fall_behind()
        async with asyncio.timeout(self._options.request_timeout_s):
            await self._dialogue.catch_up.up_to_date()

    async def ping(self) -> None:
        """Go to the gateway and back. Raises: TimeoutError, Closed."""
        await self._ask("ping", {}, msgspec.Raw)

    # --- presence

    async def set_status(self, status: str, text: str | None = None) -> None:
        """Be seen as online, away, dnd or invisible, on all our devices and until we say otherwise."""
        await self._ask("presence", {"status": status, **wire.given({"text": text})}, msgspec.Raw)

    async def subscribe(self, users: Sequence[str]) -> tuple[PresenceChanged, ...]:
        """Watch users: gives their presence; changes come as events, also over later connections."""
        presence = await self._again(lambda: self._dialogue.subscribe("subscribe", users))
        self._dialogue.presences.watch(users, presence)
        return presence

    async def unsubscribe(self, users: Sequence[str]) -> None:
        """Watch users no more."""
        self._dialogue.presences.leave(users)
        await self._again(lambda: self._dialogue.subscribe("unsubscribe", users))

    # --- asking

    async def _ask(self, kind: str, data: dict[str, Any], answer: type[T]) -> T:
        return await self._again(lambda: self._dialogue.requests.ask(kind, data, answer))

    async def _again(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, and ask again where the connection is lost: questions, and changes that are so already, do no harm."""
        async with asyncio.timeout(self._options.request_timeout_s):
            while True:
                await self._link.connected()
                try:
                    return await ask()
                except ConnectionLost:
                    continue


def _target(to: str | None, conversation_id: str | None) -> dict[str, Any]:
    if (to is None) == (conversation_id is None):
        raise ValueError("Give either to or conversation_id.")
    return {"to": to} if to is not None else {"conversation_id": conversation_id}
