"""Who is let in, also when many come at once, and what is left when somebody cannot be served."""

import jwt
import pytest

from gateway.announcer import Announcer
from shared.events import Session
from tests.fakes.clock import settle
from tests.fakes.edge import SECRET, Edge, gateway


async def sessions(edge: Edge) -> object:
    return (await edge.service.stats())["sessions"]


async def test_the_limit_of_a_user_holds_for_those_who_come_at_once() -> None:
    async with gateway(max_user_sessions="2") as edge:
        edge.history.gate.clear()
        sockets = [edge.dial(f"token={edge.token()}") for _ in range(5)]
        await settle()
        edge.history.gate.set()
        await settle()
        assert await sessions(edge) == 2
        assert [await socket.closed() for socket in sockets[2:]] == [3004] * 3


async def test_whoever_connects_again_and_again_must_wait() -> None:
    async with gateway(rate_per_s="1", rate_burst="2") as edge:
        for _ in range(2):
            (await edge.connect()).hang_up()
        third = edge.dial(f"token={edge.token()}")
        assert (await third.next_error())["code"] == "rate_limited"
        assert await third.closed() == 3004
        await edge.connect("alice")
        await edge.clock.advance(1)
        await edge.connect()


async def test_a_handshake_counts_for_its_address_until_it_is_over() -> None:
    async with gateway(max_address_sessions="2") as edge:
        first, second = edge.dial(""), edge.dial("")
        await settle()
        assert await edge.dial(f"token={edge.token()}").closed() == 3004
        first.hang_up()
        await settle()
        await edge.connect()
        await second.request("hello", token=edge.token())
        assert await sessions(edge) == 2


async def test_a_name_that_cannot_be_written_is_no_name() -> None:
    async with gateway() as edge:
        expires_at = int(edge.clock.now().timestamp()) + 60
        token = jwt.encode({"sub": "eve", "name": "\ud800", "exp": expires_at}, SECRET)
        assert await edge.dial(f"token={token}").closed() == 3500


async def test_a_session_that_cannot_be_announced_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(self: Announcer, session: Session) -> None:
        raise RuntimeError("A bug.")

    async with gateway() as edge:
        monkeypatch.setattr(Announcer, "opened", break_down)
        assert await edge.dial(f"token={edge.token()}").closed() == 3003
        assert await sessions(edge) == 0
