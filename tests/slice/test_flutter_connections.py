"""How the flutter wire's published client enters, stays, and loses its connection."""

import json

import pytest

from tests.fakes.clock import settle
from tests.slice import flutter_app
from tests.slice.flutter_app import App
from tests.slice.socket_io import IoSocket
from tests.slice.warren import Warren, running, send

warren, jack, rose = flutter_app.warren, flutter_app.jack, flutter_app.rose


async def test_the_app_enters_by_its_token_and_its_heart_is_answered(jack: App) -> None:
    assert jack.manager.enter_flag
    assert [frame["type"] for frame in jack.manager.heard] == ["connect_info", "enter_server"]
    assert jack.manager.heard[1]["code"] == 1000
    jack.manager.heart()
    assert jack.manager.ping_wait_flag
    await jack.pump()
    assert not jack.manager.ping_wait_flag
    pongs = [frame for frame in jack.manager.heard if frame["type"] == "pong"]
    assert len(pongs) == 2  # as `response` and as `message`
    assert isinstance(pongs[0]["msg_id"], int)


@pytest.mark.parametrize("way", ["header", "auth", "query"])
async def test_the_connection_may_bring_the_token(warren: Warren, way: str) -> None:
    app = App(warren, "jack")
    app.manager.token = ""
    token = warren.token("jack")
    await app.connect(
        query=f"token={token}" if way == "query" else "",
        auth={"token": token} if way == "auth" else None,
        headers={"x-access-token": token} if way == "header" else {},
    )
    assert app.manager.enter_flag
    app.manager.database.close()


@pytest.mark.parametrize("token", ["", "false", "ey.ey.x"])
async def test_without_a_valid_token_nobody_enters(warren: Warren, token: str) -> None:
    app = App(warren, "jack")
    app.manager.token = token
    await app.connect()
    assert not app.manager.enter_flag
    assert app.manager.heard[-1]["code"] == 1002
    assert await app.socket.ended() == 1008
    app.manager.database.close()


async def test_nobody_enters_as_somebody_else(warren: Warren) -> None:
    app = App(warren, "jack")
    app.manager.token = warren.token("rose")
    await app.connect()
    assert not app.manager.enter_flag
    assert 1003 in [frame["code"] for frame in app.manager.heard]
    assert await app.socket.ended() == 1008
    app.manager.database.close()


async def test_entering_again_is_answered_and_changes_nobody(warren: Warren, jack: App) -> None:
    jack.manager.enter()
    await jack.pump()
    assert len(jack.heard("enter_server")) == 2
    for token, user, code in (
        (warren.token("rose"), "rose", 1003),
        (warren.token("rose"), "", 1003),
        ("false", "jack", 1002),
        (warren.token("jack", lifetime_s=3600), "jack", 1000),
    ):
        answer = await jack.ask("enter", token=token, user={"id": user})
        assert (answer["code"], answer["type"]) == (code, "enter_server" if code == 1000 else "error")
    assert (await jack.ask("cs_ain", "q2", tid="rose"))["code"] == 1000


async def test_a_silent_app_is_closed_and_one_that_pings_is_not(warren: Warren, jack: App, rose: App) -> None:
    for _ in range(5):
        await warren.passes(30)
        rose.manager.heart()
        await rose.pump()
    await jack.pump()
    assert jack.socket.close_code is not None
    assert rose.socket.close_code is None


async def test_nothing_can_be_done_before_entering(warren: Warren, rose: App) -> None:
    app = App(warren, "jack")
    app.socket = IoSocket(warren.app(), "/socket.io/", "", {})
    warren._tasks.create_task(app.socket.run(), name="socket")
    await app.socket.open()
    app.socket.events()
    for type_ in ("cs_cp2p", "cs_gcds", "cs_ain", "cs_alv", "typing"):
        assert (await app.ask(type_, type_, tid="rose", cType=1, content="x"))["code"] == 1002
    app.socket.emit("message", json.dumps({"type": "enter", "payload": {"token": warren.token("jack")}}))
    await app.pump()
    assert app.manager.enter_flag
    await rose.pump()
    assert rose.heard("cs_cp2p_s") == []
    app.manager.database.close()


async def test_whoever_is_not_served_is_not_greeted() -> None:
    async with running(wires="service") as warren:
        app = App(warren, "jack")
        await app.connect()
        assert app.manager.heard == []
        app.manager.database.close()


async def test_a_gateway_that_drains_closes_for_a_reconnect_to_another(warren: Warren, jack: App) -> None:
    ann = await warren.connect("ann", via="gw-2")
    await warren.processes["gw-1"].drain()
    await warren.passes(15)
    await settle()
    jack.socket.events()
    assert jack.socket.close_code is not None
    assert not jack.socket.is_disconnected
    await send(ann, "jack", "where are you?", "c1")
    jack._via = "gw-2"
    await jack.connect()
    assert jack.texts("ann") == ["where are you?"]
