"""The public app on a real socket, and a client that listens to its server-sent events."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

PATIENCE_S = 5.0


class Told(NamedTuple):
    """One event, or one comment (all None)."""

    id: str | None
    frame: dict[str, Any] | None
    name: str | None = None


class Listener:
    """Reads events as the standard says: lines, an empty one at the end of each."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self._lines = response.aiter_lines()
        self.last_id: str | None = None
        self.named: list[tuple[str, dict[str, Any]]] = []  # the events with a name that have come, with their data

    async def told(self) -> Told:
        """Give the next event without a name, or comment. Raises: StopAsyncIteration at the stream's end."""
        while (told := await self.any()).name is not None:
            assert told.frame is not None
            self.named.append((told.name, told.frame))
        return told

    async def any(self) -> Told:
        """Give the next event or comment, as it comes. Raises likewise."""
        id_, data, name = None, None, None
        async with asyncio.timeout(PATIENCE_S):
            while line := await anext(self._lines):
                field, _, value = line.partition(":")
                if field == "id":
                    id_ = self.last_id = value.strip()
                elif field == "data":
                    data = json.loads(value)
                elif field == "event":
                    name = value.strip()
        return Told(id_, data, name)

    async def next(self, type_: str) -> dict[str, Any]:
        """Give the data of the next event, which must be of this type."""
        told = await self.told()
        assert told.frame is not None, "a comment"
        assert told.frame["type"] == type_, told.frame
        data: dict[str, Any] = told.frame["error" if type_ == "error" else "data"]
        return data

    async def ended(self) -> bool:
        """Tell whether the stream ends here."""
        try:
            told = await self.told()
        except StopAsyncIteration:
            return True
        raise AssertionError(told)


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the app as the process does, in the test's own loop."""
    config = uvicorn.Config(app, http="httptools", log_config=None, lifespan="off", access_log=False)
    config.load()
    state = ServerState()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpToolsProtocol(config, state, {}), sock=listening)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as http:
            yield http
    finally:
        server.close()
        for connection in tuple(state.connections):
            connection.transport.abort()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=PATIENCE_S)


@asynccontextmanager
async def listening(http: httpx.AsyncClient, path: str, **headers: str) -> AsyncIterator[Listener]:
    """Listen until the context ends, then hang up."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.stream("GET", path, headers=named) as response:
        yield Listener(response)
