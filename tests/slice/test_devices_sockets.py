"""The sockets of devices: who is let in, and what closes one."""

import pytest

from tests.slice import devices_town
from tests.slice.devices_town import Devices, contents, town
from tests.slice.sockets import FakeSocket

devices = devices_town.devices


@pytest.mark.parametrize("via", ["gw-1", "gw-2"])
async def test_a_second_socket_of_a_device_takes_the_place_of_the_first(devices: Devices, via: str) -> None:
    first = await devices.connect("phone-ben")
    second = await devices.connect("phone-ben", via=via)
    assert isinstance(first.socket, FakeSocket)
    assert await first.socket.closed() == 3503
    await (await devices.connect("phone-ann")).send_message("phone-ben", "hi")
    await devices.rest(second)
    assert contents(second.messages) == ["hi"]


async def test_a_silent_device_is_closed(devices: Devices) -> None:
    ben = await devices.connect("phone-ben")
    for _ in range(4):
        await devices.warren.passes(60)
        ben.beat()
        await devices.rest(ben)
    assert isinstance(ben.socket, FakeSocket)
    await devices.warren.passes(121)
    assert await ben.socket.closed() == 3002


@pytest.mark.parametrize("is_open", ["true", "false"])
async def test_a_socket_is_let_in_by_a_token_of_the_device_or_by_its_id_where_devices_are_open(is_open: str) -> None:
    async with town(open_devices=is_open) as devices:
        token = devices.warren.token("phone-ben")
        for query, lets_in in {
            f"token={token}": True,
            "": is_open == "true",
            "token=": False,
            f"token={token}x": False,
            f"token={devices.warren.token('mallory')}": False,
            f"token={devices.warren.token('phone-ben', lifetime_s=-60)}": False,
        }.items():
            socket = devices.warren.dial(query, path="/api/messages/ws/phone-ben")
            if lets_in:
                assert (await socket.next_where(lambda frame: True))["status"] == "connected"
            else:
                assert await socket.closed() == 1008
                [error] = [frame for frame in socket.unread_frames() if frame["type"] == "error"]
                assert error["code"] in ("unauthenticated", "token_expired", "forbidden")


async def test_a_bad_frame_is_answered_and_the_socket_stays(devices: Devices) -> None:
    ben = await devices.connect("phone-ben")
    assert isinstance(ben.socket, FakeSocket)
    for frame in ("{", "[]", '{"type": "dance"}', '{"type": "typing"}', '{"type": "read_receipt", "message_ids": 7}'):
        ben.socket.send_text(frame)
    await devices.rest(ben)
    assert [error["code"] for error in ben.errors] == [
        "invalid",
        "invalid",
        "unknown_type",
        "invalid_field",
        "invalid_field",
    ]
    await (await devices.connect("phone-ann")).send_message("phone-ben", "still here?")
    await devices.rest(ben)
    assert contents(ben.messages) == ["still here?"]
