"""What every store does with users' data and their age: the fake one of the tests, and the one on MongoDB."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pydantic import SecretStr

from history.mongo.store import MongoMessageStore
from history.store import MessageStore
from shared.commands import SendMessage, Stage
from shared.ids import ConversationId, UserId
from shared.settings import MongoSettings
from tests.fakes.clock import START
from tests.fakes.history_commands import ALICE, BOB, DIRECT, GROUP, acknowledge, create_group, done, send
from tests.fakes.history_store import FakeMessageStore

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["fake", "mongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[MessageStore]:
    if request.param == "fake":
        yield FakeMessageStore()
        return
    url, database = request.getfixturevalue("mongo_url"), request.getfixturevalue("mongo_database")
    settings = MongoSettings(mongo_url=SecretStr(url), mongo_database=database)
    async with MongoMessageStore.open(settings) as opened:
        await opened.create_indexes()
        yield opened


async def append(store: MessageStore, *commands: SendMessage, after: timedelta = timedelta()) -> None:
    for result in await store.append(commands, at=START + after, repeated=False):
        done(result)


async def seqs(store: MessageStore, conversation_id: ConversationId = DIRECT) -> list[int]:
    page = await store.messages(conversation_id, before=None, after=0, limit=50, newest=False)
    return [logged.message.seq for logged in page]


# --- stock-taking


async def test_a_user_is_found_in_every_place_with_how_far_they_came(store: MessageStore) -> None:
    await store.create([create_group((ALICE, BOB))], at=START)
    await append(store, send("c1", to=BOB), send("c2", to=BOB))
    await store.advance([acknowledge(1, Stage.DELIVERED)], at=START + SECOND)
    await store.advance([acknowledge(2)], at=START + MINUTE)
    places = {place.conversation_id: place for place in await store.places(BOB)}
    assert places.keys() == {DIRECT, GROUP}
    assert all(place.present and place.joined_at == START for place in places.values())
    assert places[DIRECT].watermark.read_seq == 2
    assert (Stage.DELIVERED, 1, START + SECOND) in [(move.stage, move.seq, move.at) for move in places[DIRECT].moves]
    assert places[GROUP].moves == ()
    assert await store.places(UserId("nobody")) == []


async def test_a_users_messages_come_in_pages_and_nobody_elses(store: MessageStore) -> None:
    await append(store, *(send(f"c{n}", to=BOB) for n in range(5)), send("x", to=ALICE, sender=BOB))
    first = await store.sent(DIRECT, ALICE, after="", limit=3)
    rest = await store.sent(DIRECT, ALICE, after=first[-1].message.client_id, limit=3)
    assert [sent.message.client_id for sent in (*first, *rest)] == [f"c{n}" for n in range(5)]


async def test_a_name_is_blanked_on_all_messages_of_a_user(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB), send("c2", to=ALICE, sender=BOB))
    await store.blank_name(DIRECT, ALICE)
    page = await store.messages(DIRECT, before=None, after=0, limit=5, newest=False)
    assert [bool(logged.message.sender_name) for logged in page] == [False, True]


# --- expiry


async def test_messages_are_kept_for_ever_until_days_are_set(store: MessageStore) -> None:
    assert await store.retention_days() is None
    await store.set_retention_days(30)
    assert await store.retention_days() == 30
    await store.set_retention_days(None)
    assert await store.retention_days() is None


async def test_a_log_begins_with_its_first_entry(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB), after=SECOND)
    await append(store, send("c2", to=BOB), after=MINUTE)
    [beginning] = await store.beginnings(None, 10)
    assert (beginning.conversation_id, beginning.at) == (DIRECT, START + SECOND)
    assert await store.beginnings(DIRECT, 10) == []


async def test_the_first_entries_are_removed_oldest_first_as_many_as_asked(store: MessageStore) -> None:
    for n in range(6):
        await append(store, send(f"c{n}", to=BOB), after=n * SECOND)
    before = START + 4 * SECOND
    assert await store.remove_before(DIRECT, before, 3) == 3
    assert await seqs(store) == [4, 5, 6]
    assert await store.remove_before(DIRECT, before, 3) == 1
    assert await seqs(store) == [5, 6]
    assert await store.remove_before(DIRECT, before, 3) == 0


async def test_the_last_entry_is_never_removed_and_the_log_goes_on_from_it(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB), send("c2", to=BOB))
    assert await store.remove_before(DIRECT, START + MINUTE, 10) == 1
    assert await store.remove_before(DIRECT, START + MINUTE, 10) == 0
    await append(store, send("c3", to=BOB))
    assert await seqs(store) == [2, 3]


async def test_what_is_removed_is_unread_no_more(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB), send("c2", to=BOB))
    await append(store, send("c3", to=BOB), after=MINUTE)
    await store.remove_before(DIRECT, START + SECOND, 10)
    assert await store.unread(BOB, {DIRECT: 0}) == {DIRECT: 1}


# --- leases


async def test_a_lease_has_one_holder_until_its_time_is_over(store: MessageStore) -> None:
    assert await store.take_lease("sweep", "one", at=START, until=START + MINUTE)
    assert not await store.take_lease("sweep", "other", at=START + SECOND, until=START + MINUTE)
    assert await store.take_lease("another", "other", at=START, until=START + MINUTE)
    assert await store.take_lease("sweep", "one", at=START + SECOND, until=START + 2 * MINUTE)
    assert not await store.take_lease("sweep", "other", at=START + MINUTE, until=START + 3 * MINUTE)
    assert await store.take_lease("sweep", "other", at=START + 2 * MINUTE, until=START + 3 * MINUTE)
    assert not await store.take_lease("sweep", "one", at=START + 2 * MINUTE, until=START + 3 * MINUTE)
