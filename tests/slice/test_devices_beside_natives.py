"""Devices and native clients, in one conversation."""

import httpx

from tests.slice import devices_town
from tests.slice.devices_town import Devices, contents, made_group
from tests.slice.warren import send

devices = devices_town.devices


async def test_a_device_and_a_native_user_talk_with_receipts_and_typing(devices: Devices) -> None:
    alice = await devices.warren.connect("alice")
    ben = await devices.connect("phone-ben", query="name=Ben")
    sent = await send(alice, "phone-ben", "hi", "c1")
    await devices.rest(ben)
    assert [(each.content, each.sender_id, each.recipient_name) for each in ben.messages] == [("hi", "alice", "Ben")]
    assert (await alice.next("receipt"))["stage"] == "delivered"
    assert ben.socket is not None
    ben.socket.send_text(f'{{"type": "read_receipt", "message_ids": ["{sent["message_id"]}"]}}')
    await devices.rest(ben)
    assert (await alice.next("receipt"))["stage"] == "read"
    back = await ben.send_message("alice", "hello")
    message = (await alice.next("message"), await alice.next("message"))[1]
    assert (message["id"], message["sender_name"], message["content"]) == (back["message_id"], "Ben", "hello")
    alice.send_frame("ack", conversation_id=message["conversation_id"], seq=message["seq"], stage="read")
    alice.send_frame("typing", to="phone-ben", active=True)
    await devices.rest(ben)
    assert ben.receipts[-1] == (back["message_id"], "read")
    assert ben.typing == [{"alice": True}]


async def test_a_device_that_calls_rest_alone_has_a_name_on_the_other_wires(devices: Devices) -> None:
    alice = await devices.warren.connect("alice")
    shy = devices.app("phone-shy")
    await shy.send_message("alice", "hi")
    assert (await alice.next("message"))["sender_name"] == "Device-phone-sh"
    headers = {"Authorization": f"Bearer {devices.warren.token('alice')}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(devices.warren.app("gw-2")), base_url="http://gw-2"
    ) as http:
        assert (await http.get("/v1/users/phone-shy", headers=headers)).json()["name"] == "Device-phone-sh"
    await devices.connect("phone-shy", query="name=Shy")
    await shy.send_message("alice", "me again")
    assert (await alice.next("message"))["sender_name"] == "Shy"


async def test_a_device_takes_part_in_a_group(devices: Devices) -> None:
    alice = await devices.warren.connect("alice")
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben", via="gw-2")
    room = await made_group(devices.warren, "phone-ann", "phone-ben")
    await alice.request("send", conversation_id=room, content="welcome")
    await devices.rest(ann, ben)
    assert [(each.sender_id, each.recipient_id, each.recipient_name) for each in ben.messages] == [
        ("alice", room, "Team")
    ]
    sent = await ann.send_message(room, "thanks")
    assert sent["message"]["session_id"] == room
    await devices.rest(ann, ben)
    assert contents(ben.messages) == ["welcome", "thanks"]
    assert [frame["content"] for frame in alice.unread("message")] == ["welcome", "thanks"]
    assert ann.receipts == []  # alice does not have it yet
    alice.send_frame("ack", conversation_id=room, seq=2, stage="read")
    await devices.rest(ann, ben)
    assert ann.receipts == [(sent["message_id"], "delivered")]
    await devices.done(ben.get_messages(session_id=room))
    await devices.rest(ann, ben)
    assert ann.receipts[1:] == [(sent["message_id"], "read")]
    [session] = await ben.get_sessions()
    assert (session.id, set(session.participant_ids)) == (room, {"alice", "phone-ann", "phone-ben"})


async def test_what_is_said_to_a_group_that_was_left_is_refused(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    room = await made_group(devices.warren, "phone-ann")
    headers = {"Authorization": f"Bearer {devices.warren.token('alice')}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(devices.warren.app()), base_url="http://gw-1") as http:
        assert (await ann.send_message(room, "here"))["session_id"] == room
        await http.delete(f"/v1/conversations/{room}/members/phone-ann", headers=headers)
    await devices.rest(ann)
    refused = await devices.call(ann, "POST", "/api/messages/send", {"recipient_id": room, "content": "still here?"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_a_member")
    assert not [session.id for session in await ann.get_sessions() if session.id != room]
