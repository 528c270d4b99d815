"""What becomes of messages over REST: edited, deleted, reacted to, named by number; with history played by the test."""

from urllib.parse import quote

import pytest
from msgspec import UNSET, Raw

from shared.commands import DeleteMessage, DeleteScope, EditMessage, SendMessage, SetReaction
from shared.envelope import Body
from shared.events import Stored
from shared.history_api import MessagePlace
from shared.ids import MessageId
from shared.presence_api import Account
from tests.fakes.clock import START
from tests.fakes.edge import Edge, gateway
from tests.fakes.messages import BOB, ROOM
from tests.fakes.rest import VERSION, caller, played, rejected

MESSAGES = f"/v1/conversations/{ROOM}/messages"
NUMBER = 67108871
STORED = Stored(
    message_id=MessageId("m1"), conversation_id=ROOM, client_id="c", seq=1, version=1, number=1, created_at=START
)


def knows_message(edge: Edge) -> None:
    place = MessagePlace(message_id=MessageId("m1"), conversation_id=ROOM, seq=7)
    edge.history.places = {MessageId("m1"): place, NUMBER: place}


@pytest.mark.parametrize("name", ["m1", str(NUMBER)])
async def test_a_message_is_edited_by_its_id_or_its_number(name: str) -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_message(edge)
        body = {"content": "better", "metadata": {"a": 1}, "mentions": ["alice"]}
        command, answer = await played(edge, EditMessage, http.patch(f"/v1/messages/{name}", json=body))
        assert (command.actor_id, command.conversation_id, command.message_id) == (BOB, ROOM, "m1")
        assert (command.content, command.metadata, command.mentions) == ("better", Raw(b'{"a":1}'), ("alice",))
        assert (answer.status_code, answer.json()) == (200, {"conversation_id": ROOM, "version": VERSION})


async def test_an_edit_leaves_what_it_does_not_name() -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_message(edge)
        command, _ = await played(edge, EditMessage, http.patch("/v1/messages/m1", json={"content": "better"}))
        assert (command.metadata, command.mentions) == (UNSET, None)
        body = {"content": "better", "metadata": {}, "mentions": []}
        command, _ = await played(edge, EditMessage, http.patch("/v1/messages/m1", json=body))
        assert (command.metadata, command.mentions) == (Raw(b"{}"), ())


@pytest.mark.parametrize(("query", "scope"), [("", "everyone"), ("?scope=everyone", "everyone"), ("?scope=me", "me")])
async def test_a_message_is_deleted_for_everyone_unless_it_is_for_oneself(query: str, scope: str) -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_message(edge)
        command, answer = await played(edge, DeleteMessage, http.delete(f"/v1/messages/m1{query}"))
        assert (command.actor_id, command.message_id, command.scope) == (BOB, "m1", DeleteScope(scope))
        assert answer.json()["version"] == VERSION


@pytest.mark.parametrize("emoji", ["👍", "👨‍👩‍👧‍👦", "+1", "a/b", "100%", "?", "#", "❤️", "x" * 32])
async def test_a_reaction_is_any_emoji(emoji: str) -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_message(edge)
        path = f"/v1/messages/m1/reactions/{quote(emoji, safe='')}"
        command, answer = await played(edge, SetReaction, http.put(path))
        assert (command.emoji, command.removed, answer.status_code) == (emoji, False, 200)
        command, _ = await played(edge, SetReaction, http.delete(path))
        assert (command.emoji, command.removed, command.message_id) == (emoji, True, "m1")


@pytest.mark.parametrize("emoji", ["%00", "%20", "a%20b", "%0A", "%C2%85", "%E2%80%A8", "x" * 33, ""])
async def test_what_nobody_could_see_is_no_emoji(emoji: str) -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_message(edge)
        answer = await http.put(f"/v1/messages/m1/reactions/{emoji}")
        assert (answer.status_code, answer.json()["details"]["path"]) == (422, "emoji")
        assert await edge.posted() == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/v1/messages/other", {"content": "x"}),
        ("DELETE", "/v1/messages/other", None),
        ("PUT", "/v1/messages/other/reactions/x", None),
        ("DELETE", "/v1/messages/67108872/reactions/x", None),
    ],
)
async def test_a_message_that_the_caller_may_not_see_is_not_found(method: str, path: str, body: object) -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_message(edge)
        answer = await http.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert await edge.posted() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"content": None}, 422),
        ({"content": "x" * 16_385}, 413),
        ({"content": "x", "metadata": {"x": "y" * 4_096}}, 413),
        ({"content": "x", "metadata": []}, 422),
        ({"content": "x", "mentions": ["not an id"]}, 422),
    ],
)
async def test_an_edit_that_no_message_takes_is_refused(body: dict[str, object], status: int) -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_message(edge)
        assert (await http.patch("/v1/messages/m1", json=body)).status_code == status
        assert await edge.posted() == []


@pytest.mark.parametrize(("code", "status"), [("forbidden", 403), ("conflict", 409), ("too_large", 413)])
async def test_what_history_refuses_of_a_message_has_its_own_status(code: str, status: int) -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_message(edge)
        _, answer = await played(edge, SetReaction, http.put("/v1/messages/m1/reactions/x"), rejected(code))
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_change_that_history_does_not_answer_in_time_is_503() -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_message(edge)
        unavailable: Body = rejected("unavailable")
        _, answer = await played(edge, DeleteMessage, http.delete("/v1/messages/m1"), unavailable)
        assert answer.status_code == 503


@pytest.mark.parametrize("reply_to", ["m1", NUMBER, str(NUMBER)])
async def test_a_message_answers_another_by_its_id_or_its_number(reply_to: object) -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_message(edge)
        edge.history.numbers[7] = ROOM
        asking = http.post("/v1/conversations/7/messages", json={"content": "yes", "reply_to": reply_to})
        command, answer = await played(edge, SendMessage, asking, STORED)
        assert (command.conversation_id, command.reply_to, answer.status_code) == (ROOM, "m1", 200)


async def test_a_sender_has_the_name_of_their_profile() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.accounts[BOB] = Account(user_id=BOB, name="Bobby")
        command, _ = await played(edge, SendMessage, http.post(MESSAGES, json={"content": "hi"}), STORED)
        assert command.sender_name == "Bobby"


async def test_nobody_speaks_for_the_system() -> None:
    async with gateway() as edge, caller(edge) as http:
        answer = await http.post(MESSAGES, json={"content": "hi", "type": "system"})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert await edge.posted() == []
