"""What the huddle wire says to wrong requests: in its own words, and without harm."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.fakes.clock import settle
from tests.slice.sockets import FakeSocket
from tests.slice.test_huddle import App, app, team_channel
from tests.slice.warren import Warren, running, send

LONG = "x" * (16 * 1024 + 1)


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running(wires="huddle") as warren:
        yield warren


BODIES = [
    ("POST", "/messages", {}, 422),
    ("POST", "/messages", [], 422),
    ("POST", "/messages", {"channel_id": 1}, 422),
    ("POST", "/messages", {"channel_id": 1, "content": "  "}, 422),
    ("POST", "/messages", {"channel_id": 1, "content": 7}, 422),
    ("POST", "/messages", {"channel_id": 1, "content": "\ud800"}, 422),
    ("POST", "/messages", {"channel_id": True, "content": "hi"}, 422),
    ("POST", "/messages", {"channel_id": -1, "content": "hi"}, 422),
    ("POST", "/messages", {"channel_id": 2**63, "content": "hi"}, 422),
    ("POST", "/messages", {"channel_id": "a b", "content": "hi"}, 422),
    ("POST", "/messages", {"channel_id": 99, "content": "hi"}, 404),
    ("POST", "/messages", {"channel_id": "nowhere", "content": "hi"}, 404),
    ("POST", "/messages", {"channel_id": 1, "content": LONG}, 413),
    ("POST", "/messages", {"channel_id": 1, "content": "hi", "author_id": 2}, 403),
    ("POST", "/messages", {"channel_id": 1, "content": "hi", "parent_id": 12345}, 404),
    ("POST", "/messages", {"channel_id": 1, "content": "hi", "attachment_size": -1}, 422),
    ("POST", "/messages", {"channel_id": 1, "attachment_url": "javascript:alert(1)"}, 422),
    ("PUT", "/messages/999", {"content": "hi"}, 404),
    ("PUT", "/messages/a%20b", {"content": "hi"}, 422),
    ("DELETE", "/messages/999", None, 404),
    ("GET", "/messages", None, 422),
    ("GET", "/messages?channel_id=1&limit=0", None, 422),
    ("GET", "/messages?channel_id=1&limit=201", None, 422),
    ("GET", "/messages?channel_id=1&skip=-1", None, 422),
    ("GET", "/messages?channel_id=1&before_message_id=x%00", None, 422),
    ("GET", "/messages/search", None, 422),
    ("POST", "/messages/channel/99/mark-read", {"last_read_message_id": 1}, 404),
    ("POST", "/channels", {}, 422),
    ("POST", "/channels", {"name": " "}, 422),
    ("POST", "/channels", {"type": "direct"}, 422),
    ("POST", "/channels", {"name": "x", "type": "secret"}, 422),
    ("POST", "/channels", {"name": "x", "team_id": 99}, 404),
    ("POST", "/channels", {"name": "x", "description": "x" * 5000}, 422),
    ("GET", "/channels/99", None, 404),
    ("GET", "/channels?team_id=99", None, 404),
    ("POST", "/channels/99/join", None, 404),
    ("POST", "/channels/1/members", {"user_id": {"a": 1}}, 422),
    ("PUT", "/channels/1/members/2", {"role": "king"}, 422),
    ("POST", "/teams", {"name": 7}, 422),
    ("GET", "/teams/1", None, 404),
    ("POST", "/teams/99/invite", {"email": "a@b.c"}, 404),
    ("GET", "/users/search", None, 422),
    ("PUT", "/users/me", {"username": "a b"}, 422),
    ("PUT", "/notifications/77/read", None, 404),
    ("GET", "/nothing", None, 404),
    ("DELETE", "/messages", None, 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), BODIES)
async def test_a_wrong_request_is_refused_in_the_wire_s_words(
    warren: Warren, method: str, path: str, body: object, status: int
) -> None:
    alice = await app(warren, "1")
    await alice.call("POST", "/api/channels", {"name": "first"})
    response = await _asked(warren, method, path, json.dumps(body), warren.token("1"))
    said = response.json()
    assert (response.status_code, said["status_code"]) == (status, status), said
    assert isinstance(said["detail"], str)


async def _asked(warren: Warren, method: str, path: str, content: str | bytes, token: str | None) -> httpx.Response:
    public = warren.processes["gw-1"].service.public
    assert public is not None
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    transport = httpx.ASGITransport(public.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://warren/api/v1", headers=headers) as http:
        return await http.request(method, path, content=content)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"null"])
async def test_a_body_that_is_no_json_is_refused(warren: Warren, content: bytes) -> None:
    response = await _asked(warren, "POST", "/messages", content, warren.token("1"))
    assert response.status_code in (400, 422)
    assert response.json()["status_code"] == response.status_code


async def test_too_long_a_body_is_refused(warren: Warren) -> None:
    response = await _asked(warren, "POST", "/messages", b" " * 2**20 + b"{}", warren.token("1"))
    assert (response.status_code, response.json()["status_code"]) == (413, 413)


@pytest.mark.parametrize("token", [None, "", "x", "e30.e30.", "ü"])
async def test_without_a_good_token_nothing_is_answered(warren: Warren, token: str | None) -> None:
    for method, path in (
        ("GET", "/messages?channel_id=1"),
        ("POST", "/channels"),
        ("GET", "/users/1"),
        ("GET", "/auth/me"),
    ):
        public = warren.processes["gw-1"].service.public
        assert public is not None
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(public.app), base_url="http://warren/api/v1"
        ) as http:
            response = await http.request(method, path, headers=headers)
        assert (response.status_code, response.json()["status_code"]) == (401, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("query", ["", "token=", "token=x", "token=e30.e30."])
async def test_a_socket_without_a_good_token_is_closed_with_1008(warren: Warren, query: str) -> None:
    socket = warren.dial(query, path="/ws")
    assert await socket.closed() == 1008


async def refusal(socket: FakeSocket, frame: object) -> str:
    socket.send_text(frame if isinstance(frame, str) else json.dumps(frame))
    error = await socket.next_where(lambda each: each["type"] == "error")
    assert error["data"]["message"]
    code: str = error["data"]["code"]
    return code


async def test_wrong_frames_are_refused_and_the_socket_stays_usable(warren: Warren) -> None:
    alice = await app(warren, "1")
    general = await team_channel(alice)
    socket = alice.service.socket
    assert isinstance(socket, FakeSocket)
    here = {"channel_id": general}
    assert await refusal(socket, "no json") == "invalid"
    assert await refusal(socket, {"type": "dance"}) == "unknown_type"
    assert await refusal(socket, {"type": "join_channel", "data": {}}) == "invalid_field"
    assert await refusal(socket, {"type": "join_channel", "data": {"channel_id": 99}}) == "not_found"
    assert await refusal(socket, {"type": "join_channel", "data": {"channel_id": "nowhere"}}) == "not_found"
    assert await refusal(socket, {"type": "leave_channel", "data": {"channel_id": 99}}) == "not_found"
    assert await refusal(socket, {"type": "user_typing", **here, "data": {}}) == "invalid_field"
    assert await refusal(socket, {"type": "send_message", **here, "data": {"content": " "}}) == "invalid_field"
    assert await refusal(socket, {"type": "send_message", **here, "data": {"content": LONG}}) == "too_large"
    assert (
        await refusal(socket, {"type": "send_message", **here, "user_id": 2, "data": {"content": "x"}}) == "forbidden"
    )
    assert await refusal(socket, {"type": "ping", "data": "x" * 2**17}) == "too_large"
    socket.send_text('{"type":"ping"}')
    await socket.next("pong")


async def test_a_team_is_no_channel_and_a_private_one_stays_unknown(warren: Warren) -> None:
    alice, bob = await app(warren, "1"), await app(warren, "2")
    secret = await team_channel(alice, type="private")
    [team] = await alice.call("GET", "/teams")
    assert isinstance(alice.service.socket, FakeSocket)
    assert isinstance(bob.service.socket, FakeSocket)
    wanted = {"type": "join_channel", "data": {"channel_id": team["id"]}}
    assert await refusal(alice.service.socket, wanted) == "not_found"
    for type_ in ("join_channel", "user_typing", "send_message"):
        frame = {"type": type_, "channel_id": secret, "data": {"is_typing": True, "content": "hi"}}
        assert await refusal(bob.service.socket, frame) == "not_found"


async def test_nothing_of_others_direct_conversations_is_told(warren: Warren) -> None:
    alice, eve = await warren.connect("alice"), App(warren, "eve", "gw-1")
    sent = await send(alice, "bob", "between us", "c1")
    await settle()
    number, direct = sent["number"] >> 26, sent["conversation_id"]
    for path in (f"/messages/{sent['number']}", f"/messages/{sent['message_id']}", f"/messages?channel_id={number}"):
        assert (await eve.refused("GET", path))[0] == 404
    for path in (f"/messages?channel_id={direct}", f"/channels/{direct}", f"/channels/{direct}/members"):
        assert (await eve.refused("GET", path))[0] == 403
    assert (await eve.refused("POST", f"/channels/{direct}/join"))[0] == 403
    assert await eve.search("between") == []
