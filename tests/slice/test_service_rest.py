"""The service wire's REST API, through all four services: sessions, devices."""

from typing import Any

import httpx
import msgspec
import pytest

from tests.slice import service_town
from tests.slice.service_client import token_of
from tests.slice.service_town import Connect
from tests.slice.warren import Warren

warren, connect = service_town.warren, service_town.connect


async def ask_rest(warren: Warren, token: str | None, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(warren.app()), base_url="http://warren") as client:
        answer = await client.request(method, path, headers=headers, content=content)
    return answer.status_code, answer.json()


async def test_a_session_is_made_by_rest_and_talked_in(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("1"), await connect("2")
    made = await ask_rest(warren, alice.token, "POST", "/api/sessions", {"session_id": "s1", "user_ids": [2]})
    assert made == (200, {"success": True, "session_id": "s1", "user_ids": [1, 2]})
    assert made == await ask_rest(warren, bob.token, "POST", "/api/sessions", {"session_id": "s1", "user_ids": [1]})
    assert (await bob.say("s1", "hi"))["success"]
    assert await alice.texts() == ["hi"]
    status, taken = await ask_rest(
        warren, token_of(warren, "3"), "POST", "/api/sessions", {"session_id": "s1", "user_ids": [1]}
    )
    assert (status, taken["success"], taken["code"]) == (403, False, "forbidden")


async def test_a_session_made_without_an_id_has_one_and_waits_for_an_agent(warren: Warren, connect: Connect) -> None:
    agent, user = await connect("agent1", agent=True), await connect("user1")
    _, made = await ask_rest(warren, user.token, "POST", "/api/sessions", {"user_ids": []})
    assert (await agent.ask("accept_session", session_id=made["session_id"]))["success"]


async def test_devices_are_listed_and_kicked_by_rest(warren: Warren, connect: Connect) -> None:
    phone, desk = await connect("alice", device="phone"), await connect("alice", device="desk")
    status, listed = await ask_rest(warren, desk.token, "GET", "/api/devices")
    assert (status, listed["success"]) == (200, True)
    assert {each["device_id"] for each in listed["devices"]} == {"phone", "desk"}
    await warren.passes(1)
    fresh = token_of(warren, "alice")
    assert await ask_rest(warren, fresh, "DELETE", "/api/devices/phone") == (200, {"success": True})
    assert [each["code"] for each in await phone.heard("kicked")] == ["kicked"]
    await warren.passes(20)
    _, listed = await ask_rest(warren, fresh, "GET", "/api/devices")
    assert [each["device_id"] for each in listed["devices"]] == ["desk"]
    assert (await ask_rest(warren, fresh, "DELETE", "/api/devices/none"))[0] == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid_field"),
        (b"{", 400, "invalid"),
        (b"\xff", 400, "invalid"),
        ([], 422, "invalid_field"),
        ({}, 422, "invalid_field"),
        ({"user_ids": "2"}, 422, "invalid_field"),
        ({"user_ids": [True]}, 422, "invalid_field"),
        ({"user_ids": [["2"]]}, 422, "invalid_field"),
        ({"user_ids": ["a b"]}, 422, "invalid_field"),
        ({"user_ids": [2], "session_id": "a b"}, 422, "invalid_field"),
        ({"user_ids": [2], "session_id": {}}, 422, "invalid_field"),
        ({"user_ids": [2], "session_id": "d-" + "0" * 32}, 403, "forbidden"),
        ({"user_ids": [2], "session_id": "service.agents"}, 403, "forbidden"),
        ({"user_ids": ["2"] * 501}, 422, "invalid_field"),
        (b'{"user_ids": ["' + b"x" * 1024 * 1024 + b'"]}', 413, "too_large"),
    ],
)
async def test_wrong_bodies_are_refused_in_the_wires_words(warren: Warren, body: Any, status: int, code: str) -> None:
    answer = await ask_rest(warren, token_of(warren, "alice"), "POST", "/api/sessions", body)
    assert (answer[0], answer[1]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/sessions"), ("GET", "/api/devices"), ("DELETE", "/api/devices/d1")]
)
@pytest.mark.parametrize("token", [None, "garbage"])
async def test_every_route_wants_a_token(warren: Warren, method: str, path: str, token: str | None) -> None:
    status, answer = await ask_rest(warren, token, method, path)
    assert (status, answer["success"], answer["code"]) == (401, False, "unauthenticated")
