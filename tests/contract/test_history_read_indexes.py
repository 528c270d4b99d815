"""No reading query of the store reads more than it needs: MongoDB's own profiler says so."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.database import Database

from history.mongo.store import MongoMessageStore
from history.queries import StoredHistory
from history.reading import Wanted
from shared.commands import ConversationKind, CreateConversation, SetReaction
from shared.history_api import MessageSearch, SyncQuery
from shared.ids import ConversationId, MessageId, UserId, direct_conversation_id
from shared.settings import MongoSettings
from tests.fakes.clock import START, FakeClock
from tests.fakes.history_commands import ALICE, BOB, DIRECT, GROUP, acknowledge, create_group, done, send

PEOPLE = [UserId(f"u{n}") for n in range(40)]
EACH = 10  # messages to each of them
SPACE, CHANNEL, LOBBY = ConversationId("space"), ConversationId("channel"), ConversationId("lobby")
FIRST = MessageId("first")

Plans = Sequence[dict[str, Any]]


@pytest.fixture
def database(mongo_url: str, mongo_database: str) -> Iterator[Database[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    with client:
        yield client[mongo_database]
        client[mongo_database].command("profile", 0)


@pytest.fixture
async def store(database: Database[dict[str, Any]], mongo_url: str) -> AsyncIterator[MongoMessageStore]:
    """A store with 42 conversations of Alice's and a channel of others'; what is asked from here on is profiled."""
    settings = MongoSettings(mongo_url=SecretStr(mongo_url), mongo_database=database.name)
    async with MongoMessageStore.open(settings) as opened:
        await opened.create_indexes()
        space = CreateConversation(
            conversation_id=SPACE, kind=ConversationKind.SPACE, creator_id=ALICE, member_ids=(ALICE, BOB)
        )
        channel = CreateConversation(
            conversation_id=CHANNEL,
            kind=ConversationKind.CHANNEL,
            creator_id=BOB,
            member_ids=(BOB, *PEOPLE),
            parent_id=SPACE,
        )
        lobby = CreateConversation(
            conversation_id=LOBBY, kind=ConversationKind.CHANNEL, creator_id=BOB, member_ids=(BOB,), name="lobby"
        )
        for command in (create_group((ALICE, BOB, *PEOPLE)), space, channel, lobby):
            [created] = await opened.create([command], at=START)
            done(created)
        messages = [send(f"c{n}", to=person) for n in range(EACH) for person in (BOB, *PEOPLE)]
        await opened.append([send("c", to=BOB, message_id=FIRST), *messages], at=START, repeated=False)
        await opened.advance([acknowledge(3)], at=START)
        for n in range(4):
            react = SetReaction(
                change_id=MessageId(f"r{n}"), conversation_id=DIRECT, actor_id=BOB, message_id=FIRST, emoji=f"e{n}"
            )
            done(await opened.alter(react, at=START))
        database.create_collection("system.profile", capped=True, size=64 * 2**20)  # or it forgets
        database.command("profile", 2)
        yield opened


def plans(database: Database[dict[str, Any]]) -> Plans:
    """What MongoDB was asked since the store was filled."""
    own = {"$in": [f"{database.name}.{name}" for name in ("messages", "conversations", "members", "counters")]}
    return list(database["system.profile"].find({"ns": own, "op": {"$ne": "getmore"}, "command.killCursors": None}))


async def test_every_answer_is_read_off_indexes(store: MongoMessageStore, database: Database[dict[str, Any]]) -> None:
    history = StoredHistory(store, clock=FakeClock())
    await history.sync(SyncQuery(user_id=BOB))
    await history.sync(SyncQuery(user_id=BOB, versions={DIRECT: 2, GROUP: 0}))
    await history.position(ALICE)
    await history.conversations(ALICE, limit=10, cursor=None)
    await history.conversation(BOB, DIRECT)
    for before, after in ((None, None), (3, None), (None, 3)):
        await history.messages(BOB, DIRECT, before=before, after=after, limit=3)
    await history.unread(BOB)
    await history.receipts(BOB, DIRECT, 1)
    await history.member_page(BOB, GROUP, limit=3, cursor=None)
    await history.channels(ALICE, SPACE)
    number = (await history.overview(GROUP)).number
    await history.conversation_numbered(BOB, number)
    place = await history.message_place(BOB, FIRST)
    await history.message_place(BOB, (await store.messages_by_id([place.message_id]))[FIRST].message.number)
    await history.members(GROUP)
    await history.timeline(FIRST)
    await history.find_messages(MessageSearch(user_id=BOB, text="hi", conversation_id=DIRECT))
    await history.find_messages(MessageSearch(user_id=BOB, mentions=True))
    await history.conversation_named(ALICE, "lobby")
    await history.open_channels(ALICE, limit=3, cursor=None)
    await history.open_channel(ALICE, CHANNEL)
    asked = plans(database)
    assert {plan["ns"].partition(".")[2] for plan in asked} == {"messages", "conversations", "members"}
    for plan in asked:
        assert "SCAN" in plan["planSummary"] or "IDHACK" in plan["planSummary"], plan
        assert "COLLSCAN" not in plan["planSummary"], plan
        assert not plan.get("hasSortStage"), plan


async def test_the_ends_of_logs_are_found_without_reading_the_logs(
    store: MongoMessageStore, database: Database[dict[str, Any]]
) -> None:
    rooms = list(await store.memberships(ALICE))
    assert len(await store.tips(rooms)) == len(await store.ends(rooms)) == len(rooms)
    asked = [plan for plan in plans(database) if plan["ns"].endswith(".messages")]
    assert [plan["planSummary"].split()[0] for plan in asked] == ["DISTINCT_SCAN", "DISTINCT_SCAN", "IXSCAN"]
    assert [plan["docsExamined"] <= len(rooms) for plan in asked] == [True] * 3
    assert asked[2]["docsExamined"] == 1  # the last message of the one whose log ends with a reaction


async def test_what_is_read_is_what_is_given(store: MongoMessageStore, database: Database[dict[str, Any]]) -> None:
    await store.messages(DIRECT, before=None, after=0, limit=3, newest=True)
    await store.messages(DIRECT, before=9, after=0, limit=3, newest=True)
    await store.messages(DIRECT, before=None, after=2, limit=3, newest=False)
    await store.entries(DIRECT, after=1, floor=START.min.replace(tzinfo=START.tzinfo), until=None, limit=3)
    await store.members_after(GROUP, UserId("u1"), 3)
    await store.unread(BOB, {DIRECT: 9})
    assert [plan["docsExamined"] for plan in plans(database)] == [3, 3, 3, 3, 3, 2]


async def test_a_search_reads_what_it_looks_through_and_no_more(
    store: MongoMessageStore, database: Database[dict[str, Any]]
) -> None:
    mentioning = [send(f"m{n}", sender=BOB, room=GROUP, mentions=(ALICE,)) for n in range(5)]
    await store.append(mentioning, at=START, repeated=False)
    asked_before = len(plans(database))
    common, absent = Wanted(BOB, text="hi", limit=3), Wanted(BOB, text="absent", limit=3)
    with_bob = direct_conversation_id(ALICE, PEOPLE[0])
    await store.found(common, {DIRECT: 0})
    await store.found(absent, {DIRECT: 4})
    await store.found(absent, {DIRECT: 4, with_bob: 8})
    assert len(await store.mentions(Wanted(ALICE, limit=3), {GROUP: 0})) == 3
    assert await store.mentions(Wanted(PEOPLE[0], limit=3), {GROUP: 0}) == []
    asked = plans(database)[asked_before:]
    assert [plan["docsExamined"] for plan in asked] == [3, EACH + 1 - 4, EACH + 1 - 4 + EACH - 8, 3, 0]
    assert {plan["planSummary"] for plan in asked[3:]} == {"IXSCAN { mentions: 1, created_at: 1 }"}


async def test_names_and_open_channels_are_read_off_indexes_of_their_own(
    store: MongoMessageStore, database: Database[dict[str, Any]]
) -> None:
    for n in range(3):
        open_channel = CreateConversation(
            conversation_id=ConversationId(f"open-{n}"),
            kind=ConversationKind.CHANNEL,
            creator_id=BOB,
            member_ids=(BOB,),
            name="lobby",
        )
        [created] = await store.create([open_channel], at=START)
        done(created)
    asked_before = len(plans(database))
    oldest = await store.named("lobby", [GROUP, DIRECT])
    assert oldest is not None
    assert oldest.id == LOBBY
    assert [each.id for each in await store.open_channels(LOBBY, 2)] == ["open-0", "open-1"]
    own, may_join, page = plans(database)[asked_before:]
    assert own["docsExamined"] <= 4  # those of that name, or the user's own: as MongoDB likes
    assert (may_join["planSummary"], may_join["docsExamined"]) == ("IXSCAN { name: 1, number: 1 }", 1)
    assert page["planSummary"].startswith("IXSCAN { parent_id: 1, _id: 1 }")
    assert page["docsExamined"] == 2


async def test_an_answer_takes_a_few_queries(store: MongoMessageStore, database: Database[dict[str, Any]]) -> None:
    history = StoredHistory(store, clock=FakeClock())
    counts: dict[str, int] = {}

    async def count(name: str) -> None:
        counts[name] = len(plans(database)) - sum(counts.values())

    await history.unread(BOB)
    await count("unread: places, tips, counts")
    await history.messages(BOB, DIRECT, before=None, after=None, limit=50)
    await count("messages: place, page, conversation, watermarks")
    await history.conversation(BOB, GROUP)
    await count("conversation: place, conversation, end, watermarks")
    await history.conversations(ALICE, limit=50, cursor=None)
    await count("conversations: places, tips, conversations, ends, an older last message, watermarks, counts")
    await history.members(GROUP)
    await count("members: conversation, members")
    assert list(counts.values()) == [3, 4, 4, 7, 2]
