"""The gateway's admin API and settings."""

import asyncio

import httpx
import pytest
from pydantic import ValidationError

from gateway.settings import GatewaySettings
from shared.admin import build_admin_app
from shared.settings import AdminSettings
from tests.fakes.clock import settle
from tests.fakes.edge import ENVIRON, Edge, gateway


def admin(edge: Edge) -> httpx.AsyncClient:
    app = build_admin_app(edge.service, AdminSettings.from_env(ENVIRON), asyncio.Event())
    headers = {"Authorization": "Bearer admin"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://admin", headers=headers)


async def test_sessions_are_listed_page_by_page_and_by_user() -> None:
    async with gateway() as edge, admin(edge) as http:
        for user in ("alice", "bob", "alice"):
            await edge.connect(user)
        first = (await http.get("/admin/sessions?limit=2")).json()
        second = (await http.get(f"/admin/sessions?limit=2&cursor={first['next_cursor']}")).json()
        assert [each["user_id"] for each in first["sessions"] + second["sessions"]] == ["alice", "bob", "alice"]
        assert second["next_cursor"] is None
        of_alice = (await http.get("/admin/sessions?user=alice")).json()["sessions"]
        assert [(each["user_id"], each["address"], each["dialect"]) for each in of_alice] == [
            ("alice", "127.0.0.1", "native")
        ] * 2


async def test_a_closed_session_is_told_not_to_return() -> None:
    async with gateway() as edge, admin(edge) as http:
        bob = edge.dial(f"token={edge.token()}")
        session_id = (await bob.next("welcome"))["connection_id"]
        assert (await http.delete(f"/admin/sessions/{session_id}")).status_code == 204
        assert (await bob.next("bye"))["reconnect"] is False
        assert await bob.closed() == 3502
        await settle()
        assert (await http.delete(f"/admin/sessions/{session_id}")).status_code == 404


async def test_a_kick_closes_all_sessions_of_one_user() -> None:
    async with gateway() as edge, admin(edge) as http:
        bob, phone, alice = await edge.connect(), await edge.connect(), await edge.connect("alice")
        assert (await http.post("/admin/users/bob/kick")).json() == {"closed": 2}
        assert [await bob.closed(), await phone.closed()] == [3502, 3502]
        assert alice.unread("bye") == []


async def test_a_kick_may_be_of_one_device() -> None:
    async with gateway() as edge, admin(edge) as http:
        phone, laptop = await edge.connect(device="phone"), await edge.connect(device="laptop")
        assert (await http.post("/admin/users/bob/kick?device_id=phone")).json() == {"closed": 1}
        assert await phone.closed() == 3502
        assert laptop.unread("bye") == []


async def test_readiness_and_statistics_follow_the_broker() -> None:
    async with gateway() as edge, admin(edge) as http:
        await edge.connect()
        assert (await http.get("/readyz")).status_code == 200
        stats = (await http.get("/admin/stats")).json()
        assert (stats["gateway_id"], stats["sessions"]) == ("gw-1", 1)
        edge.broker.break_connection()
        assert (await http.get("/readyz")).status_code == 503


def test_tokens_are_minted_in_development_only() -> None:
    production = {**ENVIRON, "WARREN_MODE": "production"}
    with pytest.raises(ValidationError, match="WARREN_GATEWAY_DEV_TOKENS"):
        GatewaySettings.from_env(production)
    assert not GatewaySettings.from_env({**production, "WARREN_GATEWAY_DEV_TOKENS": "false"}).sockets.dev_tokens


def test_a_gateway_without_an_id_has_one_of_its_own() -> None:
    settings = GatewaySettings.from_env({**ENVIRON, "WARREN_GATEWAY_ID": ""})
    assert settings.gateway_id("0193-aaaaaaaaaaaa") != settings.gateway_id("0193-bbbbbbbbbbbb")


async def test_what_operators_tell_reaches_all_devices_of_those_users_alone() -> None:
    async with gateway() as edge, admin(edge) as http:
        phone, laptop, alice = (
            await edge.connect(device="phone"),
            await edge.connect(device="laptop"),
            await edge.connect("alice"),
        )
        wish = {"user_ids": ["bob", "nobody", "bob"], "title": "Maintenance", "body": "At noon.", "data": {"url": "/x"}}
        answer = await http.post("/admin/notifications", json=wish)
        assert answer.status_code == 202
        for device in (phone, laptop):
            told = await device.next("notification")
            assert told.pop("created_at")
            assert told == {
                "id": answer.json()["id"],
                "title": "Maintenance",
                "body": "At noon.",
                "data": {"url": "/x"},
            }
        await settle()
        assert (alice.unread("notification"), phone.unread("notification")) == ([], [])


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({}, 422),
        ({"user_ids": [], "title": "x"}, 422),
        ({"user_ids": ["bob"]}, 422),
        ({"user_ids": ["bob"], "title": ""}, 422),
        ({"user_ids": ["bo b"], "title": "x"}, 422),
        ({"user_ids": ["bob"], "title": "x", "data": []}, 422),
        ({"user_ids": ["bob"], "title": "x", "data": {"x": "y" * 5000}}, 413),
    ],
)
async def test_a_notification_that_makes_no_sense_is_refused(wish: dict[str, object], status: int) -> None:
    async with gateway() as edge, admin(edge) as http:
        bob = await edge.connect()
        assert (await http.post("/admin/notifications", json=wish)).status_code == status
        await settle()
        assert bob.unread("notification") == []
