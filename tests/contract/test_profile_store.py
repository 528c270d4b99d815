"""What every profile store does: the fake one of the tests, and the one on MongoDB."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from presence.mongo.store import MongoPresenceStore
from presence.profile_store import Known
from presence.queries import Store
from presence.store import Changes
from shared.errors import Conflict, NotFound
from shared.ids import UserId
from shared.presence_api import Profile, ProfileChange
from tests.contract import presence_stores
from tests.contract.presence_stores import mongo_settings
from tests.fakes.clock import START
from tests.fakes.sessions import session

ALICE, BOB = UserId("alice"), UserId("bob")
LATER = START + timedelta(hours=1)


store = presence_stores.store


async def found(store: Store, prefix: str, *, after: UserId | None = None, limit: int = 10) -> list[str]:
    return [profile.user_id for profile in await store.search(prefix, after=after, limit=limit)]


async def test_a_user_is_made_once_by_the_name_of_their_token(store: Store) -> None:
    made = Profile(user_id=ALICE, name="Alice", created_at=START)
    assert await store.know(ALICE, "Alice", at=START) == Known(made)
    assert await store.know(ALICE, "Alice", at=LATER) == Known(made)
    assert await store.profiles([ALICE, BOB]) == {ALICE: made}


async def test_a_user_whose_token_says_no_name_has_that_of_their_id_until_one_says_another(store: Store) -> None:
    assert (await store.know(ALICE, None, at=START)).profile.name == "alice"
    renamed = await store.know(ALICE, "Alice", at=LATER)
    assert renamed == Known(Profile(user_id=ALICE, name="Alice", created_at=START), renamed=True)
    assert await store.know(ALICE, None, at=LATER) == Known(renamed.profile)


async def test_a_token_does_not_change_a_name_that_the_user_gave(store: Store) -> None:
    await store.know(ALICE, "Alice", at=START)
    await store.change_profile(ALICE, ProfileChange(name="Ally"))
    known = await store.know(ALICE, "Alice Smith", at=LATER)
    assert (known.profile.name, known.renamed) == ("Ally", False)


async def test_a_session_makes_a_profile_and_changes_none(store: Store) -> None:
    opened = {item.id: item for item in (session("s1", "alice"), session("s2", "bob"))}
    await store.know(BOB, "Robert", at=START)
    await store.apply(Changes(opened=opened, closed={}, stopped={}, alive={}, announced={}), at=LATER)
    profiles = await store.profiles([ALICE, BOB])
    assert profiles[ALICE] == Profile(user_id=ALICE, name="Alice", created_at=START)
    assert profiles[BOB].name == "Robert"
    assert await found(store, "ali") == [ALICE]


async def test_a_change_touches_what_it_names_and_takes_away_what_is_none(store: Store) -> None:
    await store.know(ALICE, "Alice", at=START)
    first = await store.change_profile(ALICE, ProfileChange(username="Ally", bio="Hello", avatar_url="https://a/b.png"))
    assert (first.name, first.username, first.bio, first.avatar_url) == ("Alice", "Ally", "Hello", "https://a/b.png")
    second = await store.change_profile(ALICE, ProfileChange(bio=None, time_zone="Europe/Berlin"))
    assert second == Profile(
        user_id=ALICE,
        name="Alice",
        username="Ally",
        avatar_url="https://a/b.png",
        time_zone="Europe/Berlin",
        created_at=START,
    )
    assert await store.profiles([ALICE]) == {ALICE: second}


async def test_changes_at_the_same_time_all_count(store: Store) -> None:
    await store.know(ALICE, "Alice", at=START)
    async with asyncio.TaskGroup() as tasks:
        for change in (ProfileChange(name="Ally"), ProfileChange(username="al"), ProfileChange(bio="Hello")):
            tasks.create_task(store.change_profile(ALICE, change), name="change")
    profile = (await store.profiles([ALICE]))[ALICE]
    assert (profile.name, profile.username, profile.bio) == ("Ally", "al", "Hello")
    assert await found(store, "ally") == await found(store, "al") == [ALICE]


async def test_nobody_unknown_is_changed(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.change_profile(ALICE, ProfileChange(name="Alice"))
    assert await store.profiles([ALICE]) == {}


async def test_a_username_is_one_users_alone_without_regard_to_case_until_it_is_given_up(store: Store) -> None:
    await store.know(ALICE, "Alice", at=START)
    await store.know(BOB, "Bob", at=START)
    await store.change_profile(ALICE, ProfileChange(username="Straße"))
    with pytest.raises(Conflict):
        await store.change_profile(BOB, ProfileChange(username="STRASSE"))
    await store.change_profile(ALICE, ProfileChange(username="strasse"))  # one's own
    await store.change_profile(ALICE, ProfileChange(username=None))
    assert (await store.change_profile(BOB, ProfileChange(username="STRASSE"))).username == "STRASSE"
    assert await found(store, "strasse") == [BOB]


@pytest.mark.parametrize("prefix", ["alice", "alice@", "émile du", "émile", "dup", "the.[ghost]", "the.", "é"])
async def test_a_user_is_found_by_the_beginning_of_id_name_word_and_username(store: Store, prefix: str) -> None:
    user_id = UserId("Alice@example.com")
    await store.know(user_id, "Émile  DuPont", at=START)
    await store.know(BOB, "Bob", at=START)
    await store.change_profile(user_id, ProfileChange(name="Émile DuPont", username="The.[Ghost]"))
    assert await found(store, prefix) == [user_id]


@pytest.mark.parametrize("prefix", ["lice", "ice", "pont", ".*", "^a", "al.ce", "the.g"])
async def test_a_user_is_not_found_by_the_middle_nor_by_a_pattern(store: Store, prefix: str) -> None:
    await store.know(ALICE, "Émile DuPont", at=START)
    await store.change_profile(ALICE, ProfileChange(username="The.[Ghost]"))
    assert await found(store, prefix) == []


async def test_a_former_name_finds_nobody(store: Store) -> None:
    await store.know(ALICE, "Wonder", at=START)
    await store.know(ALICE, "Looking", at=START)
    await store.change_profile(ALICE, ProfileChange(name="Glass"))
    assert [await found(store, prefix) for prefix in ("wonder", "looking", "glass")] == [[], [], [ALICE]]


async def test_what_is_found_comes_in_pages_by_user_id(store: Store) -> None:
    for n in (3, 1, 4, 0, 2):
        await store.know(UserId(f"user-{n}"), f"Ann User{n}", at=START)  # found by three terms, given once
    assert await found(store, "user", limit=2) == ["user-0", "user-1"]
    assert await found(store, "user", after=UserId("user-1")) == ["user-2", "user-3", "user-4"]
    assert await found(store, "", after=UserId("user-2")) == ["user-3", "user-4"]


async def test_a_search_reads_the_terms_that_match_and_the_users_of_one_page(
    mongo_url: str, mongo_database: str
) -> None:
    async with MongoPresenceStore.open(mongo_settings(mongo_url, mongo_database)) as store:
        await store.create_indexes()
        for n in range(100):
            await store.know(UserId(f"user-{n:02}"), f"{'ann' if n % 10 == 0 else 'bob'} {n}", at=START)
        with MongoClient[dict[str, Any]](mongo_url) as client:
            database = client[mongo_database]
            database.command("profile", 2)
            assert await found(store, "ann", limit=3) == ["user-00", "user-10", "user-20"]
            database.command("profile", 0)
            asked = list(database["system.profile"].find({"op": "query", "ns": f"{mongo_database}.users"}))
    assert all("IXSCAN" in each["planSummary"] for each in asked)
    first, second = asked
    assert first["keysExamined"] <= 2 * 10 + 1  # each of the ten by name and by word, and where to stop
    assert first["docsExamined"] == 0
    assert second["docsExamined"] == 3


async def test_a_user_who_is_kept_without_terms_is_found_from_when_they_are_seen_next(
    mongo_url: str, mongo_database: str
) -> None:
    with MongoClient[dict[str, Any]](mongo_url) as client:
        bare = {"_id": ALICE, "name": "Alice", "first_seen": START, "last_seen": START, "devices": 1, "online": True}
        client[mongo_database]["users"].insert_one(bare)
    async with MongoPresenceStore.open(mongo_settings(mongo_url, mongo_database)) as store:
        standing = (await store.standings([ALICE]))[ALICE]
        assert (standing.told.status, standing.told.devices, standing.devices) == ("online", 1, 1)
        assert await store.know(ALICE, "Alice", at=LATER) == Known(
            Profile(user_id=ALICE, name="Alice", created_at=START)
        )
        await store.create_indexes()
        assert await found(store, "ali") == [ALICE]
