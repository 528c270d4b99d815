"""Wires switched on and off by their setting: what is not served is not there, on no path and by no transport."""

import httpx
import pytest
from pydantic import ValidationError

from gateway.settings import SocketSettings
from tests.fakes.edge import Edge, gateway

SOCKETS = {
    "devices": ["/api/messages/ws/phone"],
    "envelope": ["/ws/envelope"],
    "huddle": ["/ws"],
}
REQUESTS = {
    "devices": [("GET", "/api/messages/online"), ("POST", "/api/messages/send"), ("GET", "/api/sync/devices")],
    "service": [("POST", "/api/sessions"), ("GET", "/api/devices"), ("DELETE", "/api/devices/d1")],
    "huddle": [
        *(("GET", f"/api/v1/{name}") for name in ("auth/me", "teams", "channels", "messages", "users/1", "nowhere")),
        ("POST", "/api/v1/auth/login"),
        ("POST", "/api/channels"),
        ("DELETE", "/api/messages/1"),
    ],
}
SOCKET_IO = {wire: ["/socket.io/?EIO=4&transport=polling", "/connector/"] for wire in ("service", "flutter")}
WIRES = ("devices", "envelope", "service", "flutter", "huddle")


async def served(edge: Edge) -> set[str]:
    """Name the wires of which anything is there."""
    found = set()
    for wire, paths in SOCKETS.items():
        for path in paths:
            socket = edge.dial("token=nonsense", path=path)
            found |= {wire} if await socket.closed() != 1000 else set()  # a path that is not there is not even accepted
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge.app), base_url="http://warren") as http:
        for wire, requests in REQUESTS.items():
            for method, path in requests:
                status = (await http.request(method, path)).status_code
                found |= {wire} if status not in (404, 405) else set()
        for paths in SOCKET_IO.values():
            for path in paths:
                found |= {"Socket.IO"} if (await http.get(path)).status_code != 404 else set()
    return found


@pytest.mark.parametrize("wire", WIRES)
async def test_a_wire_alone_is_there_alone(wire: str) -> None:
    async with gateway(wires=wire) as edge:
        own = {wire} & {*SOCKETS, *REQUESTS}
        assert await served(edge) == own | ({"Socket.IO"} if wire in SOCKET_IO else set())


@pytest.mark.parametrize("wire", WIRES)
async def test_a_wire_that_is_left_out_is_not_there(wire: str) -> None:
    async with gateway(wires=",".join(each for each in WIRES if each != wire)) as edge:
        assert await served(edge) == {"Socket.IO", *SOCKETS, *REQUESTS} - {wire}


async def test_none_leaves_our_own_wire_alone() -> None:
    async with gateway(wires="none") as edge:
        assert await served(edge) == set()
        bob = await edge.connect()
        bob.send_frame("ping", n=1)
        assert await bob.next("pong") == {"n": 1}


@pytest.mark.parametrize("wires", ["none,huddle", "huddle,none", "huddle,", "some"])
def test_what_names_no_wires_is_refused_at_the_start(wires: str) -> None:
    with pytest.raises(ValidationError):
        SocketSettings.from_env({"WARREN_GATEWAY_WIRES": wires})
