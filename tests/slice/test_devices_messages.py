"""Messages between devices, with receipts and typing: they come whole, in order, and again until confirmed."""

import pytest

from tests.clients.devices import ChatScreen, MessageStatus
from tests.fakes.clock import settle
from tests.slice import devices_town
from tests.slice.devices_town import Devices, contents

devices = devices_town.devices


async def test_two_devices_chat_on_their_chat_screens(devices: Devices) -> None:
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben", via="gw-2")
    here, there = ChatScreen(ann, "phone-ben"), ChatScreen(ben, "phone-ann")
    await here.load()
    await there.load()
    assert (here.shown, there.shown) == ([], [])
    sent = await ann.send_message("phone-ben", "你好")
    assert (sent["status"], sent["delivered"]) == ("sent", True)
    await devices.rest(ann, ben)
    assert contents(here.shown) == contents(there.shown) == ["你好"]
    assert there.shown[0].sender_name == "Device-phone-an"
    await devices.done(there.mark())
    await devices.rest(ann, ben)
    assert ann.receipts == [(sent["message_id"], "delivered"), (sent["message_id"], "read")]
    await ben.send_message("phone-ann", "hallo")
    await devices.rest(ann, ben)
    assert contents(here.shown) == contents(there.shown) == ["你好", "hallo"]
    assert [each.status.name for each in there.shown] == ["delivered", "sent"]
    await devices.done(here.load())
    assert [(each.content, each.status.name) for each in here.shown] == [("你好", "read"), ("hallo", "read")]
    await devices.rest(ann, ben)
    assert ben.receipts[-1] == (here.shown[-1].id, "read")
    assert ben.errors == ann.errors == []


async def test_messages_wait_for_a_device_that_is_away(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    sent = [await ann.send_message("phone-ben", str(number)) for number in range(3)]
    assert [each["delivered"] for each in sent] == [False] * 3
    await devices.rest(ann)
    assert ann.receipts == []
    ben = await devices.connect("phone-ben", via="gw-2")
    assert contents(ben.messages) == ["0", "1", "2"]
    await devices.rest(ann)
    assert ann.receipts == [(each["message_id"], "delivered") for each in sent]


@pytest.mark.parametrize("confirmed_by", ["ping", "request", None])
async def test_what_a_device_did_not_confirm_is_pushed_again(devices: Devices, confirmed_by: str | None) -> None:
    ann = await devices.connect("phone-ann")
    ben = await devices.connect("phone-ben")
    ben.beat()
    await devices.rest()
    await ann.send_message("phone-ben", "hi")
    await devices.rest(ben)
    assert contents(ben.messages) == ["hi"]
    if confirmed_by == "ping":
        ben.beat()
    elif confirmed_by == "request":
        await ben.get_unread()
    await settle()
    ben.disconnect()
    back = await devices.connect("phone-ben", via="gw-2")
    assert contents(back.messages) == ([] if confirmed_by else ["hi"])


async def test_what_a_new_device_did_not_confirm_is_pushed_again(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    await ann.send_message("phone-ben", "before")
    ben = await devices.connect("phone-ben")
    await ann.send_message("phone-ben", "since")
    await devices.rest(ben)
    assert contents(ben.messages) == ["before", "since"]
    ben.disconnect()  # it has never said a word
    back = await devices.connect("phone-ben", via="gw-2")
    assert contents(back.messages) == ["before", "since"]


async def test_typing_is_seen_and_ends(devices: Devices) -> None:
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben", via="gw-2")
    screen = ChatScreen(ben, "phone-ann")
    ann.send_typing_indicator("phone-ben", is_typing=True)
    await devices.rest(ann, ben)
    assert screen.is_typing
    assert ann.typing == []
    ann.send_typing_indicator("phone-ben", is_typing=False)
    await devices.rest(ann, ben)
    assert not screen.is_typing
    ann.send_typing_indicator("phone-ben", is_typing=True)
    await devices.rest(ben)
    await devices.warren.passes(6)  # the other end is gone without a word
    await devices.rest(ben)
    assert not screen.is_typing


async def test_a_message_sent_again_with_its_client_id_is_stored_once(devices: Devices) -> None:
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben")
    first = await ann.send_message("phone-ben", "hi", metadata={"client_id": "c-1"})
    again = await ann.send_message("phone-ben", "otherwise", metadata={"client_id": "c-1"})
    other = await ann.send_message("phone-ben", "hi")
    assert (again["message_id"], again["created_at"]) == (first["message_id"], first["created_at"])
    assert again["message"] == first["message"]
    assert other["message_id"] != first["message_id"]
    await devices.rest(ann, ben)
    assert [each.id for each in ben.messages] == [first["message_id"], other["message_id"]]
    assert ben.messages[0].metadata == {"client_id": "c-1"}


async def test_the_recipient_alone_says_what_became_of_a_message_and_it_never_goes_back(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    ids = [(await ann.send_message("phone-ben", str(number)))["message_id"] for number in range(3)]
    ben, eve = devices.app("phone-ben"), devices.app("phone-eve")
    for nobody in (ann, eve):
        assert await nobody.update_message_status(ids, MessageStatus.read) == {"updated_count": 0, "status": "read"}
    assert (await devices.done(ben.update_message_status(ids[:2], MessageStatus.read)))["updated_count"] == 2
    for status in (MessageStatus.delivered, MessageStatus.read, MessageStatus.pending, MessageStatus.failed):
        assert (await ben.update_message_status(ids[:2], status))["updated_count"] == 0
    assert (await devices.done(ben.update_message_status(ids, MessageStatus.delivered)))["updated_count"] == 1
    await devices.rest(ann)
    assert ann.receipts == [(ids[0], "read"), (ids[1], "read"), (ids[2], "delivered")]
    assert [each.status.name for each in await ann.get_messages(device_id="phone-ben")] == ["read", "read", "delivered"]


async def test_receipts_of_what_happened_while_the_sender_was_away_come_with_its_return(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    ids = [(await ann.send_message("phone-ben", str(number)))["message_id"] for number in range(2)]
    ben = await devices.connect("phone-ben")
    await devices.rest(ann, ben)
    await devices.warren.passes(60)
    ann.beat()
    await devices.rest(ann, ben)
    assert ann.receipts == [(each, "delivered") for each in ids]
    await devices.warren.passes(2)
    ann.disconnect()
    await devices.rest()
    await devices.done(ben.update_message_status(ids, MessageStatus.read))
    await devices.warren.passes(60)
    back = await devices.connect("phone-ann", via="gw-2")
    await devices.rest(back)
    assert back.receipts == [(each, "read") for each in ids]


async def test_a_burst_arrives_whole_and_in_order_and_is_told_of_message_by_message(devices: Devices) -> None:
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben", via="gw-2")
    sent = [(await ann.send_message("phone-ben", str(number)))["message_id"] for number in range(300)]
    await devices.rest(ann, ben)
    assert [each.id for each in ben.messages] == [each.id for each in ann.messages] == sent
    assert ann.receipts == [(each, "delivered") for each in sent]
    for start in range(0, 300, 100):
        await devices.done(ben.update_message_status(sent[start : start + 100], MessageStatus.read))
    await devices.rest(ann)
    assert ann.receipts[300:] == [(each, "read") for each in sent]


async def test_a_device_may_write_to_itself(devices: Devices) -> None:
    ann = await devices.connect("phone-ann", query="name=Ann")
    screen = ChatScreen(ann, "phone-ann")
    await ann.send_message("phone-ann", "note")
    await devices.rest(ann)
    assert [(each.content, each.sender_id, each.recipient_name) for each in screen.shown] == [
        ("note", "phone-ann", "Ann")
    ]
    await devices.done(screen.mark())
    await devices.done(screen.load())
    assert contents(screen.shown) == ["note"]
    [session] = await ann.get_sessions()
    assert (session.id, session.participant_ids) == ("phone-ann_phone-ann", ["phone-ann"])
