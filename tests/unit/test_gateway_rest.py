"""The public REST API, with history and delivery played by the test."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.commands import Acknowledge, CreateConversation, SendMessage
from shared.errors import ErrorBody
from shared.events import ConversationCreated, Rejected, Stored
from shared.history_api import MessagePage, Watermark
from shared.ids import direct_conversation_id
from shared.presence_api import Presence
from tests.fakes.clock import START, settle
from tests.fakes.edge import gateway
from tests.fakes.messages import ALICE, BOB, ROOM, conversation, message
from tests.fakes.rest import caller

MESSAGES = f"/v1/conversations/{ROOM}/messages"


async def test_a_token_is_minted_for_whoever_asks_in_development() -> None:
    async with gateway() as edge, caller(edge, user=None) as http:
        answer = (await http.post("/api/auth/token", json={"user_id": "carol", "device_id": "d1"})).json()
        assert answer["expires_at"] == "2026-01-02T12:00:00.000Z"
        carol = edge.dial(f"token={answer['token']}")
        assert (await carol.next("welcome"))["device_id"] == "d1"


async def test_without_the_setting_no_token_is_minted() -> None:
    async with gateway(dev_tokens="false") as edge, caller(edge, user=None) as http:
        assert (await http.post("/api/auth/token", json={"user_id": "carol"})).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/conversations"),
        ("POST", "/v1/conversations"),
        ("GET", f"/v1/conversations/{ROOM}"),
        ("GET", MESSAGES),
        ("POST", MESSAGES),
        ("PATCH", f"/v1/conversations/{ROOM}"),
        ("GET", f"/v1/conversations/{ROOM}/members"),
        ("POST", f"/v1/conversations/{ROOM}/members"),
        ("PUT", f"/v1/conversations/{ROOM}/members/bob"),
        ("DELETE", f"/v1/conversations/{ROOM}/members/bob"),
        ("GET", f"/v1/conversations/{ROOM}/channels"),
        ("GET", f"/v1/conversations/{ROOM}/receipts?seq=1"),
        ("PATCH", "/v1/messages/m1"),
        ("DELETE", "/v1/messages/m1"),
        ("PUT", "/v1/messages/m1/reactions/x"),
        ("DELETE", "/v1/messages/m1/reactions/x"),
        ("GET", "/v1/unread"),
        ("POST", "/v1/receipts"),
        ("GET", "/v1/sync"),
        ("GET", "/v1/users?q=a"),
        ("GET", "/v1/users/bob"),
        ("PATCH", "/v1/users/bob"),
        ("GET", "/v1/presence?users=bob"),
        ("GET", "/v1/devices"),
        ("DELETE", "/v1/devices/phone"),
        ("GET", "/sse"),
    ],
)
@pytest.mark.parametrize("token", [None, "nonsense"])
async def test_every_route_needs_a_token(method: str, path: str, token: str | None) -> None:
    async with gateway() as edge, caller(edge, user=None) as http:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await http.request(method, path, json={"kind": "direct"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert await edge.posted() == []


async def test_conversations_tell_whether_the_peer_is_online() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.history.known[ROOM] = conversation(2, unread=2)
        edge.presence.here[ALICE] = Presence(user_id=ALICE, status="online", last_seen=START, devices=1)
        [shown] = (await http.get("/v1/conversations")).json()["conversations"]
        assert shown["peer"] == {"user_id": "alice", "online": True, "last_seen": "2026-01-01T12:00:00.000Z"}
        assert (shown["unread"], shown["last_message"]["content"], shown["members"]) == (2, "2", ["alice", "bob"])


async def test_without_presence_nobody_knows_who_is_online_and_the_list_comes_all_the_same() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.history.known[ROOM] = conversation(0)
        edge.presence.down = True
        shown = (await http.get(f"/v1/conversations/{ROOM}")).json()
        assert shown["peer"] == {"user_id": "alice", "online": None, "last_seen": None}


async def test_an_unknown_conversation_is_not_found() -> None:
    async with gateway() as edge, caller(edge) as http:
        answer = await http.get("/v1/conversations/nothing")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_history_away_is_503() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.history.down = True
        answer = await http.get("/v1/unread")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_unread_counts_are_summed() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.history.counts = {ROOM: 3}
        assert (await http.get("/v1/unread")).json() == {"total": 3, "conversations": {"room": 3}}


async def test_a_message_is_as_far_as_all_the_others_are() -> None:
    async with gateway() as edge, caller(edge) as http:
        watermark = Watermark(user_id=BOB, delivered_seq=2, delivered_at=START, read_seq=1, read_at=START)
        own = Watermark(user_id=ALICE, delivered_seq=9, read_seq=9)
        messages = (message(1), message(2), message(3))
        edge.history.page = MessagePage(messages=messages, watermarks=(watermark, own), has_more=False)
        shown = (await http.get(MESSAGES)).json()["messages"]
        assert [each["status"] for each in shown] == ["read", "delivered", "stored"]


async def test_what_was_read_without_a_receipt_of_delivery_is_read() -> None:
    async with gateway() as edge, caller(edge) as http:
        watermark = Watermark(user_id=BOB, read_seq=1, read_at=START)
        edge.history.page = MessagePage(messages=(message(1),), watermarks=(watermark,), has_more=False)
        [shown] = (await http.get(MESSAGES)).json()["messages"]
        assert (shown["status"], shown["delivered_at"], shown["read_at"]) == ("read",) + (
            "2026-01-01T12:00:00.000Z",
        ) * 2


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "before=0", "after=-1", "before=x"])
async def test_a_page_that_cannot_be_is_refused_by_its_field(query: str) -> None:
    async with gateway() as edge, caller(edge) as http:
        answer = await http.get(f"{MESSAGES}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")
        assert answer.json()["details"]["path"] == query.partition("=")[0]


async def test_before_and_after_exclude_each_other() -> None:
    async with gateway() as edge, caller(edge) as http:
        assert (await http.get(f"{MESSAGES}?before=2&after=1")).status_code == 400


async def test_a_message_is_sent_as_the_socket_does() -> None:
    async with gateway() as edge, caller(edge) as http, asyncio.TaskGroup() as tasks:
        body = {"content": "hi", "metadata": {"a": 1}, "mentions": ["alice"]}
        sending = tasks.create_task(http.post(MESSAGES, json=body, headers={"Idempotency-Key": "k1"}))
        [envelope] = await edge.posted()
        command = envelope.body
        assert isinstance(command, SendMessage)
        assert (command.sender_id, command.client_id, command.mentions) == ("bob", "k1", ("alice",))
        stored = Stored(
            message_id=command.message_id,
            conversation_id=ROOM,
            client_id="k1",
            seq=1,
            version=1,
            number=1,
            created_at=START,
        )
        await edge.tell(stored, answer_to=envelope.id)
        answer = await sending
        assert (answer.status_code, answer.json()["status"], answer.json()["seq"]) == (200, "stored", 1)


async def test_a_message_that_history_is_slow_to_store_is_accepted() -> None:
    async with gateway() as edge, caller(edge) as http, asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(http.post(MESSAGES, json={"content": "hi", "client_id": "c1"}))
        await settle()
        await edge.clock.advance(6)
        answer = await sending
        assert (answer.status_code, answer.json()["status"]) == (202, "accepted")


async def test_history_s_refusal_has_its_own_status() -> None:
    async with gateway() as edge, caller(edge) as http, asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(http.post(MESSAGES, json={"content": "hi"}))
        [envelope] = await edge.posted()
        refusal = Rejected(error=ErrorBody(code="not_a_member", message="No."))
        await edge.tell(refusal, answer_to=envelope.id)
        answer = await sending
        assert (answer.status_code, answer.json()) == (403, {"code": "not_a_member", "message": "No."})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"content": "x" * 16_385}, 413),
        ({"metadata": {"x": "y" * 4_096}}, 413),
        ({"attachments": [{}]}, 400),
        ({"type": "hologram"}, 422),
        ({"mentions": ["not an id"]}, 422),
    ],
)
async def test_a_message_that_no_conversation_takes_is_refused(body: dict[str, object], status: int) -> None:
    async with gateway() as edge, caller(edge) as http:
        assert (await http.post(MESSAGES, json=body)).status_code == status
        assert await edge.posted() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"content": "\\ud800"}', 422),
        (b'{"metadata": {"a": "\\ud800"}}', 422),
        (b"[" * 100_000, 400),
        (b'"' + b"x" * 2**20 + b'"', 413),
        (b"\xff", 400),
    ],
)
async def test_a_hostile_body_is_merely_a_bad_one(body: bytes, status: int) -> None:
    async with gateway() as edge, caller(edge) as http:
        answer = await http.post(MESSAGES, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text
        assert answer.json()["code"]
        assert await edge.posted() == []


async def test_a_long_body_that_does_not_say_its_length_is_cut_off() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 2**16

    async with gateway() as edge, caller(edge) as http:
        answer = await http.post(MESSAGES, content=endless(), headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("created", [True, False])
async def test_a_direct_conversation_is_made_or_found(*, created: bool) -> None:
    async with gateway() as edge, caller(edge) as http, asyncio.TaskGroup() as tasks:
        direct = direct_conversation_id(ALICE, BOB)
        edge.history.known[direct] = conversation(0, room=direct)
        making = tasks.create_task(http.post("/v1/conversations", json={"kind": "direct", "member_ids": ["alice"]}))
        [envelope] = await edge.posted()
        command = envelope.body
        assert isinstance(command, CreateConversation)
        assert (command.conversation_id, command.creator_id, command.member_ids) == (direct, BOB, (ALICE, BOB))
        made = ConversationCreated(conversation_id=direct, number=1, kind=command.kind, created=created)
        await edge.tell(made, answer_to=envelope.id)
        answer = await making
        assert (answer.status_code, answer.json()["id"]) == (201 if created else 200, direct)


@pytest.mark.parametrize(
    "wish",
    [
        {"kind": "direct", "member_ids": []},
        {"kind": "direct", "member_ids": ["bob"]},
        {"kind": "direct", "member_ids": ["alice", "carol"]},
    ],
)
async def test_a_direct_conversation_that_is_not_of_two_is_refused_with_the_reason(wish: dict[str, object]) -> None:
    async with gateway() as edge, caller(edge) as http:
        answer = await http.post("/v1/conversations", json=wish)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
        assert "direct" in answer.json()["message"]


async def test_a_receipt_is_posted_for_the_caller() -> None:
    async with gateway() as edge, caller(edge) as http, asyncio.TaskGroup() as tasks:
        body = {"conversation_id": ROOM, "seq": 3, "stage": "read"}
        acknowledging = tasks.create_task(http.post("/v1/receipts", json=body))
        await settle()
        await edge.clock.advance(1)
        answer = await acknowledging
        assert (answer.status_code, answer.json()) == (202, body)
        [envelope] = await edge.posted()
        assert isinstance(envelope.body, Acknowledge)
        assert (envelope.body.user_id, envelope.body.seq) == ("bob", 3)


async def test_the_document_describes_every_answer() -> None:
    async with gateway() as edge, caller(edge, user=None) as http:
        document = (await http.get("/openapi.json")).json()
        schemas = document["components"]["schemas"]
        references = {part.split('"')[0] for part in str(document).replace("'", '"').split("#/components/schemas/")[1:]}
        assert references <= set(schemas)
        assert {"MessageView", "ConversationView", "ErrorBody", "StoredView"} <= set(schemas)
        assert (await http.get("/docs")).status_code == 200
