"""Members over REST: listed, added, promoted, removed; with history played by the test."""

import pytest
from msgspec.structs import replace

from shared.commands import ConversationKind, RemoveMember, Role, SetMembers
from shared.history_api import Member
from shared.ids import UserId
from tests.fakes.clock import START
from tests.fakes.edge import Edge, gateway
from tests.fakes.messages import ALICE, BOB, ROOM, conversation
from tests.fakes.queries import STRANGE
from tests.fakes.rest import caller, played, rejected

MEMBERS = f"/v1/conversations/{ROOM}/members"


def knows_room(edge: Edge) -> None:
    edge.history.known[ROOM] = replace(conversation(0), kind=ConversationKind.GROUP)


async def test_members_are_listed_page_by_page() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.history.members_of[ROOM] = tuple(
            Member(user_id=UserId(name), role=Role.MEMBER, joined_at=START) for name in ("alice", "bob", "carol")
        )
        first = (await http.get(f"{MEMBERS}?limit=2")).json()
        second = (await http.get(f"{MEMBERS}?limit=2&cursor={first['next_cursor']}")).json()
        assert first["members"][0] == {"user_id": "alice", "role": "member", "joined_at": "2026-01-01T12:00:00.000Z"}
        assert [each["user_id"] for each in first["members"] + second["members"]] == ["alice", "bob", "carol"]
        assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{MEMBERS}?limit=0", 422),
        (f"{MEMBERS}?limit=201", 422),
        (f"{MEMBERS}?cursor={STRANGE}", 400),
        ("/v1/conversations/unknown/members", 404),
    ],
)
async def test_a_page_that_cannot_be_is_refused(path: str, status: int) -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.history.members_of[ROOM] = ()
        assert (await http.get(path)).status_code == status


@pytest.mark.parametrize(
    ("body", "role"),
    [({"json": {"role": "admin"}}, Role.ADMIN), ({"json": {}}, None), ({"json": {"role": None}}, None), ({}, None)],
)
async def test_a_member_is_added_with_a_role_or_without(body: dict[str, object], role: Role | None) -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_room(edge)
        command, answer = await played(edge, SetMembers, http.put(f"{MEMBERS}/carol", **body))  # type: ignore[arg-type]
        assert (command.actor_id, command.user_ids, command.role) == (BOB, ("carol",), role)
        assert (answer.status_code, answer.json()["id"]) == (200, ROOM)


async def test_many_are_added_at_once() -> None:
    async with gateway() as edge, caller(edge) as http:
        knows_room(edge)
        body = {"user_ids": ["carol", "alice", "carol"], "role": "admin"}
        command, answer = await played(edge, SetMembers, http.post(MEMBERS, json=body))
        assert (command.user_ids, command.role, answer.status_code) == ((ALICE, "carol"), Role.ADMIN, 200)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"user_ids": []}, "user_ids"),
        ({"user_ids": [f"user-{number}" for number in range(501)]}, "user_ids"),
        ({"user_ids": ["not an id"]}, "user_ids.0"),
        ({"user_ids": ["carol"], "role": "king"}, "role"),
        ({}, "user_ids"),
    ],
)
async def test_a_list_of_members_that_cannot_be_is_refused_by_its_field(body: dict[str, object], path: str) -> None:
    async with gateway() as edge, caller(edge) as http:
        answer = await http.post(MEMBERS, json=body)
        assert (answer.status_code, answer.json()["details"]["path"]) == (422, path)
        assert await edge.posted() == []


async def test_a_member_is_removed() -> None:
    async with gateway() as edge, caller(edge) as http:
        command, answer = await played(edge, RemoveMember, http.delete(f"{MEMBERS}/carol"))
        assert (command.actor_id, command.conversation_id, command.user_id) == (BOB, ROOM, "carol")
        assert (answer.status_code, answer.content) == (204, b"")


async def test_who_leaves_needs_to_see_the_conversation_no_more() -> None:
    async with gateway() as edge, caller(edge) as http:
        assert ROOM not in edge.history.known
        _, answer = await played(edge, RemoveMember, http.delete(f"{MEMBERS}/bob"))
        assert answer.status_code == 204


@pytest.mark.parametrize(("code", "status"), [("forbidden", 403), ("not_found", 404), ("conflict", 409)])
async def test_what_history_refuses_of_members_has_its_own_status(code: str, status: int) -> None:
    async with gateway() as edge, caller(edge) as http:
        for kind, asking in (
            (SetMembers, http.put(f"{MEMBERS}/carol")),
            (RemoveMember, http.delete(f"{MEMBERS}/carol")),
        ):
            _, answer = await played(edge, kind, asking, rejected(code))
            assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_members_of_a_conversation_named_by_its_number_are_set() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.history.numbers[7] = ROOM
        command, _ = await played(edge, RemoveMember, http.delete("/v1/conversations/7/members/carol"))
        assert command.conversation_id == ROOM


async def test_an_answer_that_does_not_come_is_503() -> None:
    async with gateway() as edge, caller(edge) as http:
        answer = await played(edge, RemoveMember, http.delete(f"{MEMBERS}/carol"), rejected("unavailable"))
        assert answer[1].status_code == 503
