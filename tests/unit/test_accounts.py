"""Register, log in, log out: accounts of those whose password is kept here."""

import httpx
import pytest
from fastapi import FastAPI

from gateway.passwords import Passwords
from gateway.rest.huddle.accounts import accounts_router
from gateway.rest.huddle.errors import HuddleRoute
from gateway.sign_in import SignIn
from shared.clock import rfc3339
from shared.ids import DeviceId, UserId, new_id
from tests.fakes import account_desk
from tests.fakes.account_desk import BOB, LOGIN, NOBODY, QUICK, Desk, error
from tests.fakes.clock import START

desk = account_desk.desk


async def test_who_registers_is_signed_in_with_the_next_number(desk: Desk) -> None:
    answer = await desk.post("register", **BOB)
    token = answer.json().pop("access_token")
    assert (answer.status_code, answer.json()) == (
        201,
        {
            "id": 1,
            "username": "Bob",
            "email": "bob@example.com",
            "full_name": "Bob B.",
            "avatar_url": None,
            "bio": None,
            "timezone": None,
            "is_active": True,
            "is_online": False,
            "last_seen": None,
            "created_at": rfc3339(START),
            "access_token": token,
            "token_type": "bearer",
        },
    )
    me = (await desk.me(token)).json()
    assert me == {name: value for name, value in answer.json().items() if name not in ("access_token", "token_type")}
    assert "password" not in answer.text + str(me)


@pytest.mark.parametrize("name", ["Bob", "bOB", "BOB@example.com"])
async def test_an_account_logs_in_by_json_and_by_form(desk: Desk, name: str) -> None:
    await desk.post("register", **BOB)
    login = {"username": name, "password": "correct horse"}
    for answer in (
        await desk.post("login", **login),
        await desk.client.post("/api/v1/auth/login", data={**login, "grant_type": "password"}),
        await desk.client.post("/api/v1/auth/login", content=httpx.Response(200, json=login).content),  # says nothing
    ):
        assert (answer.status_code, answer.json()["token_type"]) == (200, "bearer")
        assert (await desk.me(answer.json()["access_token"])).json()["id"] == 1
    assert (await desk.post("login", email="bob@example.com", password="correct horse")).status_code == 200


async def test_a_wrong_password_and_an_unknown_name_are_the_same_and_take_the_same_work(desk: Desk) -> None:
    await desk.post("register", **BOB)
    wrong = await desk.post("login", username="bob", password="incorrect horse")
    unknown = await desk.post("login", username="eve", password="correct horse")
    assert error(wrong) == (401, "unauthenticated")
    assert (unknown.status_code, unknown.json()) == (wrong.status_code, wrong.json())
    assert desk.hasher.checked == 2
    nobodys = await desk.post("login", username="eve", password="nobody's")
    assert nobodys.status_code == 401


async def test_a_password_is_the_same_however_it_was_composed(desk: Desk) -> None:
    await desk.post("register", **{**BOB, "password": "caf\u00e9-table"})
    assert (await desk.post("login", username="bob", password="cafe\u0301-table")).status_code == 200


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"username": "b"}, "username"),
        ({"username": "bob@example.com"}, "username"),
        ({"username": "bob b"}, "username"),
        ({"username": "bob\n"}, "username"),
        ({"username": None}, "username"),
        ({"email": "nowhere"}, "email"),
        ({"email": "a b@c"}, "email"),
        ({"full_name": " "}, "full_name"),
        ({"full_name": "x" * 129}, "full_name"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 1025}, "password"),
        ({"password": 12345678}, "password"),
    ],
)
async def test_a_registration_that_makes_no_sense_is_refused(desk: Desk, change: dict[str, object], path: str) -> None:
    answer = await desk.post("register", **BOB | change)
    assert error(answer) == (422, "invalid_field")
    assert answer.json()["details"]["path"] == path
    assert str(change.get("password", BOB["password"])) not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{", b"\xff", b"null", b'"\\ud800"', b'{"username": "bob"}'),
        *(b'{"username": 1, "password": "x"}', b'{"username": "bob", "password": "\\ud800"}'),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
async def test_a_login_that_cannot_be_read_is_refused_and_counts_for_nothing(
    desk: Desk, body: bytes, kind: str
) -> None:
    for _ in range(3):
        answer = await desk.client.post("/api/v1/auth/login", content=body, headers={"Content-Type": kind})
        assert error(answer)[0] in (400, 422)
    assert desk.hasher.checked == 0


async def test_a_username_may_be_in_any_script(desk: Desk) -> None:
    await desk.post("register", **BOB | {"username": "张三"})
    assert (await desk.post("login", username="张三", password="correct horse")).status_code == 200


async def test_a_name_or_address_that_is_taken_is_a_conflict(desk: Desk) -> None:
    await desk.post("register", **BOB)
    for change, field in (({"email": "new@example.com"}, "username"), ({"username": "new"}, "email")):
        answer = await desk.post("register", **BOB | change)
        assert error(answer) == (409, "conflict")
        assert answer.json()["details"] == {"field": field}


async def test_who_brings_a_token_of_their_own_is_known_by_it(desk: Desk) -> None:
    token, _ = desk.mint.mint(UserId("alice"), "Alice", DeviceId("phone"), 60)
    me = (await desk.me(token)).json()
    assert (me["id"], me["username"], me["full_name"], me["email"]) == ("alice", "Alice", "Alice", None)
    for path in ("me", "logout"):
        method = "GET" if path == "me" else "POST"
        assert error(await desk.client.request(method, f"/api/v1/auth/{path}")) == (401, "unauthenticated")


async def test_after_a_logout_the_token_of_that_login_counts_no_more(desk: Desk) -> None:
    await desk.post("register", **BOB)
    one, other = [(await desk.post("login", **LOGIN)).json()["access_token"] for _ in range(2)]
    await desk.clock.advance(1)
    answer = await desk.client.post("/api/v1/auth/logout", headers={"Authorization": f"Bearer {one}"})
    assert answer.status_code == 200
    await desk.clock.advance(61)  # the gateways that no event reached ask again after a minute
    assert error(await desk.me(one)) == (401, "unauthenticated")
    assert (await desk.me(other)).status_code == 200


async def test_without_accounts_one_is_known_and_logs_out_all_the_same(desk: Desk) -> None:
    token, _ = desk.mint.mint(UserId("alice"), "Alice", DeviceId("phone"), 60)
    without = FastAPI()
    without.state.callers = desk.app.state.callers
    without.include_router(accounts_router(desk.presence, None))
    headers = {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(without)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
        assert (await client.get("/api/v1/auth/me")).json()["id"] == "alice"
        assert (await client.post("/api/v1/auth/logout")).status_code == 200
        for path, body in (("register", BOB), ("login", LOGIN)):
            assert (await client.post(f"/api/v1/auth/{path}", json=body)).status_code == 404
    assert (await desk.presence.devices(UserId("alice")))[0].signed_out_at is not None


async def test_errors_are_in_the_words_of_the_wire_and_say_no_password(desk: Desk) -> None:
    worded = FastAPI()
    worded.state.callers = desk.app.state.callers
    sign_in = SignIn(
        desk.presence, Passwords(QUICK, NOBODY), desk.mint, development=True, clock=desk.clock, new_id=new_id
    )
    worded.include_router(accounts_router(desk.presence, sign_in, route_class=HuddleRoute))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(worded), base_url="http://gateway") as client:
        for path, body, status in (
            ("register", BOB | {"email": "nowhere"}, 422),
            ("register", BOB | {"password": "short"}, 422),
            ("login", LOGIN, 401),
            ("login", {"password": LOGIN["password"]}, 422),
            ("logout", {}, 401),
        ):
            answer = await client.post(f"/api/v1/auth/{path}", json=body)
            assert (answer.status_code, answer.json()["status_code"]) == (status, status)
            assert answer.json()["detail"]
            assert not any(each in answer.text for each in ("correct horse", "short"))
