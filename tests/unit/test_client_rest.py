"""Every call of the REST client, as it goes over the wire."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from client.errors import ServerError, Unreachable
from client.rest import WarrenRest, http_url

ROOM = {"id": "c", "number": 7, "kind": "group", "name": "Team", "members": ["alice"], "role": "owner"}
USER = {"user_id": "bob", "name": "Bob"}
PLACE = {"conversation_id": "c", "version": 4}
Call = Callable[[WarrenRest], Awaitable[Any]]


def rest_of(answer: Callable[[httpx.Request], httpx.Response]) -> WarrenRest:
    return WarrenRest(httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://warren"))


async def said(call: Call, body: object, status: int = 200) -> tuple[str, str, Any, Any]:
    """Make a call that gets this answer: the method, the path, the body, and what it gave."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, json=body) if body is not None else httpx.Response(204)

    gave = await call(rest_of(answer))
    (request,) = seen
    sent = json.loads(request.content) if request.content else None
    return request.method, request.url.raw_path.decode(), sent, gave


CALLS: list[tuple[Call, object, str, object]] = [
    (lambda r: r.mint_token("bob"), {"token": "t", "expires_at": "z"}, "POST /api/auth/token", {"user_id": "bob"}),
    (
        lambda r: r.conversations(limit=5, cursor="x"),
        {"conversations": [ROOM]},
        "GET /v1/conversations?limit=5&cursor=x",
        None,
    ),
    (lambda r: r.conversation("7"), ROOM, "GET /v1/conversations/7", None),
    (
        lambda r: r.create_conversation("group", name="Team", member_ids=["bob"], parent_id="s", join="open"),
        ROOM,
        "POST /v1/conversations",
        {"kind": "group", "name": "Team", "member_ids": ["bob"], "parent_id": "s", "join": "open"},
    ),
    (
        lambda r: r.change_conversation("c", name="New", metadata={}),
        ROOM,
        "PATCH /v1/conversations/c",
        {"name": "New", "metadata": {}},
    ),
    (lambda r: r.channels("s"), {"conversations": [ROOM]}, "GET /v1/conversations/s/channels", None),
    (
        lambda r: r.members("c", limit=2),
        {"members": [{"user_id": "bob", "role": "member"}], "next_cursor": None},
        "GET /v1/conversations/c/members?limit=2",
        None,
    ),
    (
        lambda r: r.add_members("c", ["bob", "carol"]),
        ROOM,
        "POST /v1/conversations/c/members",
        {"user_ids": ["bob", "carol"]},
    ),
    (
        lambda r: r.set_member("c", "bob@x", role="admin"),
        ROOM,
        "PUT /v1/conversations/c/members/bob%40x",
        {"role": "admin"},
    ),
    (lambda r: r.remove_member("c", "bob"), None, "DELETE /v1/conversations/c/members/bob", None),
    (
        lambda r: r.messages("c", after=3, limit=9),
        {"messages": []},
        "GET /v1/conversations/c/messages?after=3&limit=9",
        None,
    ),
    (
        lambda r: r.send("c", "hi", client_id="k", reply_to="m1"),
        {"status": "stored", "message_id": "m", "conversation_id": "c", "seq": 1},
        "POST /v1/conversations/c/messages",
        {"content": "hi", "client_id": "k", "reply_to": "m1"},
    ),
    (
        lambda r: r.receipts("c", 4),
        {"receipts": [{"user_id": "bob", "read": True}]},
        "GET /v1/conversations/c/receipts?seq=4",
        None,
    ),
    (
        lambda r: r.acknowledge("c", 4, "read"),
        {},
        "POST /v1/receipts",
        {"conversation_id": "c", "seq": 4, "stage": "read"},
    ),
    (lambda r: r.edit("m1", "other"), PLACE, "PATCH /v1/messages/m1", {"content": "other"}),
    (lambda r: r.delete("m1"), PLACE, "DELETE /v1/messages/m1?scope=everyone", None),
    (lambda r: r.react("m1", "👍"), PLACE, "PUT /v1/messages/m1/reactions/%F0%9F%91%8D", None),
    (lambda r: r.react("m1", "a/b?%", remove=True), PLACE, "DELETE /v1/messages/m1/reactions/a%2Fb%3F%25", None),
    (lambda r: r.unread(), {"total": 0, "conversations": {}}, "GET /v1/unread", None),
    (lambda r: r.sync("x"), {"conversations": [], "since": "y"}, "GET /v1/sync?since=x", None),
    (lambda r: r.users("bo", limit=3), {"users": [USER]}, "GET /v1/users?q=bo&limit=3", None),
    (lambda r: r.user("bob"), USER, "GET /v1/users/bob", None),
    (lambda r: r.change_user("bob", {"bio": None}), USER, "PATCH /v1/users/bob", {"bio": None}),
    (
        lambda r: r.presence(["bob", "carol"]),
        {"presence": [{"user_id": "bob", "status": "away"}]},
        "GET /v1/presence?users=bob%2Ccarol",
        None,
    ),
    (lambda r: r.devices(), {"devices": [{"id": "d", "online": True}]}, "GET /v1/devices", None),
    (lambda r: r.sign_out("d:1"), None, "DELETE /v1/devices/d%3A1", None),
]


@pytest.mark.parametrize(("call", "answer", "line", "body"), CALLS, ids=[line for _, _, line, _ in CALLS])
async def test_a_call_says_what_the_server_expects(call: Call, answer: object, line: str, body: object) -> None:
    method, path, sent, _ = await said(call, answer)
    assert (f"{method} {path}", sent) == (line, body)


async def test_answers_are_values() -> None:
    *_, room = await said(lambda rest: rest.conversation("c"), {**ROOM, "unread": 2, "unknown": [1]})
    assert (room.number, room.name, room.members, room.unread) == (7, "Team", ("alice",), 2)
    *_, (seen,) = await said(lambda rest: rest.presence(["bob"]), {"presence": [{"user_id": "bob", "status": "dnd"}]})
    assert (seen.user_id, seen.status) == ("bob", "dnd")


async def test_a_refusal_is_an_error_with_its_data() -> None:
    body = {"code": "conflict", "message": "Taken.", "retry_after_ms": 5, "details": {"username": "bob"}}
    with pytest.raises(ServerError) as refused:
        await said(lambda rest: rest.change_user("bob", {"username": "bob"}), body, status=409)
    assert (refused.value.code, refused.value.retry_after_ms) == ("conflict", 5)
    assert refused.value.details == {"username": "bob"}


@pytest.mark.parametrize(("status", "code"), [(502, "http_502"), (200, "unreadable")])
async def test_an_answer_that_is_not_the_servers_is_an_error_too(status: int, code: str) -> None:
    rest = rest_of(lambda _: httpx.Response(status, text="<html>"))
    with pytest.raises(ServerError) as refused:
        await rest.devices()
    assert refused.value.code == code


async def test_no_answer_is_said_as_that() -> None:
    def vanish(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Unreachable):
        await rest_of(vanish).devices()


def test_the_rest_api_is_where_the_socket_is() -> None:
    assert http_url("ws://warren:8000/v1/ws") == "http://warren:8000"
    assert http_url("wss://warren/v1/ws?x=1") == "https://warren"
