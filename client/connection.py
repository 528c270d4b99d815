"""Opens a socket and greets the server, or tells how that ended."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from client import wire
from client.backoff import UNAUTHENTICATED, Ending
from client.errors import ClientError, ServerError

_MAX_FRAME_BYTES = 2**24  # the answer to a sync can be large
_CLOSE_TIMEOUT_S = 2.0
_REFUSED_STATUSES = (401, 403)
_REFUSED_CODES = ("unauthenticated", "token_expired", "forbidden")


class NotWelcome(ClientError):
    """No connection came about; `ending` says what that means for the next attempt, `code` is the server's, if any."""

    def __init__(self, ending: Ending, code: str | None = None) -> None:
        super().__init__(ending.reason or f"closed with {ending.code}")
        self.ending = ending
        self.code = code


@contextlib.asynccontextmanager
async def open_socket(
    url: str, hello: dict[str, Any], *, timeout_s: float, heartbeat_s: float
) -> AsyncIterator[tuple[ClientConnection, wire.Welcome]]:
    """Connect and say hello; closes the socket at the end. Raises: NotWelcome."""
    async with contextlib.AsyncExitStack() as stack:
        with _translated():
            async with asyncio.timeout(timeout_s):
                socket = await connect(
                    url,
                    subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
                    ping_interval=heartbeat_s,
                    ping_timeout=heartbeat_s,
                    close_timeout=_CLOSE_TIMEOUT_S,
                    max_size=_MAX_FRAME_BYTES,
                )
                stack.push_async_callback(socket.close)
                welcome = await _greet(socket, hello)
        yield socket, welcome


async def _greet(socket: ClientConnection, hello: dict[str, Any]) -> wire.Welcome:
    await socket.send(wire.encode("hello", hello, id="hello"), text=True)
    while True:
        frame = wire.decode(await socket.recv(decode=False))
        if frame.error is not None:
            raise ServerError.of(frame.error)
        if frame.type == "reply" and frame.id == "hello":
            return wire.read(frame.data, wire.Welcome)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ConnectionClosed as error:
        close = error.rcvd
        raise NotWelcome(Ending(close.code, close.reason) if close is not None else Ending(None)) from error
    except ServerError as error:
        if error.code in _REFUSED_CODES:
            raise NotWelcome(Ending(UNAUTHENTICATED, str(error))) from error
        raise NotWelcome(Ending(None, str(error), error.retry_after_ms), error.code) from error
    except InvalidStatus as error:
        code = UNAUTHENTICATED if error.response.status_code in _REFUSED_STATUSES else None
        raise NotWelcome(Ending(code, str(error))) from error
    except TimeoutError as error:
        raise NotWelcome(Ending(None, "no answer in time")) from error
    except (OSError, InvalidHandshake, InvalidURI, msgspec.MsgspecError) as error:
        raise NotWelcome(Ending(None, str(error))) from error
