"""How a client of the service wire registers, and what ends its connection."""

import pytest

from tests.slice import service_town
from tests.slice.service_client import Client, token_of
from tests.slice.service_town import Connect
from tests.slice.warren import Warren

warren, connect = service_town.warren, service_town.connect


async def test_a_client_is_greeted_and_registers(warren: Warren) -> None:
    client = Client(warren, "123", token=token_of(warren, "123"))
    await client.open()
    [greeting] = await client.heard("connect_success")
    assert greeting["success"]
    info = {"device_name": "iPhone 13", "device_type": "mobile", "platform": "iOS", "browser": "Safari"}
    answer = await client.register(user_id=123, connection_id="uuid", device_info=info)
    assert answer == {
        "success": True,
        "connection_id": "uuid",
        "socket_id": greeting["socket_id"],
        "message": "连接注册成功",
    }
    [device] = (await client.ask("get_devices"))["devices"]
    assert (device["device_id"], device["device_name"], device["device_type"]) == ("d1", "iPhone 13", "mobile")
    assert device["is_active"]


async def test_what_comes_before_registering_fails_and_the_connection_lives(warren: Warren) -> None:
    client = Client(warren, "alice", token=token_of(warren, "alice"))
    await client.open()
    for event in ("send_message", "heartbeat", "nonsense"):
        answer = await client.ask(event, session_id="s1", message="hi")
        assert not answer["success"]
        assert answer["code"] in ("unauthenticated", "unknown_type")
    assert (await client.register())["success"]


async def test_who_does_not_register_in_time_is_closed(warren: Warren) -> None:
    client = Client(warren, "alice", token=token_of(warren, "alice"))
    await client.open()
    await warren.passes(11)
    assert await client.socket.ended() == 1008
    assert client.socket.is_disconnected


async def test_a_token_given_when_connecting_will_do(warren: Warren) -> None:
    client = Client(warren, "alice", token="")
    await client.open({"token": token_of(warren, "alice")})
    assert (await client.register(token=None))["success"]


@pytest.mark.parametrize("wrong", ["garbage", "", "a.b.c"])
async def test_a_false_token_is_refused_and_closes(warren: Warren, wrong: str) -> None:
    client = Client(warren, "alice", token=wrong)
    await client.open()
    answer = await client.register()
    assert (answer["success"], answer["code"]) == (False, "unauthenticated")


async def test_somebody_elses_token_is_refused(warren: Warren) -> None:
    client = Client(warren, "mallory", token=token_of(warren, "alice"))
    await client.open()
    assert (await client.register())["code"] == "forbidden"
    assert await client.socket.ended() == 1008


async def test_registering_again_on_the_same_socket_is_answered_again(connect: Connect) -> None:
    alice = await connect("alice")
    assert (await alice.register(connection_id="c2"))["connection_id"] == "c2"
    assert (await alice.register(user_id="mallory"))["code"] == "forbidden"
    assert (await alice.register(token="garbage"))["code"] == "unauthenticated"


async def test_a_newer_socket_of_a_device_takes_over(connect: Connect) -> None:
    older = await connect("alice")
    newer = await connect("alice", via="gw-2")
    [kicked] = await older.heard("kicked")
    assert kicked["code"] == "replaced"
    assert older.socket.is_disconnected
    assert (await newer.ask("heartbeat", connection_id="c1"))["success"]


async def test_a_heartbeat_is_answered_and_silence_closes(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    for _ in range(5):
        await warren.passes(30)
        answer = await alice.ask("heartbeat", connection_id="c1")
        assert answer == {"success": True, "timestamp": warren.clock.now().strftime("%Y-%m-%dT%H:%M:%S")}
    await bob.settle()
    assert bob.socket.close_code == 3002
    assert alice.socket.close_code is None


async def test_a_kicked_device_is_told_and_closed(connect: Connect) -> None:
    phone, desk = await connect("alice", device="phone"), await connect("alice", device="desk", via="gw-2")
    assert (await desk.ask("kick_device", device_id="phone"))["success"]
    [kicked] = await phone.heard("kicked")
    assert kicked["code"] == "kicked"
    assert phone.socket.is_disconnected
    assert (await desk.ask("kick_device", device_id="nothing"))["code"] == "not_found"
