"""The OpenAPI document names every answer that the REST API gives."""

import asyncio
import re
from typing import Any, TypeAlias

import httpx
import pytest
from fastapi import FastAPI

from shared.commands import ConversationKind
from shared.envelope import Body
from shared.events import Changed, ConversationCreated, DeviceInfo, Stored
from shared.history_api import MessagePlace
from shared.ids import ConversationId, DeviceId, MessageId, direct_conversation_id
from shared.presence_api import Device, Profile
from tests.fakes.clock import START, settle
from tests.fakes.edge import Edge, gateway
from tests.fakes.messages import ALICE, BOB, ROOM, conversation
from tests.fakes.queries import STRANGE
from tests.fakes.rest import rejected

TOKEN = "/api/auth/token"
CONVERSATIONS = "/v1/conversations"
CONVERSATION = "/v1/conversations/{conversation_id}"
MESSAGES = CONVERSATION + "/messages"
MEMBERS = CONVERSATION + "/members"
MEMBER = MEMBERS + "/{user_id}"
CHANNELS = CONVERSATION + "/channels"
READERS = CONVERSATION + "/receipts"
RECEIPTS = "/v1/receipts"
MESSAGE = "/v1/messages/{message_id}"
REACTION = MESSAGE + "/reactions/{emoji}"
USERS = "/v1/users"
USER = USERS + "/{user_id}"
DEVICE = "/v1/devices/{device_id}"
DIRECT = direct_conversation_id(ALICE, BOB)
NAMES = {"conversation_id": ROOM, "message_id": "m1", "emoji": "x", "user_id": "bob", "device_id": "phone"}
WISH = {"kind": "direct", "member_ids": ["alice"]}
STORED = Stored(
    message_id=MessageId("m"), conversation_id=ROOM, client_id="c", seq=1, version=1, number=1, created_at=START
)
CHANGED = Changed(change_id=MessageId("e"), conversation_id=ROOM, version=2)
LONG = {"metadata": {"x": "y" * 4_096}}
LONG_BODY = {"x": "y" * 2**20}
HI = {"content": "hi"}
RECEIPT = {"conversation_id": ROOM, "seq": 1, "stage": "read"}
JOINING = {"user_ids": ["carol"]}


def made(*, created: bool) -> ConversationCreated:
    return ConversationCreated(conversation_id=DIRECT, number=1, kind=ConversationKind.DIRECT, created=created)


# method, path, query, body, history's answer to the command → status
Play: TypeAlias = tuple[str, str, str, object, Body | None, int]


def refusals(method: str, path: str, body: object, **codes: int) -> list[Play]:
    """What comes of a request where history refuses its command."""
    return [(method, path, "", body, rejected(code), status) for code, status in codes.items()]


PLAYS: list[Play] = [
    ("POST", TOKEN, "", {"user_id": "bob"}, None, 200),
    ("POST", TOKEN, "", {"user_id": "b b"}, None, 422),
    ("POST", TOKEN, "", b"{", None, 400),
    ("POST", TOKEN, "", LONG_BODY, None, 413),
    ("GET", CONVERSATIONS, "", None, None, 200),
    ("GET", CONVERSATIONS, "?limit=0", None, None, 422),
    ("GET", CONVERSATIONS, f"?cursor={STRANGE}", None, None, 400),
    ("POST", CONVERSATIONS, "", WISH, made(created=True), 201),
    ("POST", CONVERSATIONS, "", WISH, made(created=False), 200),
    ("POST", CONVERSATIONS, "", WISH, None, 503),
    ("POST", CONVERSATIONS, "", {"kind": "direct"}, None, 400),
    ("POST", CONVERSATIONS, "", {"kind": "herd"}, None, 422),
    ("POST", CONVERSATIONS, "", WISH | LONG, None, 413),
    *refusals("POST", CONVERSATIONS, {"kind": "group"}, forbidden=403, not_found=404),
    ("GET", CONVERSATION, "", None, None, 200),
    ("GET", "/v1/conversations/secret", "", None, None, 403),
    ("GET", "/v1/conversations/7", "", None, None, 404),
    ("GET", "/v1/conversations/a b", "", None, None, 422),
    ("PATCH", CONVERSATION, "", {"name": "x"}, CHANGED, 200),
    ("PATCH", CONVERSATION, "", {"name": ""}, None, 422),
    ("PATCH", CONVERSATION, "", LONG, None, 413),
    *refusals("PATCH", CONVERSATION, {}, invalid=400, forbidden=403, not_found=404),
    ("GET", CHANNELS, "", None, None, 200),
    ("GET", "/v1/conversations/secret/channels", "", None, None, 403),
    ("GET", "/v1/conversations/7/channels", "", None, None, 404),
    ("GET", "/v1/conversations/a b/channels", "", None, None, 422),
    ("GET", MEMBERS, "", None, None, 200),
    ("GET", MEMBERS, f"?cursor={STRANGE}", None, None, 400),
    ("GET", "/v1/conversations/secret/members", "", None, None, 403),
    ("GET", "/v1/conversations/7/members", "", None, None, 404),
    ("GET", MEMBERS, "?limit=x", None, None, 422),
    ("POST", MEMBERS, "", JOINING, CHANGED, 200),
    ("POST", MEMBERS, "", {}, None, 422),
    *refusals("POST", MEMBERS, JOINING, invalid=400, forbidden=403, not_found=404, conflict=409, too_large=413),
    ("PUT", MEMBER, "", {}, CHANGED, 200),
    ("PUT", MEMBER, "", {"role": "king"}, None, 422),
    *refusals("PUT", MEMBER, {}, invalid=400, forbidden=403, not_found=404, conflict=409, too_large=413),
    ("DELETE", MEMBER, "", None, CHANGED, 204),
    ("DELETE", MEMBERS + "/b b", "", None, None, 422),
    *refusals("DELETE", MEMBER, None, invalid=400, forbidden=403, not_found=404, conflict=409),
    ("GET", MESSAGES, "", None, None, 200),
    ("GET", MESSAGES, "?before=2&after=1", None, None, 400),
    ("GET", MESSAGES, "?limit=x", None, None, 422),
    ("GET", "/v1/conversations/secret/messages", "", None, None, 403),
    ("GET", "/v1/conversations/7/messages", "", None, None, 404),
    ("POST", MESSAGES, "", HI, STORED, 200),
    ("POST", MESSAGES, "", HI, None, 202),
    *refusals("POST", MESSAGES, HI, not_a_member=403, not_found=404, unavailable=503),
    ("POST", MESSAGES, "", {"attachments": [{}]}, None, 400),
    ("POST", MESSAGES, "", {"type": "hologram"}, None, 422),
    ("POST", MESSAGES, "", LONG, None, 413),
    ("GET", READERS, "?seq=1", None, None, 200),
    ("GET", READERS, "", None, None, 422),
    ("GET", "/v1/conversations/secret/receipts", "?seq=1", None, None, 403),
    ("GET", READERS, "?seq=2", None, None, 404),
    ("PATCH", MESSAGE, "", HI, CHANGED, 200),
    ("PATCH", MESSAGE, "", b"{", None, 400),
    ("PATCH", MESSAGE, "", {}, None, 422),
    ("PATCH", MESSAGE, "", HI | LONG, None, 413),
    *refusals("PATCH", MESSAGE, HI, forbidden=403, not_found=404, conflict=409),
    ("DELETE", MESSAGE, "", None, CHANGED, 200),
    ("DELETE", MESSAGE, "?scope=you", None, None, 422),
    *refusals("DELETE", MESSAGE, None, forbidden=403, not_found=404),
    ("PUT", REACTION, "", None, CHANGED, 200),
    ("PUT", MESSAGE + "/reactions/ ", "", None, None, 422),
    *refusals("PUT", REACTION, None, not_a_member=403, not_found=404, conflict=409, too_large=413),
    ("DELETE", REACTION, "", None, CHANGED, 200),
    ("DELETE", MESSAGE + "/reactions/ ", "", None, None, 422),
    *refusals("DELETE", REACTION, None, not_a_member=403, not_found=404, conflict=409),
    ("GET", "/v1/unread", "", None, None, 200),
    ("POST", RECEIPTS, "", RECEIPT, None, 202),
    ("POST", RECEIPTS, "", RECEIPT | {"seq": 0}, None, 422),
    ("POST", RECEIPTS, "", RECEIPT | {"conversation_id": 7}, None, 404),
    ("POST", RECEIPTS, "", b"{", None, 400),
    ("POST", RECEIPTS, "", LONG_BODY, None, 413),
    ("GET", "/v1/sync", "", None, None, 200),
    ("GET", "/v1/sync", "?since=nonsense", None, None, 400),
    ("GET", USERS, "?q=b", None, None, 200),
    ("GET", USERS, f"?q=b&cursor={STRANGE}", None, None, 400),
    ("GET", USERS, "", None, None, 422),
    ("GET", USER, "", None, None, 200),
    ("GET", USERS + "/carol", "", None, None, 404),
    ("GET", USERS + "/b b", "", None, None, 422),
    ("PATCH", USER, "", {"name": "Bobby"}, None, 200),
    ("PATCH", USER, "", b"{", None, 400),
    ("PATCH", USERS + "/alice", "", {}, None, 403),
    ("PATCH", USER, "", {"username": "al"}, None, 409),
    ("PATCH", USER, "", LONG_BODY, None, 413),
    ("PATCH", USER, "", {"name": ""}, None, 422),
    ("GET", "/v1/presence", "?users=bob", None, None, 200),
    ("GET", "/v1/presence", "?users=" + ",".join(str(number) for number in range(501)), None, None, 413),
    ("GET", "/v1/presence", "", None, None, 422),
    ("GET", "/v1/devices", "", None, None, 200),
    ("DELETE", DEVICE, "", None, None, 204),
    ("DELETE", "/v1/devices/other", "", None, None, 404),
    ("DELETE", "/v1/devices/a b", "", None, None, 422),
]


WELL = list({play[:2]: play for play in PLAYS if play[5] < 300}.values())  # one of each operation that does its work
GENERAL = {"401", "429", "503"}  # what every route but the one that mints tokens may answer besides


def prepare(edge: Edge) -> None:
    """Let history and presence know what the plays speak of."""
    history, presence = edge.history, edge.presence
    history.known = {room: conversation(0, room=room) for room in (ROOM, DIRECT)}
    history.closed = {ConversationId("secret")}
    history.places[MessageId("m1")] = MessagePlace(message_id=MessageId("m1"), conversation_id=ROOM, seq=1)
    history.members_of[ROOM] = history.channels_of[ROOM] = ()
    history.receipts_of[ROOM, 1] = ()
    for user_id, username in ((ALICE, "al"), (BOB, None)):
        presence.people[user_id] = Profile(user_id=user_id, name="X", username=username, created_at=START)
    phone = DeviceInfo(id=DeviceId("phone"))
    presence.devices_of[BOB] = (Device(info=phone, first_seen=START, last_seen=START, online=False),)


async def play(
    edge: Edge, method: str, path: str, *, query: str = "", body: object = None, history: Body | None = None
) -> int:
    """Make a request as bob, let history answer it, or nobody in time, and give the status."""
    url = path.format(**NAMES) + query
    content: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
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


@pytest.fixture(scope="module")
def operations() -> dict[str, Any]:
    """The document's operations, by method and path."""
    app = Edge(asyncio.TaskGroup(), {}).app
    assert isinstance(app, FastAPI)
    paths = app.openapi()["paths"]
    return {f"{method.upper()} {path}": each for path, named in paths.items() for method, each in named.items()}


@pytest.fixture(scope="module")
def document(operations: dict[str, Any]) -> dict[str, Any]:
    """What each operation may answer."""
    return {name: each["responses"] for name, each in operations.items()}


def operation(method: str, path: str) -> str:
    """Name the document's operation of a request."""
    for known in dict.fromkeys(play[1] for play in PLAYS if "{" in play[1]):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path):
            return f"{method} {known}"
    return f"{method} {path}"


OPERATIONS = list(dict.fromkeys(operation(*play[:2]) for play in PLAYS))


@pytest.mark.parametrize("name", OPERATIONS)
async def test_every_answer_is_in_the_document(document: dict[str, Any], name: str) -> None:
    async with gateway() as edge:
        for method, path, query, body, history, status in PLAYS:
            if operation(method, path) == name:
                prepare(edge)
                await edge.posted()  # what nobody has answered
                given = await play(edge, method, path, query=query, body=body, history=history)
                assert given == status, (path, query, body)
                assert str(status) in document[name], (path, query, body)


def test_the_document_names_no_answer_that_is_never_given(document: dict[str, Any]) -> None:
    given = {f"PATCH {USER}": {*GENERAL, "404"}}  # who was erased a moment ago; not played here
    for method, path, _, _, _, status in PLAYS:
        general = set() if path == TOKEN else GENERAL
        given.setdefault(operation(method, path), set(general)).add(str(status))
    given["GET /sse"] = {"200", *GENERAL}
    assert {name: set(answers) for name, answers in document.items()} == given


@pytest.mark.parametrize(("method", "path", "query", "body", "history", "status"), WELL)
async def test_too_much_and_others_that_are_away_are_in_the_document(
    method: str, path: str, query: str, body: object, history: Body | None, status: int
) -> None:
    if path == TOKEN:
        return
    async with gateway(rate_per_s="0.1", rate_burst="1") as edge:
        prepare(edge)
        edge.history.down = edge.presence.down = True
        first = await play(edge, method, path, query=query, body=body)
        assert first == 503 or (first == 202 and status in (200, 202))  # the broker has it
        assert await play(edge, method, path, query=query, body=body) == 429


def test_every_error_of_the_document_is_an_error_body_described_by_its_codes(document: dict[str, Any]) -> None:
    for name, answers in document.items():
        for status, answer in answers.items():
            if status == "204" or "text/event-stream" in answer["content"]:
                continue
            schema = answer["content"]["application/json"]["schema"]
            assert (schema == {"$ref": "#/components/schemas/ErrorBody"}) == (status >= "400"), (name, status)
            assert status != "401" or answer["description"] == "unauthenticated, token_expired"


def test_operations_have_names_that_can_be_called(operations: dict[str, Any]) -> None:
    names = [each["operationId"] for each in operations.values()]
    assert len(set(names)) == len(names)
    assert {"create_conversation", "edit_message", "list_members", "sign_out", "listen"} <= set(names)
