"""What one client and the server have to say to each other, whatever connection carries it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from client import sending, wire
from client.catch_up import CatchUp
from client.entries import entry
from client.errors import ClientError, ConnectionLost, ServerError
from client.events import (
    ConnectionChanged,
    Event,
    EventBuffer,
    MessageFailed,
    MessageReceived,
    PresenceAnswer,
    PresenceChanged,
    ReceiptAdvanced,
    Typing,
)
from client.options import Options
from client.presences import Presences
from client.requests import Requests
from client.rooms import Rooms
from client.sending import Sending
from client.timeline import Timeline
from client.watermarks import Watermarks
from client.wire import Frame, Stage

log = logging.getLogger("warren.client")


class Dialogue:
    """Turns frames into events and answers, and what is to be said into frames. A `Talk` of the link."""

    def __init__(self, options: Options, *, wake: Callable[[], None], drop: Callable[[], None]) -> None:
        self._options = options
        self._wake = wake
        self._open = False
        self._posted: list[bytes] = []  # frames of this connection that are neither messages nor acknowledgements
        self._ack_timer: asyncio.TimerHandle | None = None
        self._watermarks = Watermarks()
        self._timeline = Timeline()
        self.user_id = ""
        self.retry_after_ms: int | None = None
        self.events = EventBuffer(options.max_events)
        self.rooms = Rooms()
        self.presences = Presences()
        self.sending = Sending(limit=options.max_unsettled, wake_in=self._wake_in)
        self.requests = Requests(self.post)
        self.catch_up = CatchUp(self._timeline, self.requests, tell=self._tell, know=self.rooms.know, drop=drop)

    # --- the life of the link

    @property
    def since(self) -> str | None:
        """What we have, for the next hello."""
        return self._timeline.since

    def started(self, welcome: wire.Welcome) -> None:
        """On a new connection: what was missed is to be fetched, what was not answered to be said again."""
        if self.user_id:
            self.catch_up.lost()
        else:
            self._timeline.since = welcome.since
        self._open = True
        self.user_id = self.rooms.user_id = welcome.user_id
        self.retry_after_ms = None
        self.sending.lost()
        self._watermarks.again()
        self._posted.extend(self.acks())

    async def run(self) -> None:
        """Catch up whenever that is needed, and watch again those whom we watched."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._subscribe_again(), name="warren.client.subscribe")
            await self.catch_up.run()

    def refused(self, code: str | None) -> None:
        """Where the server does not know the token of what we have, the next sync asks for everything."""
        if code == "invalid":
            self._timeline.forget_since()

    def lost(self) -> None:
        """Without a connection: questions get no answer."""
        self._open = False
        self._posted.clear()
        self.requests.lost()

    def ended(self, error: ClientError) -> None:
        """Tell everyone who waits that nothing will come."""
        self.sending.end(error)
        self.events.end(error)

    # --- what we write

    def due(self) -> Sequence[bytes]:
        """Take the frames to write now."""
        posted, self._posted = self._posted, []
        return (*posted, *self.sending.due())

    def post(self, frame: bytes) -> None:
        """Say something on this connection. Raises: ConnectionLost."""
        if not self._open:
            raise ConnectionLost("There is no connection.")
        self._posted.append(frame)
        self._wake()

    def ack(self, conversation_id: str, seq: int, stage: Stage) -> None:
        """Owe an acknowledgement, said soon with others."""
        if self._watermarks.advance(conversation_id, seq, stage) and self._ack_timer is None:
            self._ack_timer = asyncio.get_running_loop().call_later(self._options.ack_every_s, self._ack_now)

    def acks(self) -> Sequence[bytes]:
        """Take the acknowledgements that are owed."""
        return [
            wire.encode("ack", {"conversation_id": conversation_id, "stage": stage.value, "seq": seq})
            for (conversation_id, stage), seq in self._watermarks.take().items()
        ]

    async def subscribe(self, kind: str, users: Sequence[str]) -> tuple[PresenceChanged, ...]:
        """Ask to `subscribe` or `unsubscribe`; gives the presence of those now watched. Raises: as `Requests.ask`."""
        data: dict[str, Any] = {"users": list(users)}
        return (await self.requests.ask(kind, data, PresenceAnswer)).presence

    async def _subscribe_again(self) -> None:
        users = self.presences.watched
        if not users:
            return
        try:
            for presence in await self.subscribe("subscribe", users):
                self._on_presence(presence)
        except ConnectionLost:
            return
        except ServerError as error:
            log.warning("presence is not told on this connection: %s", error)

    def _wake_in(self, seconds: float) -> None:
        if seconds > 0:
            asyncio.get_running_loop().call_later(seconds, self._wake)
        else:
            self._wake()

    def _ack_now(self) -> None:
        self._ack_timer = None
        if self._open:  # else said as soon as there is a connection
            self._posted.extend(self.acks())
            self._wake()

    # --- what we hear

    def hear(self, frame: Frame) -> None:
        """Take a frame; one of an unknown type says nothing. Raises: msgspec.MsgspecError."""
        match frame.type:
            case "reply" | "error":
                is_message = frame.id is not None and frame.id.startswith(sending.PREFIX)
                (self.sending if is_message else self.requests).answered(frame)
            case "receipt":
                self._on_receipt(wire.read(frame.data, wire.Receipt))
            case "typing":
                self.events.put(wire.read(frame.data, Typing))
            case "presence":
                self._on_presence(wire.read(frame.data, PresenceChanged))
            case "lagged":
                self.catch_up.fall_behind()
            case "bye":
                self.retry_after_ms = wire.read(frame.data, wire.Bye).retry_after_ms
            case other:
                if (found := entry(frame)) is not None:
                    self.catch_up.take(found)
                else:
                    log.debug("unknown frame type %s", other)

    def tell(self, event: ConnectionChanged) -> None:
        """Tell the program where the connection stands."""
        self.events.put(event)

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, MessageReceived) and event.message.sender_id == self.user_id:
                self.sending.stored(event.message.client_id, event.message.id, event.message)
            self.rooms.apply(event)
            self.events.put(event)

    def _on_presence(self, presence: PresenceChanged) -> None:
        if self.presences.take(presence):
            self.events.put(presence)

    def _on_receipt(self, receipt: wire.Receipt) -> None:
        match receipt.stage:
            case "stored":
                self.sending.stored(receipt.client_id, receipt.message_id, receipt)
            case "failed":
                self.sending.failed(receipt)
                self.events.put(_failed(receipt))
            case Stage.DELIVERED | Stage.READ:
                self._tell(self._timeline.advance(_advanced(receipt)))
            case other:
                log.debug("unknown receipt stage %s", other)


def _failed(receipt: wire.Receipt) -> MessageFailed:
    return MessageFailed(
        conversation_id=receipt.conversation_id,
        message_id=receipt.message_id,
        client_id=receipt.client_id,
        code=receipt.code,
    )


def _advanced(receipt: wire.Receipt) -> ReceiptAdvanced:
    return ReceiptAdvanced(
        conversation_id=receipt.conversation_id,
        user_id=receipt.user_id,
        stage=Stage(receipt.stage),
        seq=receipt.seq or 0,
        at=receipt.at,
    )
