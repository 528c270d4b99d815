"""Users who have a password here, through all four services: they chat like any other, until they log out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.fakes.clock import settle
from tests.slice.sockets import Closed
from tests.slice.warren import Warren, running, send

BOB = {"username": "bob", "email": "bob@example.com", "full_name": "Bob B.", "password": "correct horse"}


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running(wires="huddle") as warren:
        warren.start_gateway("gw-2")
        await settle()
        yield warren


@asynccontextmanager
async def browser(warren: Warren, via: str = "gw-1") -> AsyncIterator[httpx.AsyncClient]:
    public = warren.processes[via].service.public
    assert public is not None
    transport = httpx.ASGITransport(public.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://warren/api/v1/auth") as client:
        yield client


async def test_who_registers_on_one_gateway_chats_over_another_until_the_logout(warren: Warren) -> None:
    async with browser(warren) as one, browser(warren, "gw-2") as other:
        user: dict[str, Any] = (await one.post("/register", json=BOB)).json()
        login = await other.post("/login", json={"username": "BOB", "password": BOB["password"]})
        headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
        bob = warren.dial(f"token={login.json()['access_token']}", via="gw-2")
        await bob.next("welcome")
        await settle()
        alice = await warren.connect("alice")
        await send(alice, str(user["id"]), "hi", "c1")
        assert (await bob.next("message"))["content"] == "hi"
        await send(bob, "alice", "hello", "c2")
        seen = await alice.next("message")
        while seen["content"] != "hello":
            seen = await alice.next("message")
        assert (seen["sender_id"], seen["sender_name"]) == ("1", "Bob B.")
        assert (await one.get("/me", headers=headers)).json()["is_online"] is True
        assert (await one.post("/logout", headers=headers)).status_code == 200
        with pytest.raises(Closed):
            await bob.next("never")
        assert [(await each.get("/me", headers=headers)).status_code for each in (one, other)] == [401, 401]
        assert (await one.get("/me", headers={"Authorization": f"Bearer {user['access_token']}"})).status_code == 200
    await warren.settled()
