"""The agents of the service wire, and the users whom they help, through all four services."""

from tests.slice import service_town
from tests.slice.service_town import Connect
from tests.slice.warren import Warren

warren, connect = service_town.warren, service_town.connect


async def test_a_user_is_matched_with_the_agent_who_has_least_to_do(connect: Connect) -> None:
    one, two = await connect("agent1", agent=True), await connect("agent2", agent=True, via="gw-2")
    user, other = await connect("user1"), await connect("user2")
    await user.say("s1", "help")
    assert (await user.ask("match_agent", session_id="s1"))["agent"] == {"id": "agent1", "name": "Agent1"}
    await other.say("s2", "me too")
    matched = await other.ask("match_agent", session_id="s2")
    assert (matched["success"], matched["agent"]["id"]) == (True, "agent2")
    page = await two.ask("get_session_messages", session_id="s2")
    assert [each["text"] for each in page["messages"]] == ["me too"]
    await two.say("s2", "how can I help?")
    [message] = await other.heard("new_message")
    assert (message["from"], message["text"]) == ("agent", "how can I help?")
    await other.say("s2", "thanks")
    assert (await two.heard("new_message"))[-1]["from"] == "user"
    assert (await one.ask("get_session_messages", session_id="s2"))["code"] == "forbidden"


async def test_without_an_agent_nobody_is_matched(warren: Warren, connect: Connect) -> None:
    agent, user = await connect("agent1", agent=True), await connect("user1")
    await agent.hang_up()
    await warren.passes(60)
    await user.say("s1", "help")
    answer = await user.ask("match_agent", session_id="s1")
    assert not answer["success"]


async def test_an_agent_takes_a_session_that_waits_and_its_user_is_told(connect: Connect) -> None:
    agent, late = await connect("agent1", agent=True), await connect("agent2", agent=True)
    user = await connect("user1")
    await user.say("s1", "help", role="user")
    assert (await agent.ask("accept_session", session_id="s1"))["success"]
    [accepted] = await user.heard("session_accepted_for_user")
    assert accepted == {"session_id": "s1", "agent": {"id": "agent1", "name": "Agent1"}}
    assert (await agent.ask("accept_session", session_id="s1"))["success"]
    assert (await late.ask("accept_session", session_id="s1"))["code"] == "conflict"
    assert (await user.ask("accept_session", session_id="s1"))["code"] == "forbidden"


async def test_of_agents_who_accept_a_session_at_once_one_gets_it(connect: Connect) -> None:
    one, two = await connect("agent1", agent=True), await connect("agent2", agent=True, via="gw-2")
    user = await connect("user1")
    await user.say("s1", "help")
    for agent in (one, two):
        agent.socket.emit("accept_session", {"session_id": "s1"}, "99")
    await one.settle()
    await two.settle()
    first, second = sorted((one.socket.acks["99"], two.socket.acks["99"]), key=lambda answer: not answer["success"])
    assert first["success"]
    assert (second["success"], second["code"]) == (False, "conflict")
    assert len(await user.heard("session_accepted_for_user")) == 1


async def test_an_agent_who_sends_into_a_waiting_session_joins_it(connect: Connect) -> None:
    agent, user = await connect("agent1", agent=True), await connect("user1")
    await user.say("s1", "help")
    assert (await agent.say("s1", "here I am"))["success"]
    assert await user.texts() == ["here I am"]
    await user.say("s1", "good")
    assert (await agent.heard("new_message"))[-1]["text"] == "good"


async def test_an_agent_joins_no_session_of_users_among_themselves(connect: Connect) -> None:
    agent, user = await connect("agent1", agent=True), await connect("user1")
    await user.say("s1", "between us", to_user_id="user2")
    assert (await agent.say("s1", "hi"))["code"] == "forbidden"
    assert (await agent.say("unknown", "hi"))["code"] == "forbidden"
    assert (await agent.ask("accept_session", session_id="s1"))["code"] == "forbidden"


async def test_who_is_no_agent_is_not_shown_as_one(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.say("s1", "I am an agent", to_user_id="bob", role="agent")
    [message] = await bob.heard("new_message")
    assert message["from"] == "user"


async def test_an_agent_is_one_on_other_wires_too(warren: Warren, connect: Connect) -> None:
    agent, user = await connect("agent1", agent=True), await connect("user1")
    await user.say("s1", "help")
    await agent.ask("accept_session", session_id="s1")
    native = await warren.connect("agent1")
    await native.request("send", conversation_id="s1", content="from my phone")
    [message] = await user.heard("new_message")
    assert (message["from"], message["text"], message["session_id"]) == ("agent", "from my phone", "s1")
    assert await agent.texts() == ["help", "from my phone"]
