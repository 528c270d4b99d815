"""Questions of one connection that wait for their answer."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from client import wire
from client.errors import ConnectionLost, ServerError

log = logging.getLogger("warren.client")

T = TypeVar("T")


class Requests:
    """Matches answers with questions by the frame's id."""

    def __init__(self, post: Callable[[bytes], None]) -> None:
        self._post = post
        self._count = 0
        self._waiting: dict[str, asyncio.Future[msgspec.Raw]] = {}

    async def ask(self, kind: str, data: dict[str, Any], answer: type[T]) -> T:
        """Ask, and wait for the answer. Raises: ServerError, ConnectionLost."""
        self._count += 1
        id = f"r:{self._count}"
        future = self._waiting[id] = asyncio.get_running_loop().create_future()
        try:
            self._post(wire.encode(kind, data, id=id))
            return wire.read(await future, answer)
        finally:
            self._waiting.pop(id, None)

    def answered(self, frame: wire.Frame) -> None:
        """Take a `reply` or `error`."""
        future = self._waiting.get(frame.id or "")
        if future is None or future.done():
            log.warning("an answer to nothing: %s %s", frame.type, frame.error)
        elif frame.error is not None:
            future.set_exception(ServerError.of(frame.error))
        else:
            future.set_result(frame.data)

    def lost(self) -> None:
        """Tell everyone who waits that no answer will come."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionLost("The connection was lost before the answer."))
