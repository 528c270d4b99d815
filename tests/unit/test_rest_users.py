"""Users, presence, devices and sync over REST, with presence and history played by the test."""

import json
from datetime import timedelta

import pytest
from msgspec import UNSET

from shared.events import DeviceInfo
from shared.history_api import SyncAnswer
from shared.ids import DeviceId, UserId
from shared.position import Position
from shared.presence_api import Account, Device, Presence, Profile, ProfileChange
from tests.fakes.clock import START
from tests.fakes.edge import gateway
from tests.fakes.messages import ALICE, BOB, ROOM, changes
from tests.fakes.queries import STRANGE
from tests.fakes.rest import caller

AT = "2026-01-01T12:00:00.000Z"


def profile(name: str, **given: str) -> Profile:
    return Profile(user_id=UserId(name), name=name.title(), created_at=START, **given)


def device(name: str, *, signed_out: bool = False, online: bool = False, seen_s: float = 0) -> Device:
    return Device(
        info=DeviceInfo(id=DeviceId(name), name=name.title(), type="mobile", platform="android"),
        first_seen=START,
        last_seen=START + timedelta(seconds=seen_s),
        online=online,
        signed_out_at=START if signed_out else None,
    )


async def test_users_are_found_page_by_page() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.people = {UserId(name): profile(name) for name in ("ann", "anna", "anton", "bob")}
        first = (await http.get("/v1/users?q=an&limit=2")).json()
        second = (await http.get(f"/v1/users?q=an&limit=2&cursor={first['next_cursor']}")).json()
        assert [each["user_id"] for each in first["users"] + second["users"]] == ["ann", "anna", "anton"]
        assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 422), ("?q=", 422), ("?q=" + "x" * 129, 422), ("?q=a&limit=0", 422), (f"?q=a&cursor={STRANGE}", 400)],
)
async def test_a_search_that_cannot_be_is_refused(query: str, status: int) -> None:
    async with gateway() as edge, caller(edge) as http:
        assert (await http.get(f"/v1/users{query}")).status_code == status


async def test_a_profile_is_shown_with_every_field() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.people[ALICE] = profile("alice", username="al", time_zone="Europe/Berlin")
        assert (await http.get("/v1/users/alice")).json() == {
            "user_id": "alice",
            "name": "Alice",
            "username": "al",
            "avatar_url": None,
            "bio": None,
            "time_zone": "Europe/Berlin",
            "created_at": AT,
        }
        assert (await http.get("/v1/users/nobody")).status_code == 404


async def test_a_profile_is_changed_where_it_is_named_and_taken_away_where_it_is_null() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.people[BOB] = profile("bob", username="bobby", bio="A bob.", avatar_url="https://bob.example/1")
        answer = await http.patch("/v1/users/bob", json={"bio": None, "time_zone": "Europe/Berlin"})
        assert answer.status_code == 200
        shown = answer.json()
        assert (shown["username"], shown["bio"], shown["time_zone"]) == ("bobby", None, "Europe/Berlin")
        assert edge.presence.changes == [(BOB, ProfileChange(bio=None, time_zone="Europe/Berlin"))]
        await http.patch("/v1/users/bob", json={})
        assert edge.presence.changes[-1][1].name is UNSET


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"username": "b"}, "username"),
        ({"username": "b" * 33}, "username"),
        ({"username": "bob bob"}, "username"),
        ({"username": "bobby\n"}, "username"),
        ({"username": "бob"}, "username"),
        ({"avatar_url": "javascript:alert(1)"}, "avatar_url"),
        ({"avatar_url": "https://"}, "avatar_url"),
        ({"avatar_url": "https://[bob"}, "avatar_url"),
        ({"avatar_url": "https://bob.example/\n"}, "avatar_url"),
        ({"avatar_url": "https://bob.example/" + "x" * 2048}, "avatar_url"),
        ({"bio": "x" * 1025}, "bio"),
        ({"time_zone": "Berlin"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"time_zone": "\x00"}, "time_zone"),
    ],
)
async def test_a_profile_that_cannot_be_is_refused_by_its_field(body: dict[str, object], path: str) -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.people[BOB] = profile("bob")
        content = json.dumps(body)  # in ASCII, so that it can say half a character
        answer = await http.patch("/v1/users/bob", content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["details"]["path"]) == (422, path)
        assert edge.presence.changes == []


async def test_what_is_wrong_with_a_field_is_said_in_plain_words() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.people[BOB] = profile("bob")
        answer = await http.patch("/v1/users/bob", json={"time_zone": "Mars/Base"})
        assert answer.json()["message"] == "time_zone: it must be a time zone's IANA name, as Europe/Berlin."


async def test_a_profile_is_changed_by_its_user_alone() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.people = {ALICE: profile("alice", username="al"), BOB: profile("bob")}
        answer = await http.patch("/v1/users/alice", json={"name": "Mallory"})
        assert (answer.status_code, answer.json()["code"], edge.presence.changes) == (403, "forbidden", [])


async def test_who_was_erased_a_moment_ago_has_no_profile_to_change() -> None:
    async with gateway() as edge, caller(edge) as http:
        assert (await http.patch("/v1/users/bob", json={"name": "Bobby"})).status_code == 404


async def test_a_username_that_is_taken_is_a_conflict() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.people = {ALICE: profile("alice", username="al"), BOB: profile("bob")}
        answer = await http.patch("/v1/users/bob", json={"username": "al"})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_presence_is_told_in_the_order_asked_and_each_once() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.here[ALICE] = Presence(user_id=ALICE, status="away", last_seen=START, devices=2, text="lunch")
        shown = (await http.get("/v1/presence?users=carol,alice,carol")).json()["presence"]
        assert shown == [
            {"user_id": "carol", "status": "offline", "last_seen": None, "devices": 0, "text": ""},
            {"user_id": "alice", "status": "away", "last_seen": AT, "devices": 2, "text": "lunch"},
        ]


@pytest.mark.parametrize(
    ("users", "status"),
    [
        ("", 422),
        ("a,", 422),
        ("a b", 422),
        ("%0A", 422),
        ("x" * 129, 422),
        (",".join(f"user-{number}" for number in range(501)), 413),
        (",".join(f"user-{number}" for number in range(500)), 200),
    ],
)
async def test_presence_is_told_of_at_most_five_hundred_users(users: str, status: int) -> None:
    async with gateway() as edge, caller(edge) as http:
        assert (await http.get(f"/v1/presence?users={users}")).status_code == status


async def test_presence_away_is_503() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.down = True
        for path in ("/v1/presence?users=alice", "/v1/users?q=a", "/v1/users/alice", "/v1/devices"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_the_devices_one_is_signed_in_with_are_listed() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.devices_of[BOB] = (
            device("laptop", online=True),
            device("lost", signed_out=True, seen_s=1),
            device("back", signed_out=True, online=True, seen_s=1),
            device("was-back", signed_out=True, seen_s=60),
        )
        shown = (await http.get("/v1/devices")).json()["devices"]
        assert [each["id"] for each in shown] == ["laptop", "back", "was-back"]
        assert shown[0] == {
            "id": "laptop",
            "name": "Laptop",
            "type": "mobile",
            "platform": "android",
            "browser": "",
            "os_version": "",
            "app_version": "",
            "first_seen": AT,
            "last_seen": AT,
            "online": True,
        }


async def test_one_signs_out_one_s_own_devices_alone() -> None:
    async with gateway() as edge, caller(edge) as http:
        edge.presence.devices_of = {BOB: (device("phone"),), ALICE: (device("hers"),)}
        answer = await http.delete("/v1/devices/phone")
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await http.delete("/v1/devices/hers")).status_code == 404
        assert edge.presence.signed_out == [(BOB, "phone")]


async def test_a_device_that_was_signed_out_calls_no_more() -> None:
    async with gateway() as edge, caller(edge, device="phone") as phone, caller(edge, device="laptop") as laptop:
        signed_out = {DeviceId("phone"): edge.clock.now() + timedelta(seconds=1)}
        edge.presence.accounts[BOB] = Account(user_id=BOB, name="Bob", signed_out=signed_out)
        refused = await phone.get("/v1/unread")
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        assert (await laptop.get("/v1/unread")).status_code == 200


async def test_sync_gives_what_the_socket_would() -> None:
    async with gateway() as edge, caller(edge) as http:
        since = Position(START, {ROOM: 2}).token()
        edge.history.answers = [SyncAnswer(conversations=(changes(1, 2),), since=since)] * 2
        socket = await edge.connect()
        over_rest = (await http.get("/v1/sync")).json()
        assert over_rest == await socket.request("sync")
        assert [event["type"] for event in over_rest["conversations"][0]["events"]] == ["message", "message"]
        assert over_rest["since"] == since


async def test_sync_goes_on_from_a_position() -> None:
    async with gateway() as edge, caller(edge) as http:
        since = Position(START, {ROOM: 2}).token()
        assert (await http.get(f"/v1/sync?since={since}")).json()["since"] == since
        assert (edge.history.asked[-1].user_id, edge.history.asked[-1].since) == (BOB, since)
        refused = await http.get("/v1/sync?since=nonsense")
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
