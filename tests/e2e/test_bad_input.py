"""Whatever a client sends, it gets the documented error, and the services go on unharmed."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
from websockets.asyncio.client import ClientConnection, connect

from client.rest import WarrenRest
from shared.ids import UserId, direct_conversation_id
from shared.settings import DEVELOPMENT_SECRET
from tests.e2e.stack import Stack

OTHERS = direct_conversation_id(UserId("bob"), UserId("carol"))
OURS = direct_conversation_id(UserId("alice"), UserId("bob"))


def frame(type_: str, **data: object) -> str:
    return json.dumps({"type": type_, "id": "f-1", "data": data})


def token(*, subject: object = "alice", key: str = DEVELOPMENT_SECRET, lifetime_s: float = 60.0) -> str:
    expires_at = datetime.now(UTC) + timedelta(seconds=lifetime_s)
    return jwt.encode({"sub": subject, "exp": int(expires_at.timestamp())}, key, "HS256")


def unsigned() -> str:
    return jwt.encode({"sub": "alice", "exp": 4102444800}, "", "none")


# what is sent as a frame → the code of the error that answers it; the socket stays
FRAMES: list[tuple[str, str | bytes, str]] = [
    ("not JSON", "{", "invalid"),
    ("not an object", "[1, 2]", "invalid"),
    ("half a surrogate pair", '{"type": "ping", "data": "\\ud800"}', "invalid"),
    ("binary", b"\x00\x01", "invalid"),
    ("nested a thousand times", '{"type": "ping", "data": ' + "[" * 5000 + "]" * 5000 + "}", "invalid"),
    ("no type", '{"data": {}}', "invalid_field"),
    ("type of the wrong type", '{"type": 7, "data": {}}', "invalid_field"),
    ("unknown type", frame("dance"), "unknown_type"),
    ("field of the wrong type", frame("send", to="bob", content=7), "invalid_field"),
    ("field missing", frame("ack", seq=1, stage="read"), "invalid_field"),
    ("id with a space", frame("send", to="bob smith", content="x"), "invalid_field"),
    ("unknown stage", frame("ack", conversation_id=OTHERS, seq=1, stage="eaten"), "invalid_field"),
    ("seq of 2⁷⁰", frame("ack", conversation_id=OTHERS, seq=2**70, stage="read"), "invalid_field"),
    ("to nobody", frame("send", content="x"), "invalid"),
    ("content too long", frame("send", to="bob", content="x" * 16385), "too_large"),
    ("metadata too long", frame("send", to="bob", content="x", metadata={"x": "y" * 4096}), "too_large"),
    ("frame too long", frame("ping", padding="x" * 200_000), "too_large"),
    ("a false since", frame("sync", since="nonsense"), "invalid"),
    ("another's conversation, sending", frame("send", conversation_id=OTHERS, content="x"), "not_a_member"),
    ("another's conversation, reading", frame("history", conversation_id=OTHERS), "not_a_member"),
    ("no such conversation", frame("history", conversation_id="unknown"), "not_found"),
    ("a spoofed sender", frame("send", to="bob", content="x", sender_id="carol"), "forbidden"),
]

# frames about another's conversation, which get no answer of history, and reach nobody
STRAY_FRAMES = [
    frame("ack", conversation_id=OTHERS, seq=1, stage="read"),
    frame("ack", conversation_id=OTHERS, seq=1, stage="delivered"),
    frame("typing", conversation_id=OTHERS, active=True),
]
STRAY_RECEIPT = {"conversation_id": OTHERS, "seq": 1, "stage": "read"}

# query of the upgrade → the close code
UPGRADES: list[tuple[str, str, int]] = [
    ("a token that is none", "token=nonsense", 3500),
    ("an expired token", f"token={token(lifetime_s=-60)}", 3501),
    ("another key", f"token={token(key='x' * 32)}", 3500),
    ("no signature", f"token={unsigned()}", 3500),
    ("a subject that is no id", f"token={token(subject='a b')}", 3500),
]

# method, path, body, with a token? → status and code
REQUESTS: list[tuple[str, str, object, bool, int, str]] = [
    ("GET", "/v1/conversations", None, False, 401, "unauthenticated"),
    ("GET", "/v1/conversations?limit=x", None, True, 422, "invalid_field"),
    ("GET", "/v1/conversations?cursor=x", None, True, 400, "invalid"),
    ("GET", f"/v1/conversations/{OTHERS}/messages", None, True, 403, "not_a_member"),
    ("GET", "/v1/conversations/unknown/messages", None, True, 404, "not_found"),
    ("POST", f"/v1/conversations/{OTHERS}/messages", {"content": "x"}, True, 403, "not_a_member"),
    ("POST", "/v1/conversations", {"kind": "direct", "member_ids": ["a b"]}, True, 422, "invalid_field"),
    ("POST", "/v1/receipts", {"conversation_id": OTHERS, "seq": "one", "stage": "read"}, True, 422, "invalid_field"),
    ("POST", "/v1/conversations", "a string", True, 422, "invalid_field"),
    ("GET", "/nowhere", None, False, 404, "not_found"),
]


async def test_every_bad_input_gets_its_error_and_harms_nobody(stack: Stack) -> None:
    gateway = stack.gateways[0]
    pids = {name: program.pid for name, program in stack.programs.items()}
    alice = await stack.token("alice")
    await _talk(stack)

    async with connect(f"{gateway.socket_url}?token={alice}", compression=None) as socket:
        await _answer(socket)
        for name, bad, code in FRAMES:
            await socket.send(bad)
            answer = await _answer(socket, "error")
            assert answer["error"]["code"] == code, (name, answer)
            assert answer["error"]["message"], name
            await socket.send(frame("send", to="bob", content=f"after {name}", client_id=name))
            assert (await _answer(socket, "reply"))["data"]["status"] == "stored", name

    for name, query, close_code in UPGRADES:
        assert await _closed_with(f"{gateway.socket_url}?{query}") == close_code, name
    assert await _closed_with(f"{gateway.socket_url}?token={alice}", "x" * 2_000_000) == 1009
    assert await _closed_with(f"{gateway.socket_url}?token={alice}", *["{"] * 10) == 3504
    assert await _closed_with(gateway.socket_url, frame("send", to="bob", content="x")) == 3500

    async with httpx.AsyncClient(base_url=gateway.rest_url) as rest:
        for method, path, body, known, status, code in REQUESTS:
            headers = {"Authorization": f"Bearer {alice}"} if known else {}
            response = await rest.request(method, path, json=body, headers=headers)
            assert (response.status_code, response.json()["code"]) == (status, code), (method, path, response.text)

    await _unharmed(stack, pids)


async def test_nothing_about_anothers_conversation_reaches_its_members(stack: Stack) -> None:
    gateway = stack.gateways[0]
    await _talk(stack)
    alice, bob = await stack.token("alice"), await stack.token("bob")
    async with (
        connect(f"{gateway.socket_url}?token={bob}", compression=None) as theirs,
        connect(f"{gateway.socket_url}?token={alice}", compression=None) as hers,
        httpx.AsyncClient(base_url=gateway.rest_url, headers={"Authorization": f"Bearer {alice}"}) as rest,
    ):
        await theirs.send(frame("send", to="alice", content="hi"))
        await _answer(hers, "message")
        for stray in STRAY_FRAMES:
            await hers.send(stray)
        assert (await rest.post("/v1/receipts", json=STRAY_RECEIPT)).status_code == 202
        await hers.send(frame("ack", conversation_id=OURS, seq=1, stage="read"))  # an ack that does reach bob
        heard = [json.loads(await theirs.recv())]
        while heard[-1]["type"] != "receipt":
            heard.append(json.loads(await theirs.recv()))
        about = [each for each in heard if each.get("data", {}).get("conversation_id") == OTHERS]
        assert about == []
        headers = {"Authorization": f"Bearer {bob}"}
        shown = (await rest.get(f"/v1/conversations/{OTHERS}", headers=headers)).json()
        assert {mark["user_id"] for mark in shown["watermarks"]} <= {"bob", "carol"}


async def _talk(stack: Stack) -> None:
    """Let bob and carol have a conversation that alice must not see."""
    async with WarrenRest.open(stack.gateways[0].rest_url) as rest:
        bob = (await rest.mint_token("bob")).token
    async with httpx.AsyncClient(base_url=stack.gateways[0].rest_url) as rest:
        headers = {"Authorization": f"Bearer {bob}"}
        made = await rest.post("/v1/conversations", json={"kind": "direct", "member_ids": ["carol"]}, headers=headers)
        assert made.json()["id"] == OTHERS, made.text
        said = await rest.post(f"/v1/conversations/{OTHERS}/messages", json={"content": "secret"}, headers=headers)
        assert said.status_code == 200, said.text


async def _answer(socket: ClientConnection, type_: str = "welcome") -> dict[str, Any]:
    """Give the next frame of this type; what is pushed meanwhile must not be another's."""
    while True:
        text = await socket.recv()
        assert "secret" not in text, "another's message"
        answer: dict[str, Any] = json.loads(text)
        if answer["type"] == type_:
            return answer


async def _closed_with(url: str, *frames: str) -> int:
    """Connect, send these frames, and give the code that the server closes with."""
    async with connect(url, compression=None, max_size=None) as socket:
        for each in frames:
            await socket.send(each)
        await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code


async def _unharmed(stack: Stack, pids: dict[str, int | None]) -> None:
    """No process died or counted a crash, and nothing is among the dead letters."""
    await stack.ready()
    assert {name: program.pid for name, program in stack.programs.items()} == pids
    async with stack.admin("gateway-1") as gateway:
        metrics = (await gateway.get("/metrics")).text
    assert "warren_gateway_session_crashes_total 0.0" in metrics
    async with stack.admin("delivery") as delivery:
        letters = (await delivery.get("/admin/dead-letters")).json()["dead_letters"]
    assert letters == []
