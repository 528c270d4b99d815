"""Presence over HTTP: what the other services ask, and what operators see."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from pydantic import SecretStr

from shared.clock import rfc3339
from shared.errors import Unavailable
from shared.events import SessionOpened
from shared.ids import UserId
from shared.presence_http import HttpPresence
from tests.fakes.clock import START
from tests.fakes.presence_process import PlayedPresence
from tests.fakes.sessions import session

ALICE, BOB = UserId("alice"), UserId("bob")


@pytest.fixture
async def presence() -> AsyncIterator[PlayedPresence]:
    async with PlayedPresence.open() as played:
        yield played


async def test_services_ask_who_is_there(presence: PlayedPresence) -> None:
    async with presence.asked("internal") as client:
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.clock.advance(7)
        known = await HttpPresence(client).presence_of([ALICE, BOB])
        assert (known[ALICE].status, known[ALICE].devices, known[ALICE].last_seen) == (
            "online",
            1,
            presence.clock.now(),
        )
        assert (known[BOB].status, known[BOB].devices, known[BOB].last_seen) == ("offline", 0, None)


async def test_too_many_users_are_refused(presence: PlayedPresence) -> None:
    async with presence.asked("internal") as client:
        answer = await client.post("/internal/presence", json={"user_ids": ["u"] * 501})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")


@pytest.mark.parametrize("what", ["token", "store", "address", "garbage"])
async def test_a_question_that_is_not_answered_is_unavailable(
    presence: PlayedPresence, what: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    presence.store.available = what != "store"
    async with presence.asked("wrong" if what == "token" else "internal") as client:
        if what == "address":
            url = f"http://127.0.0.1:{unused_tcp_port_factory()}"
            async with HttpPresence.open(url, SecretStr("internal"), 1.0) as away:
                with pytest.raises(Unavailable):
                    await away.presence_of([ALICE])
            return
        if what == "garbage":
            client.event_hooks["response"] = [garble]
        with pytest.raises(Unavailable):
            await HttpPresence(client).presence_of([ALICE])


async def garble(response: httpx.Response) -> None:
    await response.aread()
    response._content = b"[]"


async def test_operators_see_who_is_online_page_by_page(presence: PlayedPresence) -> None:
    async with presence.asked("admin") as client:
        await presence.gateway.tell(*(SessionOpened(session=session(f"s{n}", f"user-{n}")) for n in range(3)))
        first = (await client.get("/admin/online", params={"limit": 2})).json()
        assert [user["user_id"] for user in first["users"]] == ["user-0", "user-1"]
        assert first["users"][0]["last_seen"] == rfc3339(START)
        rest = (await client.get("/admin/online", params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert [user["user_id"] for user in rest["users"]] == ["user-2"]
        assert rest["next_cursor"] is None


async def test_operators_see_a_users_devices(presence: PlayedPresence) -> None:
    async with presence.asked("admin") as client:
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        (device,) = (await client.get("/admin/users/alice/devices")).json()["devices"]
        assert (device["info"]["id"], device["online"]) == ("phone", True)
        assert device["first_seen"] == device["last_seen"] == rfc3339(START)
