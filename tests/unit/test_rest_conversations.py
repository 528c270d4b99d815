"""Conversations over REST: made, changed, named by number; with history played by the test."""

import pytest
from msgspec import UNSET, Raw
from msgspec.structs import replace

from shared.commands import (
    ChangeConversation,
    ConversationKind,
    CreateConversation,
    HistoryRule,
    JoinRule,
)
from shared.envelope import Body
from shared.events import ConversationCreated
from shared.history_api import Receipt
from shared.ids import ConversationId, direct_conversation_id
from tests.fakes.clock import START
from tests.fakes.edge import Edge, gateway
from tests.fakes.messages import ALICE, BOB, ROOM, conversation
from tests.fakes.rest import caller, played, rejected

SPACE = ConversationId("space")
MADE = ConversationId("made")


def created(conversation_id: ConversationId, kind: ConversationKind) -> ConversationCreated:
    return ConversationCreated(conversation_id=conversation_id, number=1, kind=kind, created=True)


def knows(edge: Edge, *rooms: ConversationId, kind: ConversationKind = ConversationKind.GROUP) -> None:
    for room in rooms:
        edge.history.known[room] = replace(conversation(0, room=room), kind=kind)


@pytest.mark.parametrize(
    "wish",
    [
        {"kind": "group", "member_ids": ["carol", "alice", "carol", "bob"]},
        {"kind": "channel", "name": "News", "member_ids": ["alice", "carol"]},
        {"kind": "space", "name": "Home", "member_ids": ["alice", "carol"], "join": "open", "history": "joined"},
    ],
)
async def test_a_group_channel_or_space_is_made_with_its_maker_in_it(wish: dict[str, object]) -> None:
    async with gateway() as edge, caller(edge) as http:
        kind = ConversationKind(str(wish["kind"]))
        knows(edge, MADE, kind=kind)
        asking = http.post("/v1/conversations", json=wish)
        command, answer = await played(edge, CreateConversation, asking, created(MADE, kind))
        assert (answer.status_code, answer.json()["id"], answer.json()["kind"]) == (201, "made", kind)
        assert (command.kind, command.creator_id, command.name) == (kind, BOB, wish.get("name"))
        assert command.member_ids == ("alice", "bob", "carol")
        assert (command.join, command.history) == (wish.get("join"), wish.get("history"))


async def test_a_conversation_made_again_with_the_same_key_is_the_same() -> None:
    async with gateway() as edge, caller(edge) as http:
        knows(edge, MADE)
        ids = []
        for key in ("k-1", "k-1", "k-2"):
            asking = http.post("/v1/conversations", json={"kind": "group"}, headers={"Idempotency-Key": key})
            command, _ = await played(edge, CreateConversation, asking, created(MADE, ConversationKind.GROUP))
            ids.append(command.conversation_id)
        assert ids[0] == ids[1] != ids[2]


async def test_each_conversation_made_has_an_id_of_its_own_that_is_no_number() -> None:
    async with gateway() as edge, caller(edge) as http:
        knows(edge, MADE)
        ids = set()
        for _ in range(2):
            asking = http.post("/v1/conversations", json={"kind": "group"})
            command, _ = await played(edge, CreateConversation, asking, created(MADE, ConversationKind.GROUP))
            ids.add(command.conversation_id)
        assert len(ids) == 2
        assert not any(each.isdecimal() for each in ids)


@pytest.mark.parametrize("parent", ["space", 7, "7"])
async def test_a_channel_is_made_in_a_space_that_is_named_by_id_or_number(parent: object) -> None:
    async with gateway() as edge, caller(edge) as http:
        knows(edge, MADE)
        edge.history.numbers[7] = SPACE
        asking = http.post("/v1/conversations", json={"kind": "channel", "name": "News", "parent_id": parent})
        command, _ = await played(edge, CreateConversation, asking, created(MADE, ConversationKind.CHANNEL))
        assert command.parent_id == "space"


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"kind": "channel"}, 422),
        ({"kind": "space"}, 422),
        ({"kind": "space", "name": "  "}, 422),
        ({"kind": "space", "name": "x" * 129}, 422),
        ({"kind": "space", "name": "Home", "parent_id": "space"}, 400),
        ({"kind": "group", "parent_id": "space"}, 400),
        ({"kind": "channel", "name": "News", "parent_id": 404}, 404),
        ({"kind": "channel", "name": "News", "parent_id": True}, 422),
        ({"kind": "channel", "name": "News", "parent_id": -1}, 422),
        ({"kind": "channel", "name": "News", "join": "shut"}, 422),
        ({"kind": "group", "member_ids": [f"user-{number}" for number in range(501)]}, 422),
        ({"kind": "group", "metadata": {"x": "y" * 4_096}}, 413),
        ({"kind": "direct", "member_ids": ["alice"], "name": "Us"}, 400),
        ({"kind": "direct", "member_ids": ["alice"], "join": "open"}, 400),
        ({"kind": "direct", "member_ids": ["alice", "carol"]}, 400),
    ],
)
async def test_a_conversation_that_cannot_be_is_not_made(wish: dict[str, object], status: int) -> None:
    async with gateway() as edge, caller(edge) as http:
        answer = await http.post("/v1/conversations", json=wish)
        assert answer.status_code == status, answer.text
        assert await edge.posted() == []


async def test_a_direct_conversation_keeps_its_metadata() -> None:
    async with gateway() as edge, caller(edge) as http:
        direct = direct_conversation_id(ALICE, BOB)
        knows(edge, direct, kind=ConversationKind.DIRECT)
        asking = http.post("/v1/conversations", json={"kind": "direct", "member_ids": ["alice"], "metadata": {"a": 1}})
        command, answer = await played(edge, CreateConversation, asking, created(direct, ConversationKind.DIRECT))
        assert (bytes(command.metadata), answer.status_code) == (b'{"a":1}', 201)


async def test_a_conversation_is_changed_in_what_is_named_alone() -> None:
    async with gateway() as edge, caller(edge) as http:
        knows(edge, ROOM)
        body = {"name": "News", "metadata": {}, "history": "full", "join": "open"}
        command, answer = await played(edge, ChangeConversation, http.patch(f"/v1/conversations/{ROOM}", json=body))
        assert (answer.status_code, answer.json()["id"]) == (200, ROOM)
        assert (command.actor_id, command.name, command.metadata) == (BOB, "News", Raw(b"{}"))
        assert (command.history, command.join) == (HistoryRule.FULL, JoinRule.OPEN)
        for nothing in ({}, dict.fromkeys(body)):
            command, _ = await played(edge, ChangeConversation, http.patch(f"/v1/conversations/{ROOM}", json=nothing))
            assert (command.name, command.metadata, command.history, command.join) == (None, UNSET, None, None)


@pytest.mark.parametrize(
    ("answer", "status"), [(rejected("forbidden"), 403), (rejected("not_found"), 404), (rejected("invalid"), 400)]
)
async def test_a_change_that_history_refuses_has_its_own_status(answer: Body, status: int) -> None:
    async with gateway() as edge, caller(edge) as http:
        asking = http.patch(f"/v1/conversations/{ROOM}", json={"name": "Ours"})
        _, refused = await played(edge, ChangeConversation, asking, answer)
        assert (refused.status_code, refused.json()["message"]) == (status, "No.")


async def test_a_conversation_is_found_by_its_number_too() -> None:
    async with gateway() as edge, caller(edge) as http:
        knows(edge, ROOM)
        edge.history.numbers[7] = ROOM
        assert (await http.get("/v1/conversations/7")).json()["id"] == ROOM
        for unknown in ("8", "9007199254740991", "9999999999999999", "99999999999999999999"):
            assert (await http.get(f"/v1/conversations/{unknown}")).status_code == 404


async def test_the_channels_of_a_space_are_listed() -> None:
    async with gateway() as edge, caller(edge) as http:
        channel = replace(conversation(0), kind=ConversationKind.CHANNEL, name="News", parent_id=SPACE, role=None)
        edge.history.channels_of[SPACE] = (channel,)
        [shown] = (await http.get("/v1/conversations/space/channels")).json()["conversations"]
        assert (shown["name"], shown["parent_id"], shown["role"], shown["peer"]) == ("News", "space", None, None)
        assert (await http.get("/v1/conversations/elsewhere/channels")).status_code == 404


async def test_receipts_tell_who_has_received_and_read() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.history.receipts_of[ROOM, 3] = (
            Receipt(user_id=ALICE, delivered=True, delivered_at=START, read=True),
            Receipt(user_id=BOB),
        )
        shown = (await http.get(f"/v1/conversations/{ROOM}/receipts?seq=3")).json()["receipts"]
        assert [tuple(each.values()) for each in shown] == [
            ("alice", True, "2026-01-01T12:00:00.000Z", True, None),
            ("bob", False, None, False, None),
        ]
        for query, status in (("", 422), ("?seq=0", 422), (f"?seq={2**53}", 422), ("?seq=4", 404)):
            assert (await http.get(f"/v1/conversations/{ROOM}/receipts{query}")).status_code == status


async def test_what_a_change_is_confirmed_for_but_history_cannot_show_is_503() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.history.down = True
        _, answer = await played(edge, ChangeConversation, http.patch(f"/v1/conversations/{ROOM}", json={}))
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
