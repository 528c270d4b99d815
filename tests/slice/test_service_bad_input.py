"""What the service wire says to packets that it cannot read or may not carry out, without harm."""

import pytest

from tests.slice import service_town
from tests.slice.service_town import Connect

warren, connect = service_town.warren, service_town.connect


@pytest.mark.parametrize(
    "packet",
    [
        '427["send_message",{"session_id":"s1"}]',
        '427["send_message",{"session_id":"s1","message":7}]',
        '427["send_message",{"session_id":"s1","message":"hi","from_user_id":"mallory"}]',
        '427["send_message",{"session_id":"s1","message":"hi","token":"garbage"}]',
        '427["send_message",{"session_id":"a b","message":"hi"}]',
        '427["send_message",{"session_id":"s1","message":"hi","reply_to_message_id":99}]',
        '427["send_message",{"session_id":"s1","message":"' + "x" * 16_385 + '"}]',
        '427["send_message",{"session_id":"s1","message":"' + "x" * 200_000 + '"}]',
        '427["send_message",null]',
        '427["send_message"]',
        '427["message_read",{"message_id":"none"}]',
        '427["message_read",{"message_id":9007199254740993}]',
        '427["recall_message",{"message_id":67108865}]',
        '427["get_session_messages",{"session_id":"nobodys"}]',
        '427["get_session_messages",{"session_id":"nobodys","limit":0}]',
        '427["kick_device",{"device_id":"somebody elses"}]',
        '427["accept_session",{"session_id":"s1"}]',
        '427["nonsense",{}]',
        "427[7]",
        "427[]",
        '427["send_message",{]',
        '451-7["send_message",{"_placeholder":true,"num":0}]',
    ],
)
async def test_a_wrong_request_fails_and_the_connection_lives(connect: Connect, packet: str) -> None:
    alice = await connect("alice")
    alice.socket.send_text(packet)
    await alice.settle()
    failed = alice.socket.acks.pop("7")
    assert failed["success"] is False
    assert failed["code"] not in ("internal", "unavailable")
    assert (await alice.ask("heartbeat", connection_id="c1"))["success"]


@pytest.mark.parametrize("packet", ["42{}", "42", "429", '42/admin,["a"]', "44{}", '42["' + "x" * 200_000 + '"]'])
async def test_a_packet_that_is_no_request_is_told_as_an_error(connect: Connect, packet: str) -> None:
    alice = await connect("alice")
    alice.socket.send_text(packet)
    [error] = await alice.heard("error")
    assert error["success"] is False
    assert (await alice.ask("heartbeat", connection_id="c1"))["success"]


async def test_ten_packets_in_a_row_that_cannot_be_read_close(connect: Connect) -> None:
    alice = await connect("alice")
    for _ in range(10):
        alice.socket.send_text("42{}")
    await alice.settle()
    assert await alice.socket.ended() == 3504
