"""Nothing that a caller may send is more than a bad request: every answer is an error body with a status below 500."""

import asyncio
import json

import httpx
import pytest

from shared.history_api import MessagePlace
from shared.ids import MessageId
from shared.presence_api import Profile
from tests.fakes.clock import START
from tests.fakes.edge import Edge, gateway
from tests.fakes.listener import served
from tests.fakes.messages import BOB, ROOM, conversation
from tests.fakes.rest import caller

PATIENCE_S = 5.0
BODIES = [
    ("POST", "/v1/conversations"),
    ("PATCH", f"/v1/conversations/{ROOM}"),
    ("POST", f"/v1/conversations/{ROOM}/members"),
    ("PUT", f"/v1/conversations/{ROOM}/members/bob"),
    ("POST", f"/v1/conversations/{ROOM}/messages"),
    ("PATCH", "/v1/messages/m1"),
    ("POST", "/v1/receipts"),
    ("PATCH", "/v1/users/bob"),
    ("POST", "/api/messages/send"),
    ("POST", "/api/messages/list"),
    ("PUT", "/api/messages/status"),
]
STRANGE_BODIES = {
    "no JSON": b"{",
    "no object": b"[1]",
    "nothing": b"null",
    "no UTF-8": b'{"name": "\xff"}',
    "deep": b'{"metadata": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    "deep list": b"[" * 100_000,
    "a number of many digits": b'{"seq": ' + b"9" * 5_000 + b"}",
    "numbers that are none": b'{"kind": NaN, "metadata": {"a": Infinity}, "seq": -Infinity, "user_ids": [1e999]}',
    "a half character as a key": b'{"metadata": {"\\ud800": 1}, "content": "x", "kind": "group", "user_ids": ["a"]}',
    "a half character": json.dumps(
        dict.fromkeys(("name", "content", "bio", "conversation_id", "role"), "\udfff")
    ).encode(),
    "everything of another type": json.dumps(
        {key: {} for key in ("kind", "name", "content", "metadata", "user_ids", "role", "seq", "reply_to", "mentions")}
    ).encode(),
}
STRANGE_TYPES = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "application/json; charset=x",
    "",
]
STRANGE_PATHS = [
    b"/v1/conversations/%FF",
    b"/v1/conversations/%ED%A0%80",
    b"/v1/conversations/%00",
    b"/v1/conversations/%0A",
    b"/v1/conversations/" + b"9" * 128,
    b"/v1/conversations/" + b"9" * 16,
    b"/v1/conversations/%D9%A1",  # a digit, but none of ours
    b"/v1/conversations//messages",
    b"/v1/messages/m1/reactions/%FF",
    b"/v1/messages/m1/reactions/%ED%A0%80",
    b"/v1/messages/m1/reactions/a%2Fb%2F",
    b"/v1/messages/%2F/reactions/x",
    b"/v1/users?q=%FF&cursor=%00",
    b"/v1/users?q=%ED%A0%80",
    b"/v1/users/%F0%9F%91%8D",
    b"/v1/presence?users=%FF",
    b"/v1/sync?since=%FF",
    b"/v1/sync?since=AAAA",
    b"/v1/conversations?cursor=%00&limit=9999999999999999999999999",
    b"/v1/conversations?limit=1e3",
    b"//[",
    b"//[::1",
    b"/sse?token=%FF",
    b"/sse?token=%00",
    b"/api/messages/sessions/%FF",
    b"/api/messages/sessions/a%2Fb",
    b"/api/messages/sessions/" + b"9" * 16,
    b"/api/messages/unread?token=%FF",
    b"/api/sync/devices?token=%00",
]


def prepare(edge: Edge) -> None:
    edge.history.known[ROOM] = conversation(0)
    edge.history.places[MessageId("m1")] = MessagePlace(message_id=MessageId("m1"), conversation_id=ROOM, seq=1)
    edge.presence.people[BOB] = Profile(user_id=BOB, name="Bob", created_at=START)


async def answer(edge: Edge, request: httpx.Request, http: httpx.AsyncClient) -> httpx.Response:
    """Make a request whose command, if it comes to one, nobody answers in time."""
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(http.send(request))
        await edge.posted()
        await edge.clock.advance(6)
    return asking.result()


def check(response: httpx.Response, *, may: tuple[int, ...] = ()) -> None:
    if response.status_code not in may:
        assert 400 <= response.status_code < 500, response.text
        assert response.json()["code"], response.text


@pytest.mark.parametrize("what", STRANGE_BODIES)
async def test_no_body_is_an_error_of_ours(what: str) -> None:
    async with gateway() as edge, caller(edge) as http:
        prepare(edge)
        for method, path in BODIES:
            headers = {"Content-Type": "application/json"}
            request = http.build_request(method, path, content=STRANGE_BODIES[what], headers=headers)
            check(
                await answer(edge, request, http), may=(200, 202, 503)
            )  # a body may be well for a route: 503, no answer


@pytest.mark.parametrize("content_type", STRANGE_TYPES)
async def test_no_content_type_is_an_error_of_ours(content_type: str) -> None:
    async with gateway() as edge, caller(edge) as http:
        prepare(edge)
        for method, path in BODIES:
            headers = {"Content-Type": content_type}
            request = http.build_request(method, path, content=b'{"x": 1}', headers=headers)
            check(await answer(edge, request, http), may=(200, 202, 503))


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE"])
async def test_no_path_is_an_error_of_ours(method: bytes) -> None:
    async with gateway() as edge, served(edge.app) as http:
        prepare(edge)
        for path in STRANGE_PATHS:
            status, body = await raw(edge, http, method + b" " + path + b" HTTP/1.1\r\nHost: gateway\r\n")
            well = status in (200, 307, 503) or (400 <= status < 500 and json.loads(body)["code"])
            assert well, (path, status, body)
            assert status != 503 or b"reactions" in path  # a reaction that nobody answers


@pytest.mark.parametrize("host", [b"[", b"[::1", b"a b", b"\xff", b"", b"h:99999999"])
async def test_no_host_is_an_error_of_ours(host: bytes) -> None:
    async with gateway() as edge, served(edge.app) as http:
        for path in (b"/nowhere", b"/v1/unread/", b"/v1/unread"):
            status, body = await raw(edge, http, b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n")
            assert status < 500, body


async def raw(edge: Edge, http: httpx.AsyncClient, head: bytes) -> tuple[int, bytes]:
    """Send what no client library would, as bob, and give the status and the body."""
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    token = edge.token().encode()
    writer.write(head + b"Connection: close\r\nAuthorization: Bearer " + token + b"\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(reader.readuntil(b"\r\n\r\n"))
        while not reading.done():
            await edge.clock.advance(6)
        answered = reading.result()
        body = b"" if b"event-stream" in answered else await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answered.split(b" ", 2)[1]), body
