"""Socket.IO in a gateway: who is greeted, who is served, and how it ends."""

import httpx
import pytest

from shared.events import DeviceInfo, SessionOpened
from shared.ids import DeviceId, UserId
from shared.presence_api import Device
from tests.fakes.clock import settle
from tests.fakes.edge import Edge, gateway
from tests.slice.socket_io import IoSocket


async def dial(edge: Edge, path: str = "/socket.io/") -> IoSocket:
    socket = IoSocket(edge.app, path, "", {})
    edge._sockets.append(edge._tasks.create_task(socket.run(), name="socket"))
    await socket.open()
    return socket


async def register(edge: Edge, socket: IoSocket, user: str = "bob") -> object:
    socket.emit("register", {"user_id": user, "token": edge.token(user), "device_id": "d1"}, "1")
    await settle()
    socket.events()
    return socket.acks.get("1")


@pytest.mark.parametrize(
    ("wires", "greetings"),
    [
        ("service,flutter", ["connect_success", "message"]),
        ("service", ["connect_success"]),
        ("flutter", ["message"]),
    ],
)
async def test_clients_are_greeted_in_the_words_of_the_wires_that_are_served(wires: str, greetings: list[str]) -> None:
    async with gateway(wires=wires) as edge:
        for path in ("/socket.io/", "/socket.io", "/connector/", "/connector"):
            socket = await dial(edge, path)
            assert [event for event, _ in socket.events()] == greetings


async def test_without_such_a_wire_there_is_no_socket_io() -> None:
    async with (
        gateway(wires="devices") as edge,
        httpx.AsyncClient(transport=httpx.ASGITransport(edge.app), base_url="http://warren") as client,
    ):
        assert (await client.get("/socket.io/?EIO=4&transport=polling")).status_code == 404
        assert (await client.post("/api/sessions", json={"user_ids": []})).status_code == 404


async def test_the_first_event_tells_the_wire() -> None:
    async with gateway() as edge:
        socket = await dial(edge)
        answer = await register(edge, socket)
        assert isinstance(answer, dict)
        assert answer["success"]
        [opened] = [each for each in await edge.announced() if isinstance(each, SessionOpened)]
        assert opened.session.dialect == "service"
        socket.emit("message", "{}", "2")
        await settle()
        assert socket.events() == []
        assert socket.acks["2"]["code"] == "unknown_type"


async def test_a_registration_is_answered_when_its_device_is_listed() -> None:
    async with gateway(arrival_s="1") as edge:
        first, second = await dial(edge), await dial(edge)
        assert await register(edge, first) is None
        info, at = DeviceInfo(id=DeviceId("d1")), edge.clock.now()
        edge.presence.devices_of[UserId("bob")] = (Device(info=info, first_seen=at, last_seen=at, online=True),)
        await edge.clock.advance(0.1)
        first.events()
        assert first.acks["1"]["success"]
        assert await register(edge, second, "carol") is None
        await edge.clock.advance(1.1)
        second.events()
        assert second.acks["1"]["success"]


async def test_a_stopping_gateway_sends_clients_elsewhere() -> None:
    async with gateway() as edge:
        registered, silent = await dial(edge), await dial(edge)
        await register(edge, registered)
        await edge.drain()
        assert await registered.ended() == 3000
        assert not registered.is_disconnected
        await silent.ended()


async def test_connections_count_for_their_address() -> None:
    async with gateway(max_address_sessions="1") as edge:
        first, second = await dial(edge), await dial(edge)
        assert await second.ended() == 3004
        assert await register(edge, first)


async def test_a_token_that_expires_closes() -> None:
    async with gateway() as edge:
        socket = await dial(edge)
        token = edge.token("bob", lifetime_s=60)
        socket.emit("register", {"user_id": "bob", "token": token}, "1")
        await edge.clock.advance(61)
        assert await socket.ended() == 1008
        assert socket.is_disconnected


async def test_pages_of_the_settings_origins_may_poll() -> None:
    async with gateway(cors_origins="https://chat.example") as edge:
        transport = httpx.ASGITransport(edge.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://warren") as client:
            url = "/socket.io/?EIO=4&transport=polling"
            opened = await client.get(url, headers={"origin": "https://chat.example"})
            assert opened.status_code == 200
            assert opened.headers["access-control-allow-origin"] == "https://chat.example"
            other = await client.get(url, headers={"origin": "https://evil.example"})
            assert "access-control-allow-origin" not in other.headers
            asked = await client.options(
                url,
                headers={
                    "origin": "https://chat.example",
                    "access-control-request-method": "POST",
                    "access-control-request-headers": "x-access-token",
                },
            )
            assert asked.status_code == 200
