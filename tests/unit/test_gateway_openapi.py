"""The OpenAPI document names every answer that the REST API gives."""

import asyncio
from typing import Any

import httpx
import pytest

from shared.commands import ConversationKind
from shared.envelope import Body
from shared.errors import ErrorBody
from shared.events import ConversationCreated, Rejected, Stored
from shared.ids import MessageId, direct_conversation_id
from tests.fakes.clock import START, settle
from tests.fakes.edge import Edge, gateway
from tests.fakes.messages import ALICE, BOB, ROOM, conversation

TOKEN = "/api/auth/token"
CONVERSATIONS = "/v1/conversations"
CONVERSATION = "/v1/conversations/{conversation_id}"
MESSAGES = "/v1/conversations/{conversation_id}/messages"
DIRECT = direct_conversation_id(ALICE, BOB)
WISH = {"kind": "direct", "member_ids": ["alice"]}
STORED = Stored(
    message_id=MessageId("m"), conversation_id=ROOM, client_id="c", seq=1, version=1, number=1, created_at=START
)
LONG = {"metadata": {"x": "y" * 4_096}}
LONG_BODY = {"x": "y" * 2**20}
RECEIPT = {"conversation_id": ROOM, "seq": 1, "stage": "read"}


def rejected(code: str) -> Rejected:
    return Rejected(error=ErrorBody(code=code, message="No."))


def made(*, created: bool) -> ConversationCreated:
    return ConversationCreated(conversation_id=DIRECT, number=1, kind=ConversationKind.DIRECT, created=created)


# method, path, query, body, history's answer to the command → status
PLAYS: list[tuple[str, str, str, object, Body | None, int]] = [
    ("POST", TOKEN, "", {"user_id": "bob"}, None, 200),
    ("POST", TOKEN, "", {"user_id": "b b"}, None, 422),
    ("POST", TOKEN, "", b"{", None, 400),
    ("POST", TOKEN, "", LONG_BODY, None, 413),
    ("GET", CONVERSATIONS, "", None, None, 200),
    ("GET", CONVERSATIONS, "?limit=0", None, None, 422),
    ("POST", CONVERSATIONS, "", WISH, made(created=True), 201),
    ("POST", CONVERSATIONS, "", WISH, made(created=False), 200),
    ("POST", CONVERSATIONS, "", WISH, None, 503),
    ("POST", CONVERSATIONS, "", {"kind": "group"}, None, 400),
    ("POST", CONVERSATIONS, "", {"kind": "herd"}, None, 422),
    ("POST", CONVERSATIONS, "", WISH | LONG, None, 413),
    ("GET", CONVERSATION, "", None, None, 200),
    ("GET", MESSAGES, "", None, None, 200),
    ("GET", MESSAGES, "?before=2&after=1", None, None, 400),
    ("GET", MESSAGES, "?limit=x", None, None, 422),
    ("POST", MESSAGES, "", {"content": "hi"}, STORED, 200),
    ("POST", MESSAGES, "", {"content": "hi"}, None, 202),
    ("POST", MESSAGES, "", {"content": "hi"}, rejected("not_a_member"), 403),
    ("POST", MESSAGES, "", {"content": "hi"}, rejected("not_found"), 404),
    ("POST", MESSAGES, "", {"content": "hi"}, rejected("unavailable"), 503),
    ("POST", MESSAGES, "", {"attachments": [{}]}, None, 400),
    ("POST", MESSAGES, "", {"type": "hologram"}, None, 422),
    ("POST", MESSAGES, "", LONG, None, 413),
    ("GET", "/v1/unread", "", None, None, 200),
    ("POST", "/v1/receipts", "", RECEIPT, None, 202),
    ("POST", "/v1/receipts", "", RECEIPT | {"seq": 0}, None, 422),
    ("POST", "/v1/receipts", "", b"{", None, 400),
    ("POST", "/v1/receipts", "", LONG_BODY, None, 413),
]
BEHIND_A_TOKEN = list(dict.fromkeys((method, path) for method, path, *_ in PLAYS if path != TOKEN))


async def play(
    edge: Edge, method: str, path: str, *, query: str = "", body: object = None, history: Body | None = None
) -> int:
    """Make a request as bob, let history answer it, or nobody in time, and give the status."""
    url = path.format(conversation_id=ROOM) + query
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    headers = {"Authorization": f"Bearer {edge.token()}", "Content-Type": "application/json"}
    transport = httpx.ASGITransport(edge.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http, asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(http.request(method, url, headers=headers, **content))
        await settle()
        if history is not None:
            [envelope] = await edge.posted()
            await edge.tell(history, answer_to=envelope.id)
        await edge.clock.advance(6)
    return asking.result().status_code


async def documented(edge: Edge, method: str, path: str) -> dict[str, Any]:
    """Give the answers that the document names for a route."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge.app), base_url="http://gateway") as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    answers: dict[str, Any] = paths[path][method.lower()]["responses"]
    return answers


@pytest.mark.parametrize(("method", "path", "query", "body", "history", "status"), PLAYS)
async def test_an_answer_is_in_the_document(
    method: str, path: str, query: str, body: object, history: Body | None, status: int
) -> None:
    async with gateway() as edge:
        edge.history.known = {room: conversation(0, room=room) for room in (ROOM, DIRECT)}
        assert await play(edge, method, path, query=query, body=body, history=history) == status
        assert str(status) in await documented(edge, method, path)


@pytest.mark.parametrize(("method", "path"), BEHIND_A_TOKEN)
async def test_too_much_and_a_history_that_is_away_are_in_the_document(method: str, path: str) -> None:
    async with gateway(rate_per_s="0.1", rate_burst="1") as edge:
        edge.history.down = True
        first = await play(edge, method, path)
        assert first in ({503} if method == "GET" else {422})
        assert await play(edge, method, path) == 429
        assert {"401", "429", "503", str(first)} <= set(await documented(edge, method, path))


async def test_what_is_not_there_is_in_the_document() -> None:
    async with gateway() as edge:
        assert await play(edge, "GET", CONVERSATION) == 404
        assert (await documented(edge, "GET", CONVERSATION))["404"]["description"] == "not_found"


async def test_every_error_of_the_document_is_an_error_body_described_by_its_codes() -> None:
    async with gateway() as edge:
        for method, path in {(method, path) for method, path, *_ in PLAYS}:
            for status, answer in (await documented(edge, method, path)).items():
                schema = answer["content"]["application/json"]["schema"]
                assert (schema == {"$ref": "#/components/schemas/ErrorBody"}) == (status >= "400"), (path, status)
                assert status != "401" or answer["description"] == "unauthenticated, token_expired"
