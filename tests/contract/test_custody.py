"""What every store does with users' data and their age: the fake one of the tests, and the one on MongoDB."""

from datetime import timedelta
from typing import Any

from pymongo import MongoClient

from history.mongo.store import MongoMessageStore
from history.reading import LoggedChange
from history.store import MessageStore
from shared.commands import Alteration, SendMessage, Stage
from shared.ids import ConversationId, UserId
from tests.contract import message_stores
from tests.contract.message_stores import mongo_settings
from tests.fakes.clock import START
from tests.fakes.history_commands import (
    ALICE,
    BOB,
    DIRECT,
    EVE,
    GROUP,
    acknowledge,
    create_group,
    delete,
    done,
    edit,
    react,
    remove,
    send,
)

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


store = message_stores.store


async def append(store: MessageStore, *commands: SendMessage, after: timedelta = timedelta()) -> None:
    for result in await store.append(commands, at=START + after, repeated=False):
        done(result)


async def change(store: MessageStore, *commands: Alteration) -> None:
    for command in commands:
        done(await store.alter(command, at=START))


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


async def test_what_a_message_said_before_belongs_to_it(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB, content="first", message_id="m-1"))
    await change(store, edit("m-1", "second", room=DIRECT), edit("m-1", "third", room=DIRECT))
    [sent] = await store.sent(DIRECT, ALICE, after="", limit=9)
    assert (sent.message.content, [each.content for each in sent.wordings]) == ("third", ["first", "second"])
    await change(store, delete("m-1", room=DIRECT))
    [sent] = await store.sent(DIRECT, ALICE, after="", limit=9)
    assert (sent.message.content, sent.wordings, sent.message.deleted_at) == ("", (), START)


async def test_a_users_reactions_are_found_in_their_stretch_of_the_log(store: MessageStore) -> None:
    await append(store, *(send(f"c{n}", to=BOB, message_id=f"m-{n}") for n in (1, 2, 3)))
    await change(store, *(react(f"m-{n}", room=DIRECT) for n in (1, 2, 3)), react("m-3", "🎉", room=DIRECT))
    await change(store, react("m-2", by=ALICE, room=DIRECT))
    found = [await store.reactions_of(DIRECT, BOB, after=after, until=after + 2) for after in (0, 2, 4)]
    assert [[(each.message_id, each.emoji) for each in some] for some in found] == [
        [("m-1", "👍"), ("m-2", "👍")],
        [("m-3", "👍"), ("m-3", "🎉")],
        [],
    ]


async def test_reactions_of_who_has_left_are_withdrawn_from_messages_and_from_the_log(store: MessageStore) -> None:
    await store.create([create_group()], at=START)
    await append(store, send("c1", room=GROUP, message_id="m-1"))
    await change(store, react("m-1"), react("m-1", by=EVE), react("m-1", "🎉"), remove(BOB))
    await store.withdraw_reactions(GROUP, BOB, after=0, until=100)
    [logged] = await store.messages(GROUP, before=None, after=0, limit=9, newest=True)
    assert logged.message.reactions == {"👍": (EVE,)}
    entries = await store.entries(GROUP, after=2, floor=START - SECOND, until=None, limit=9)
    told = [(entry.actor_id, entry.removed) for entry in entries if isinstance(entry, LoggedChange) and entry.emoji]
    assert told == [(BOB, True), (EVE, False), (BOB, True)]
    await store.withdraw_reactions(GROUP, BOB, after=0, until=100)
    [again] = await store.messages(GROUP, before=None, after=0, limit=9, newest=True)
    assert again.message.reactions == {"👍": (EVE,)}


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


async def test_a_repeated_change_of_what_has_expired_is_answered_and_tells_nobody(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB, message_id="m1"))
    command = edit("m1", room=DIRECT)
    await store.alter(command, at=START + MINUTE)
    assert await store.remove_before(DIRECT, START + MINUTE, 10) == 1
    again = done(await store.alter(command, at=START + MINUTE))
    assert (again.entry, again.version, again.repeat) == (None, 2, True)


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


# --- what it costs


async def test_no_duty_reads_more_than_it_needs(mongo_url: str, mongo_database: str) -> None:
    settings = mongo_settings(mongo_url, mongo_database)
    people = [UserId(f"u{n}") for n in range(30)]
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    async with MongoMessageStore.open(settings) as store:
        await store.create_indexes()
        for n in range(20):
            await append(store, *(send(f"c{n}", to=person) for person in (BOB, *people)), after=n * SECOND)
        with client:
            database = client[mongo_database]
            database.create_collection("system.profile", capped=True, size=16 * 2**20)
            database.command("profile", 2)
            await store.places(BOB)
            await store.sent(DIRECT, ALICE, after="c1", limit=5)
            await store.reactions_of(DIRECT, ALICE, after=0, until=5)
            await store.withdraw_reactions(DIRECT, ALICE, after=0, until=5)
            await store.blank_name(DIRECT, BOB)
            await store.beginnings(None, 100)
            await store.remove_before(DIRECT, START + MINUTE, 5)
            database.command("profile", 0)
            asked = list(database["system.profile"].find({"ns": {"$regex": "messages|members"}}))
    assert len(asked) >= 9
    assert [plan for plan in asked if "COLLSCAN" in plan.get("planSummary", "")] == []
    costs = {(plan["op"], plan.get("planSummary")): plan.get("docsExamined", 0) for plan in asked}
    assert max(costs.values()) <= 31, costs  # one entry of each log, or a stretch of one
