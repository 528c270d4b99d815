"""Messages with someone waiting for their answer: matches replies, refusals and receipts with who sent what."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from client import wire
from client.errors import ClientError, SendFailed, ServerError
from client.outbox import Outbox

PREFIX = "s:"  # frame ids of messages: the client_id follows
_AGAIN = ("unavailable", "rate_limited")
_DEFAULT_PAUSE_MS = 1000

WakeIn = Callable[[float], None]  # calls for a look at `due` after so many seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the server said of a message. `status` accepted: it has no place yet, `await sent.stored()` brings it."""

    client_id: str
    status: str
    message_id: str
    conversation_id: str
    seq: int | None = None
    version: int | None = None
    number: int | None = None
    created_at: datetime | None = None
    settled: "asyncio.Future[Sent]" = field(repr=False, compare=False)

    async def stored(self) -> "Sent":
        """Wait until the message is stored. Cancelling loses nothing. Raises: SendFailed, Closed."""
        return await asyncio.shield(self.settled)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """The two answers that a message gets: the first one, and its fate. Often they are the same."""

    answered: "asyncio.Future[Sent]"
    settled: "asyncio.Future[Sent]"


class Sending:
    """Sends messages in order and again, until each is stored or failed."""

    def __init__(self, *, limit: int, wake_in: WakeIn) -> None:
        self._outbox = Outbox(limit)
        self._wake_in = wake_in
        self._waiting: dict[str, _Waiting] = {}  # by client_id

    async def send(self, client_id: str, data: dict[str, Any]) -> Sent:
        """Send and wait for the first answer; a client_id that is on its way already is not sent twice.

        Cancelled, it may or may not be stored. Raises: ServerError, OutboxFull, and what `end` is given.
        """
        waiting = self._waiting.get(client_id)
        if waiting is None:
            self._outbox.add(client_id, wire.encode("send", data, id=PREFIX + client_id))
            loop = asyncio.get_running_loop()
            waiting = self._waiting[client_id] = _Waiting(loop.create_future(), loop.create_future())
            self._wake_in(0)
        try:
            return await asyncio.shield(waiting.answered)
        except asyncio.CancelledError:
            self._outbox.settle(client_id)
            self._waiting.pop(client_id, None)
            raise

    def due(self) -> Sequence[bytes]:
        """Take the frames to write now."""
        return self._outbox.due(asyncio.get_running_loop().time())

    def lost(self) -> None:
        """After a lost connection: everything that is not settled is due again."""
        self._outbox.requeue()

    def end(self, error: ClientError) -> None:
        """Fail everything that waits."""
        for client_id in list(self._waiting):
            self._fail(client_id, error)

    def answered(self, frame: wire.Frame) -> None:
        """Take the `reply` or `error` to a message."""
        client_id = (frame.id or "").removeprefix(PREFIX)
        if frame.error is not None:
            self._refused(client_id, frame.error)
        elif (waiting := self._waiting.get(client_id)) is not None:
            reply = wire.read(frame.data, wire.SendReply)
            sent = Sent(client_id=client_id, settled=waiting.settled, **msgspec.structs.asdict(reply))
            if reply.status == "stored":
                self._settle(client_id, sent)
            elif not waiting.answered.done():
                waiting.answered.set_result(sent)

    def stored(self, client_id: str, message_id: str, place: wire.Message | wire.Receipt) -> None:
        """Take the place of a message, learnt from its receipt or from the message itself."""
        waiting = self._waiting.get(client_id)
        if waiting is not None:
            sent = Sent(
                client_id=client_id,
                status="stored",
                message_id=message_id,
                conversation_id=place.conversation_id,
                seq=place.seq,
                version=place.version,
                number=place.number,
                created_at=place.created_at,
                settled=waiting.settled,
            )
            self._settle(client_id, sent)

    def failed(self, receipt: wire.Receipt) -> None:
        """Take the receipt of a message that was given up."""
        self._fail(receipt.client_id, SendFailed(receipt.code, receipt.message))

    def _refused(self, client_id: str, error: wire.ErrorBody) -> None:
        if error.code in _AGAIN:
            pause_s = (_DEFAULT_PAUSE_MS if error.retry_after_ms is None else error.retry_after_ms) / 1000
            if self._outbox.postpone(client_id, asyncio.get_running_loop().time() + pause_s):
                self._wake_in(pause_s)
        else:
            self._fail(client_id, ServerError.of(error))

    def _settle(self, client_id: str, sent: Sent) -> None:
        self._outbox.settle(client_id)
        waiting = self._waiting.pop(client_id)
        waiting.settled.set_result(sent)
        if not waiting.answered.done():
            waiting.answered.set_result(sent)

    def _fail(self, client_id: str, error: ClientError) -> None:
        self._outbox.settle(client_id)
        waiting = self._waiting.pop(client_id, None)
        if waiting is not None:
            for future in (waiting.settled, waiting.answered):
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # it need not be awaited
