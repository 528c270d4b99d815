"""A caller of the public REST API, and history as the test plays it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx

from shared.commands import Change, Command
from shared.envelope import Body
from shared.errors import ErrorBody
from shared.events import Changed, Rejected
from tests.fakes.edge import Edge

CommandT = TypeVar("CommandT", bound=Command)
VERSION = 9


@asynccontextmanager
async def caller(
    edge: Edge, *, user: str | None = "bob", device: str | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Call as a user; None: without a token."""
    headers = {"Authorization": f"Bearer {edge.token(user, device=device)}"} if user else {}
    transport = httpx.ASGITransport(edge.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as http:
        yield http


async def played(
    edge: Edge, kind: type[CommandT], request: Coroutine[Any, Any, httpx.Response], answer: Body | None = None
) -> tuple[CommandT, httpx.Response]:
    """Make a request, answer the command that it posts (None: it is done), give both."""
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(request)
        [envelope] = await edge.posted()
        command = envelope.body
        assert isinstance(command, kind), command
        await edge.tell(answer or done(command), answer_to=envelope.id)
    return command, asking.result()


def done(command: Command) -> Changed:
    assert isinstance(command, Change)
    return Changed(change_id=command.change_id, conversation_id=command.conversation_id, version=VERSION)


def rejected(code: str) -> Rejected:
    return Rejected(error=ErrorBody(code=code, message="No."))
