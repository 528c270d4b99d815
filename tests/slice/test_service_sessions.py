"""The sessions of the service wire: what they are called, and who is in them."""

from tests.slice import service_town
from tests.slice.service_town import Connect
from tests.slice.warren import Warren, send

warren, connect = service_town.warren, service_town.connect


async def test_strangers_learn_and_do_nothing(connect: Connect) -> None:
    alice, mallory = await connect("alice"), await connect("mallory")
    sent = await alice.say("s1", "secret", to_user_id="bob")
    message_id = sent["message_id"]
    refused = [
        await mallory.say("s1", "hi"),
        await mallory.say("s1", "hi", to_user_id="mallory"),
        await mallory.ask("get_session_messages", session_id="s1"),
        await mallory.ask("get_session_messages", session_id="no-such-session"),
        await mallory.ask("typing", session_id="s1"),
        await mallory.ask("match_agent", session_id="s1"),
        await mallory.ask("accept_session", session_id="s1"),
        await mallory.say("d-" + "0" * 32, "hi"),
        await mallory.say("service.agents", "hi"),
    ]
    assert [each["code"] for each in refused] == ["forbidden"] * len(refused)
    for event in ("message_read", "message_delivered", "recall_message"):
        assert (await mallory.ask(event, message_id=message_id))["code"] == "not_found"
    assert (await mallory.ask("edit_message", message_id=message_id, message="x"))["code"] == "not_found"
    assert {event for event, _ in mallory.told} == {"connect_success", "message"}  # greetings


async def test_a_pair_names_the_direct_conversation(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await warren.connect("bob")
    assert (await alice.say("alice_bob", "hi"))["success"]
    message = await bob.next("message")
    assert message["conversation_id"] == warren.direct("alice", "bob")
    await send(bob, "alice", "hello", "c1")
    [reply] = await alice.heard("new_message")
    assert (reply["session_id"], reply["text"], reply["to_user_id"]) == ("alice_bob", "hello", "alice")


async def test_a_session_may_be_called_by_digits_alone(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    assert (await alice.say(1001, "hi", to_user_id="bob"))["success"]
    [message] = await bob.heard("new_message")
    assert message["session_id"] == "1001"
    assert (await bob.say("1001", "ho"))["success"]
    [reply] = await alice.heard("new_message")
    assert reply["session_id"] == 1001


async def test_a_conversation_is_called_by_its_id_or_number_too(warren: Warren, connect: Connect) -> None:
    alice, bob = await connect("alice"), await warren.connect("bob")
    await send(bob, "alice", "hi", "c1")
    [message] = await alice.heard("new_message")
    assert message["session_id"] == warren.direct("alice", "bob")
    number = int(message["id"]) >> 26
    assert (await alice.say(message["session_id"], "by id"))["success"]
    assert (await alice.say(number, "by number"))["success"]
    assert [(await bob.next("message"))["content"] for _ in range(3)] == ["hi", "by id", "by number"]
