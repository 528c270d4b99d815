"""Messages on the service wire, through all four services: they come in order, once, and with receipts."""

from tests.slice import service_town
from tests.slice.service_town import Connect
from tests.slice.warren import Warren

warren, connect = service_town.warren, service_town.connect


async def test_a_message_reaches_the_other_user_with_every_documented_key(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("123"), await connect("456", via="gw-2")
    sent = await alice.say("s-1", "Hello", from_user_id=123, role="user", to_user_id=456, message_type="text")
    assert sent == {"success": True, "message_id": sent["message_id"], "time": f"{warren.clock.now():%H:%M}"}
    assert isinstance(sent["message_id"], int)
    [message] = await bob.heard("new_message")
    assert message == {
        "id": str(sent["message_id"]),
        "session_id": "s-1",
        "from": "user",
        "from_user_id": 123,
        "from_user_name": "123",
        "to_user_id": 456,
        "text": "Hello",
        "time": sent["time"],
        "avatar": "",
        "message_type": "text",
        "reply_to_message_id": None,
        "status": "sent",
        "offline": False,
        "timestamp": message["timestamp"],
    }
    assert await alice.heard("new_message") == []
    await bob.say(message["session_id"], "Hi", reply_to_message_id=sent["message_id"])
    [reply] = await alice.heard("new_message")
    assert (reply["text"], reply["session_id"], reply["reply_to_message_id"]) == ("Hi", "s-1", sent["message_id"])


async def test_receipts_come_to_all_the_senders_sockets_one_a_message(connect: Connect) -> None:
    desk, phone = await connect("alice", device="desk"), await connect("alice", device="phone", via="gw-2")
    bob = await connect("bob")
    ids = [(await desk.say("s1", text, to_user_id="bob"))["message_id"] for text in ("1", "2", "3")]
    assert await phone.texts() == ["1", "2", "3"]
    assert await bob.texts() == ["1", "2", "3"]
    assert (await bob.ask("message_delivered", message_id=ids[1], user_id="bob"))["success"]
    assert (await bob.ask("message_read", message_id=str(ids[0])))["success"]
    assert (await bob.ask("message_read", message_id=ids[2]))["success"]
    for socket in (desk, phone):
        told = [(each["message_id"], each["status"]) for each in await socket.heard("message_status")]
        first, second, third = (str(each) for each in ids)
        assert told[:2] == [(first, "delivered"), (second, "delivered")]
        assert told[2:] == [(first, "read"), (third, "delivered"), (second, "read"), (third, "read")]


async def test_what_came_while_away_is_pushed_in_order_as_offline_and_once(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.say("s1", "seen", to_user_id="bob")
    [seen] = await bob.heard("new_message")
    await bob.ask("message_delivered", message_id=int(seen["id"]))
    await warren.passes(2)
    await bob.hang_up()
    for number in range(5):
        await alice.say("s1", f"m{number}")
        await warren.passes(1)
    back = await connect("bob", via="gw-2")
    pushed = await back.heard("new_message")
    assert [each["text"] for each in pushed] == [f"m{number}" for number in range(5)]
    assert all(each["offline"] for each in pushed)
    await alice.say("s1", "live")
    [live] = await back.heard("new_message")
    assert (live["text"], live["offline"]) == ("live", False)
    for each in [*pushed, live]:
        await back.ask("message_delivered", message_id=int(each["id"]))
    await warren.passes(2)
    await back.hang_up()
    again = await connect("bob")
    assert await again.texts() == []


async def test_own_messages_come_to_the_users_other_devices_alone_and_not_back(connect: Connect) -> None:
    alice, _, tablet = await connect("alice"), await connect("bob"), await connect("alice", device="tablet")
    await tablet.hang_up()
    await alice.say("s1", "mine", to_user_id="bob")
    await alice.hang_up()
    assert await (await connect("alice", via="gw-2")).texts() == []
    assert await (await connect("alice", device="tablet")).texts() == ["mine"]


async def test_what_was_pushed_and_not_acknowledged_is_pushed_again(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    for text in ("1", "2", "3"):
        await alice.say("s1", text, to_user_id="bob")
    first, *_ = await bob.heard("new_message")
    await bob.ask("message_delivered", message_id=int(first["id"]))
    await warren.passes(2)
    await bob.hang_up()
    assert await (await connect("bob")).texts() == ["2", "3"]


async def test_a_message_sent_again_has_the_same_answer_and_comes_once(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    first = await alice.say("s1", "once", to_user_id="bob", client_id="k1")
    assert await alice.say("s1", "once", to_user_id="bob", client_id="k1") == first
    assert await alice.say("s1", "once", to_user_id="bob", msg_id="k1") == first
    assert await bob.texts() == ["once"]


async def test_requests_without_an_acknowledgement_are_carried_out(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.emit("send_message", session_id="s1", message="hi", to_user_id="bob")
    [message] = await bob.heard("new_message")
    await bob.emit("message_read", message_id=int(message["id"]))
    assert [each["status"] for each in await alice.heard("message_status")] == ["read"]
    await bob.emit("message_read", message_id=999)
    [error] = await bob.heard("error")
    assert (error["success"], error["code"]) == (False, "not_found")


async def test_many_messages_at_once_keep_their_order(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    for number in range(100):
        said = {"session_id": "s1", "message": f"{number}", "to_user_id": "bob"}
        alice.socket.emit("send_message", said, f"9{number:03}")
    assert await bob.texts() == [f"{number}" for number in range(100)]
    await alice.settle()
    answers = [alice.socket.acks[f"9{number:03}"]["message_id"] for number in range(100)]
    assert answers == sorted(answers)


async def test_messages_are_recalled_and_edited_by_who_wrote_them(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    one = (await alice.say("s1", "one", to_user_id="bob"))["message_id"]
    two = (await alice.say("s1", "two"))["message_id"]
    await bob.heard("new_message")
    assert (await bob.ask("recall_message", message_id=one))["code"] == "forbidden"
    assert (await bob.ask("edit_message", message_id=one, message="x"))["code"] == "forbidden"
    assert (await alice.ask("recall_message", message_id=one))["success"]
    assert (await alice.ask("edit_message", message_id=two, message="zwei"))["success"]
    for socket in (alice, bob):
        [recalled] = await socket.heard("message_recalled")
        [edited] = await socket.heard("message_edited")
        assert (recalled["message_id"], recalled["session_id"]) == (str(one), "s1")
        assert (edited["message_id"], edited["text"]) == (str(two), "zwei")
    page = await bob.ask("get_session_messages", session_id="s1", limit=10)
    assert [each["text"] for each in page["messages"]] == ["zwei"]


async def test_typing_is_told_to_the_others(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.say("s1", "hi", to_user_id="bob")
    assert (await alice.ask("typing", session_id="s1", is_typing=True))["success"]
    [typing] = await bob.heard("typing")
    assert typing == {"session_id": "s1", "user_id": "alice", "user_name": "Alice", "is_typing": True}
    assert await alice.heard("typing") == []


async def test_a_native_client_reads_and_is_told_what_this_wire_says(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await warren.connect("bob")
    sent = await alice.say("s1", "hi", to_user_id="bob")
    message = await bob.next("message")
    assert (message["conversation_id"], message["number"], message["content"]) == ("s1", sent["message_id"], "hi")
    bob.send_frame("ack", conversation_id="s1", seq=1, stage="read")
    told = [(each["message_id"], each["status"]) for each in await alice.heard("message_status")]
    assert told[-1] == (str(sent["message_id"]), "read")
    await alice.ask("typing", session_id="s1", is_typing=True)
    assert (await bob.next("typing"))["active"]
