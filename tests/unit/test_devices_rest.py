"""Who is let in on the devices wire, and what is refused there: in error bodies, with a status below 500."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from shared.events import DeviceInfo
from shared.history_api import MessagePlace
from shared.ids import ConversationId, DeviceId, MessageId, UserId, direct_conversation_id
from shared.presence_api import Here, Profile
from tests.fakes.clock import START
from tests.fakes.edge import Edge, gateway
from tests.fakes.messages import ALICE, BOB, ROOM, conversation
from tests.fakes.rest import caller

DIRECT = direct_conversation_id(ALICE, BOB)
SEND = {"recipient_id": "alice", "content": "hi"}
ROUTES = [
    ("POST", "/api/messages/send"),
    ("POST", "/api/messages/list"),
    ("PUT", "/api/messages/status"),
    ("GET", "/api/messages/sessions"),
    ("DELETE", "/api/messages/sessions/alice_bob"),
    ("GET", "/api/messages/unread"),
    ("GET", "/api/messages/online"),
    ("GET", "/api/sync/devices"),
]
BODIES = [
    ("POST", "/api/messages/send", SEND),
    ("POST", "/api/messages/list", {"device_id": "alice"}),
    ("PUT", "/api/messages/status", {"message_ids": [], "status": "read"}),
]
LONG = "x" * 16_385


@asynccontextmanager
async def devices(**settings: str) -> AsyncIterator[Edge]:
    async with gateway(**{"wires": "devices", "open_devices": "true", **settings}) as edge:
        yield edge


def code(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"].startswith("application/json")
    return response.status_code, response.json()["code"]


async def ask(edge: Edge, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with caller(edge, user=None) as http:
        return await http.request(method, path, json=body, headers=given)


def body_of(path: str) -> object:
    return next((body for _, of, body in BODIES if of == path), None)


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_device_without_a_token_is_let_in_where_devices_are_open_alone(is_open: bool) -> None:
    async with devices(open_devices=str(is_open)) as edge:
        edge.history.down = edge.presence.down = True  # whoever is let in gets so far
        for method, path in ROUTES:
            response = await ask(edge, method, path, body_of(path), X_Device_ID="bob")
            reached = response.status_code in (200, 503)
            assert reached if is_open else code(response) == (401, "unauthenticated"), path


@pytest.mark.parametrize("is_open", [True, False])
async def test_nobody_at_all_may_see_who_is_there_where_devices_are_open_and_nothing_else(is_open: bool) -> None:
    async with devices(open_devices=str(is_open)) as edge:
        for method, path in ROUTES:
            response = await ask(edge, method, path, body_of(path))
            if is_open and path in ("/api/messages/online", "/api/sync/devices"):
                assert response.status_code == 200
            else:
                assert code(response) == (401, "unauthenticated"), path


async def test_a_false_token_is_refused_where_devices_are_open_too() -> None:
    async with devices() as edge:
        for method, path in ROUTES:
            for headers in ({"Authorization": "Bearer forged"}, {"x_access_token": "forged"}):
                response = await ask(edge, method, path, body_of(path), X_Device_ID="bob", **headers)
                assert code(response) == (401, "unauthenticated"), path
            response = await ask(edge, method, f"{path}?token=forged", body_of(path), X_Device_ID="bob")
            assert code(response) == (401, "unauthenticated"), path


async def test_a_token_speaks_for_its_own_device_alone() -> None:
    async with devices(open_devices="false") as edge:
        token = f"Bearer {edge.token('mallory')}"
        for method, path in ROUTES:
            response = await ask(edge, method, path, body_of(path), X_Device_ID="bob", Authorization=token)
            assert code(response) == (403, "forbidden"), path


async def test_a_token_is_enough() -> None:
    async with devices(open_devices="false") as edge:
        headers: dict[str, str]
        for headers in ({"X_Device_ID": "bob"}, {}):
            await _let_in(edge, headers)


async def _let_in(edge: Edge, headers: dict[str, str]) -> None:
    for named in ({"Authorization": f"Bearer {edge.token()}"}, {"x_access_token": edge.token()}):
        assert (await ask(edge, "GET", "/api/messages/unread", **named, **headers)).status_code == 200
    assert (await ask(edge, "GET", f"/api/messages/unread?token={edge.token()}", **headers)).status_code == 200


async def test_a_name_that_is_none_is_refused() -> None:
    async with devices() as edge, caller(edge, user=None) as http:
        for name in ("", "b b", "é", "x" * 129, "a/b", "<script>"):
            response = await http.get("/api/messages/unread", headers={b"X-Device-ID": name.encode()})
            assert code(response) == (400, "invalid"), name
            if name and "/" not in name:
                assert await edge.dial("", path=f"/api/messages/ws/{name}").closed() == 1008, name


async def test_whoever_asks_sees_who_is_online_where_devices_are_open() -> None:
    async with devices() as edge:
        info = DeviceInfo(id=DeviceId("bob"), name="Bob's", type="client", platform="web")
        bare = DeviceInfo(id=DeviceId("x"), type="")
        edge.presence.there = (
            Here(user_id=BOB, name="Bob", device=info, status="online", since=START),
            Here(user_id=UserId("phone-12345"), name="phone-12345", device=bare, status="away", since=START),
        )
        assert (await ask(edge, "GET", "/api/messages/online")).json() == {
            "online_devices": [
                {"id": "bob", "name": "Bob", "type": "client", "platform": "web"},
                {"id": "phone-12345", "name": "Device-phone-12", "type": "client", "platform": "unknown"},
            ],
            "count": 2,
        }
        edge.presence.people = {ALICE: Profile(user_id=ALICE, name="Alice", created_at=START)}
        [alice] = (await ask(edge, "GET", "/api/sync/devices")).json()
        assert alice == {
            "id": "alice",
            "name": "Alice",
            "type": "client",
            "platform": "unknown",
            "is_online": False,
        }


async def test_no_other_wire_stands_in_the_way() -> None:
    async with devices(wires="devices,envelope,service,flutter,huddle") as edge:
        edge.history.down = edge.presence.down = True
        for method, path in ROUTES:
            assert (await ask(edge, method, path, body_of(path), X_Device_ID="bob")).status_code in (200, 503), path


REFUSED: list[tuple[str, str, object, int, str]] = [
    ("POST", "send", {}, 422, "invalid_field"),
    ("POST", "send", [], 422, "invalid_field"),
    ("POST", "send", {"content": "hi"}, 422, "invalid_field"),
    ("POST", "send", {"recipient_id": "alice"}, 422, "invalid_field"),
    ("POST", "send", SEND | {"session_id": "alice_bob"}, 422, "invalid_field"),
    ("POST", "send", SEND | {"recipient_id": "a b"}, 422, "invalid_field"),
    ("POST", "send", SEND | {"recipient_id": 7}, 422, "invalid_field"),
    ("POST", "send", SEND | {"content": {"text": "hi"}}, 422, "invalid_field"),
    ("POST", "send", SEND | {"content": "\ud800"}, 422, "invalid_field"),
    ("POST", "send", SEND | {"type": "herd"}, 422, "invalid_field"),
    ("POST", "send", SEND | {"type": "system"}, 403, "forbidden"),
    ("POST", "send", SEND | {"metadata": "x"}, 422, "invalid_field"),
    ("POST", "send", SEND | {"metadata": {"client_id": 7}}, 422, "invalid_field"),
    ("POST", "send", SEND | {"metadata": {"client_id": "x" * 129}}, 422, "invalid_field"),
    ("POST", "send", SEND | {"metadata": {"client_id": "\ud800"}}, 422, "invalid_field"),
    ("POST", "send", SEND | {"metadata": {"x": "y" * 4_096}}, 413, "too_large"),
    ("POST", "send", SEND | {"content": LONG}, 413, "too_large"),
    ("POST", "send", SEND | {"content": "x" * 2**20}, 413, "too_large"),
    ("POST", "send", SEND | {"sender_id": "alice"}, 403, "forbidden"),
    ("POST", "list", {}, 422, "invalid_field"),
    ("POST", "list", {"device_id": "alice", "limit": 0}, 422, "invalid_field"),
    ("POST", "list", {"device_id": "alice", "limit": 201}, 422, "invalid_field"),
    ("POST", "list", {"device_id": "alice", "limit": "many"}, 422, "invalid_field"),
    ("POST", "list", {"session_id": "a/b"}, 422, "invalid_field"),
    ("POST", "list", {"session_id": "secret"}, 403, "not_a_member"),
    ("POST", "list", {"session_id": "77"}, 404, "not_found"),
    ("POST", "list", {"session_id": "room", "before_id": "nothing"}, 404, "not_found"),
    ("POST", "list", {"session_id": "room", "before_id": "m1", "after_id": "m1"}, 400, "invalid"),
    ("POST", "list", {"session_id": "room", "after_id": "elsewhere"}, 404, "not_found"),
    ("PUT", "status", {}, 422, "invalid_field"),
    ("PUT", "status", {"message_ids": "m1", "status": "read"}, 422, "invalid_field"),
    ("PUT", "status", {"message_ids": ["m1"], "status": "eaten"}, 422, "invalid_field"),
    ("PUT", "status", {"message_ids": ["m 1"], "status": "read"}, 422, "invalid_field"),
    ("PUT", "status", {"message_ids": ["m1"] * 201, "status": "read"}, 422, "invalid_field"),
    ("DELETE", "sessions/secret", None, 403, "not_a_member"),
    ("DELETE", "sessions/a%20b", None, 422, "invalid_field"),
    ("GET", "send", None, 405, "invalid"),
    ("GET", "nothing", None, 404, "not_found"),
]


async def test_what_makes_no_sense_is_refused() -> None:
    async with devices() as edge, caller(edge, user=None) as http:
        edge.history.known = {ROOM: conversation(3)}
        edge.history.closed = {ConversationId("secret")}
        edge.history.places = {
            MessageId("m1"): MessagePlace(message_id=MessageId("m1"), conversation_id=ROOM, seq=1),
            MessageId("elsewhere"): MessagePlace(message_id=MessageId("elsewhere"), conversation_id=DIRECT, seq=1),
        }
        headers = {"X-Device-ID": "bob", "Content-Type": "application/json"}
        for method, path, body, status, why in REFUSED:
            content = None if body is None else json.dumps(body)
            response = await http.request(method, f"/api/messages/{path}", content=content, headers=headers)
            assert code(response) == (status, why), (path, str(body)[:200])
        assert await edge.posted() == []
