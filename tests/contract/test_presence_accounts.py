"""Who is here, how far devices are, and accounts: what every presence store says of them."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace as altered
from pymongo import MongoClient

from presence.mongo.store import MongoPresenceStore
from presence.queries import Store
from presence.store import Changes, Standing
from shared.errors import Conflict
from shared.events import DeviceInfo, Session
from shared.ids import DeviceId, UserId
from shared.presence_api import DevicePosition, Here, Login, Presence, Profile, ProfileChange, Registration
from tests.contract import presence_stores
from tests.contract.presence_stores import mongo_settings
from tests.fakes.clock import START
from tests.fakes.sessions import closing, session

ALICE, BOB, EVE = UserId("alice"), UserId("bob"), UserId("eve")
PHONE, WEB = DeviceId("phone"), DeviceId("web")
SECOND = timedelta(seconds=1)

store = presence_stores.store


def at(second: float) -> datetime:
    return START + second * SECOND


def opened(user_id: str, device_id: str, second: int) -> Session:
    return session(f"{user_id}-{device_id}", user_id, device_id=device_id, opened_at=at(second))


async def arrive(store: Store, *sessions: Session, status: str = "online") -> None:
    """Let sessions open, and say how their users are seen from now on."""
    news = {each.id: each for each in sessions}
    await store.apply(Changes(opened=news, closed={}, stopped={}, alive={}, announced={}), at=START)
    users = [each.user_id for each in sessions]
    told = [Presence(user_id=each, status=status, last_seen=START, devices=1) for each in users]
    await store.settle(users, [Standing(each, devices=1) for each in told], gone_until=START - SECOND)


async def here(store: Store, limit: int = 10) -> list[tuple[str, str]]:
    return [(each.user_id, each.device.id) for each in await store.here(limit=limit)]


# --- who is here


async def test_who_is_here_comes_by_the_latest_connection_of_each(store: Store) -> None:
    await arrive(store, opened("alice", "phone", 1), opened("bob", "web", 2))
    await arrive(store, opened("alice", "web", 3), opened("eve", "tv", 4))
    assert await here(store) == [("eve", "tv"), ("alice", "web"), ("bob", "web")]
    assert [await here(store, limit) for limit in (1, 2)] == [[("eve", "tv")], [("eve", "tv"), ("alice", "web")]]
    device = session("s", "eve", device_id="tv").device
    [eve] = await store.here(limit=1)
    assert eve == Here(user_id=EVE, name="Eve", device=device, status="online", since=at(4))


async def test_who_is_gone_or_not_seen_is_not_here(store: Store) -> None:
    gone = opened("bob", "web", 5)
    await arrive(store, opened("alice", "phone", 1), gone, opened("bob", "phone", 2))
    await arrive(store, *(opened(f"hidden-{n}", "phone", 9) for n in range(4)), status="offline")
    await store.apply(
        Changes(opened={}, closed={gone.id: closing(gone, at(6))}, stopped={}, alive={}, announced={}), at=START
    )
    for limit in (1, 2, 10):  # as many as are hidden, and fewer
        assert await here(store, limit) == [("bob", "phone"), ("alice", "phone")][:limit]


async def test_of_a_device_that_is_not_kept_the_id_alone_is_known(store: Store) -> None:
    made_up = opened("alice", "x1", 1)
    await arrive(store, altered(made_up, device=altered(made_up.device, ephemeral=True)))
    [alice] = await store.here(limit=1)
    assert alice.device == DeviceInfo(id=DeviceId("x1"), ephemeral=True)


async def test_a_status_is_seen(store: Store) -> None:
    await arrive(store, opened("alice", "phone", 1), status="dnd")
    assert [each.status for each in await store.here(limit=1)] == ["dnd"]


# --- how far devices are


async def keep(store: Store, since: str, second: float, device_id: DeviceId = PHONE, user_id: UserId = ALICE) -> None:
    await store.keep_positions([DevicePosition(user_id=user_id, device_id=device_id, since=since, at=at(second))])


async def test_an_older_position_never_takes_the_place_of_a_newer_one(store: Store) -> None:
    assert await store.position(ALICE, PHONE) is None
    for since, second, expected in (
        ("b", 2, "b"),
        ("a", 1, "b"),
        ("c", 2, "c"),
        ("$at", 2.5, "$at"),
        ("e", 2.4, "$at"),
    ):
        await keep(store, since, second)
        assert await store.position(ALICE, PHONE) == expected


async def test_positions_are_kept_by_device_many_at_a_time(store: Store) -> None:
    await keep(store, "new", 9, DeviceId("d1"))
    positions = [
        DevicePosition(user_id=user_id, device_id=DeviceId(f"d{n}"), since=f"{user_id}-{n}", at=at(n))
        for user_id in (ALICE, BOB)
        for n in range(250)
    ]
    await store.keep_positions(positions)
    await store.keep_positions([])
    assert await store.position(ALICE, DeviceId("d1")) == "new"
    assert await store.position(BOB, DeviceId("d1")) == "bob-1"
    assert await store.position(BOB, DeviceId("d249")) == "bob-249"


async def test_positions_kept_at_the_same_time_leave_the_newest(store: Store) -> None:
    async with asyncio.TaskGroup() as tasks:
        for second in (3, 9, 1, 7):
            tasks.create_task(keep(store, f"s{second}", second), name="keep")
    assert await store.position(ALICE, PHONE) == "s9"


# --- accounts


def registration(username: str = "Bob", email: str = "bob@example.com") -> Registration:
    return Registration(username=username, email=email, full_name=f"{username} B.", password_hash=f"hash of {username}")


async def test_an_account_is_kept_with_its_profile(store: Store) -> None:
    made = await store.register(registration(), at=START)
    assert made == Login(
        user_id=UserId("1"),
        username="Bob",
        email="bob@example.com",
        full_name="Bob B.",
        password_hash="hash of Bob",
        created_at=START,
    )
    assert await store.login_of(UserId("1")) == made
    profile = Profile(user_id=UserId("1"), name="Bob B.", username="Bob", created_at=START)
    assert await store.profiles([UserId("1")]) == {UserId("1"): profile}
    assert [found.user_id for found in await store.search("bob", after=None, limit=5)] == ["1"]
    assert (await store.know(UserId("1"), "Another", at=at(1))).profile == profile
    assert (await store.standings([UserId("1")]))[UserId("1")].told.status == "offline"


@pytest.mark.parametrize("name", ["Bob", "bOB", "bob@example.com", "BOB@Example.COM"])
async def test_an_account_is_found_by_either_name_whatever_the_case(store: Store, name: str) -> None:
    made = await store.register(registration(), at=START)
    await store.register(registration("Eve", "eve@example.com"), at=START)
    assert await store.login(name) == made


async def test_an_account_is_found_by_the_username_that_its_user_has_now(store: Store) -> None:
    bob = await store.register(registration(), at=START)
    await store.change_profile(bob.user_id, ProfileChange(username="Robert"))
    assert await store.login("robert") == await store.login("bob") == await store.login("bob@example.com") == bob
    eve = await store.register(registration("Eve", "eve@example.com"), at=START)
    await store.change_profile(eve.user_id, ProfileChange(username="Bob"))
    assert (await store.login("bob"), await store.login("robert")) == (eve, bob)
    await store.know(ALICE, "Alice", at=START)
    await store.change_profile(ALICE, ProfileChange(username="eve"))
    assert await store.login("eve") is None


async def test_who_has_no_account_is_not_found(store: Store) -> None:
    await store.know(ALICE, "Alice", at=START)
    await store.change_profile(ALICE, ProfileChange(username="alice"))
    for name in ("alice", "", "bo", "bob.", "\0"):
        assert await store.login(name) is None
    assert await store.login_of(ALICE) is None


async def test_ids_count_on_and_leave_out_those_of_others(store: Store) -> None:
    for taken in ("2", "3"):
        await store.know(UserId(taken), None, at=START)
    made = [await store.register(registration(f"user{n}", f"{n}@example.com"), at=START) for n in range(3)]
    assert [each.user_id for each in made] == ["1", "4", "5"]


async def test_a_refused_registration_leaves_nothing(store: Store) -> None:
    await store.know(ALICE, "Alice", at=START)
    await store.change_profile(ALICE, ProfileChange(username="Ally"))
    await store.register(registration(), at=START)
    for username, email, field in (
        ("BOB", "new@example.com", "username"),
        ("ALLY", "new@example.com", "username"),
        ("new", "BOB@example.com", "email"),
    ):
        with pytest.raises(Conflict) as refused:
            await store.register(registration(username, email), at=START)
        assert refused.value.details == {"field": field}
    assert await store.login("new") is await store.login("new@example.com") is None
    assert [found.user_id for found in await store.search("", after=None, limit=9)] == ["1", "alice"]
    assert (await store.register(registration("new", "new@example.com"), at=START)).username == "new"


async def test_of_many_who_register_at_the_same_time_each_is_another_and_a_name_is_given_once(store: Store) -> None:
    made: list[Login] = []
    refused: list[Conflict] = []

    async def register(username: str) -> None:
        try:
            made.append(await store.register(registration(username, f"{username}@example.com"), at=START))
        except Conflict as error:
            refused.append(error)

    async with asyncio.TaskGroup() as tasks:
        for username in ("a", "b", "same", "same", "same"):
            tasks.create_task(register(username), name="register")
    assert (len(made), len({each.user_id for each in made}), len(refused)) == (3, 3, 2)


async def test_of_who_is_erased_the_id_is_left_and_that_the_devices_were_signed_out(store: Store) -> None:
    bob = (await store.register(registration(), at=START)).user_id
    neighbour = UserId(f"{bob}0")  # of whom the id begins alike
    await store.know(neighbour, "Neighbour", at=START)
    await store.change_profile(bob, ProfileChange(bio="Hello", avatar_url="https://a/b.png"))
    await arrive(store, opened(bob, "phone", 1), opened(bob, "web", 2), opened(neighbour, "phone", 3))
    await keep(store, "s", 1, user_id=bob)
    await keep(store, "s", 1, user_id=neighbour)
    for second in (5, 6):
        assert sorted(await store.erase(bob, at=at(second))) == ["phone", "web"]
        assert await store.profiles([bob]) == {bob: Profile(user_id=bob, name=bob, created_at=START)}
        assert await store.login_of(bob) is await store.login("bob@example.com") is None
        assert await store.position(bob, PHONE) is None
        assert await store.signed_out_of(bob) == {"phone": at(second), "web": at(second)}
        assert {each.info for each in await store.devices_of(bob)} == {DeviceInfo(id=PHONE), DeviceInfo(id=WEB)}
        assert [each.user_id for each in await store.search("bob", after=None, limit=9)] == []
    assert await store.position(neighbour, PHONE) == "s"
    assert await store.signed_out_of(neighbour) == {}
    assert (await store.register(registration(), at=START)).username == "Bob"
    assert (await store.know(bob, "Robert", at=START)).profile.name == "Robert"
    assert await store.erase(EVE, at=START) == []
    assert await store.profiles([EVE]) == {}


async def test_nothing_is_looked_for_without_an_index(mongo_url: str, mongo_database: str) -> None:
    with MongoClient[dict[str, Any]](mongo_url) as client:
        database = client[mongo_database]
        async with MongoPresenceStore.open(mongo_settings(mongo_url, mongo_database)) as store:
            await store.create_indexes()
            await arrive(store, *(opened(f"user-{n}", "phone", n) for n in range(50)))
            for n in range(20):
                await store.register(registration(f"user{n}", f"{n}@example.com"), at=START)
            database.command("profile", 2)
            assert len(await store.here(limit=3)) == 3
            await keep(store, "s", 1)
            await store.position(ALICE, PHONE)
            assert await store.login("USER7") is not None
            await store.login_of(UserId("7"))
            database.command("profile", 0)
        asked = list(database["system.profile"].find({"planSummary": {"$exists": True}}))
        kept_for_days = database["positions"].index_information()["at_1"]["expireAfterSeconds"] / 86_400
    assert {each["ns"].partition(".")[2] for each in asked} >= {"connections", "users", "devices", "accounts"}
    assert not [each for each in asked if "COLLSCAN" in each["planSummary"] or each.get("hasSortStage")]
    assert max(each["docsExamined"] for each in asked) <= 3
    assert kept_for_days == 90
