"""No query of the store reads more than it needs: MongoDB's own profiler says so."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.database import Database

from history.mongo.store import MongoMessageStore
from shared.commands import SendMessage
from shared.ids import UserId
from shared.settings import MongoSettings
from tests.fakes.clock import START
from tests.fakes.history_commands import ALICE, BOB, DIRECT, acknowledge, create_direct, send

PEOPLE = [UserId(f"u{n}") for n in range(40)]
EACH = 10  # messages to each of them


@pytest.fixture
def database(mongo_url: str, mongo_database: str) -> Iterator[Database[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    with client:
        yield client[mongo_database]
        client[mongo_database].command("profile", 0)


@pytest.fixture
async def store(database: Database[dict[str, Any]], mongo_url: str) -> AsyncIterator[MongoMessageStore]:
    """A store with 40 conversations of Alice's, 10 messages each; what is asked from here on is profiled."""
    settings = MongoSettings(mongo_url=SecretStr(mongo_url), mongo_database=database.name)
    async with MongoMessageStore.open(settings) as filled:
        await filled.create_indexes()
        await filled.append(messages(), at=START, repeated=False)
    async with MongoMessageStore.open(settings) as opened:  # a new one: it knows no head
        database.create_collection("system.profile", capped=True, size=64 * 2**20)  # or it forgets
        database.command("profile", 2)
        yield opened


def messages(prefix: str = "c") -> list[SendMessage]:
    return [send(f"{prefix}{n}", to=person) for n in range(EACH) for person in (BOB, *PEOPLE)]


def plans(database: Database[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """What MongoDB did since the store was opened, besides plain inserts."""
    own = {"$in": [f"{database.name}.{name}" for name in ("messages", "conversations", "members", "counters")]}
    return list(database["system.profile"].find({"ns": own, "op": {"$ne": "insert"}}))


async def test_every_query_uses_an_index(store: MongoMessageStore, database: Database[dict[str, Any]]) -> None:
    rooms = list(await store.memberships(ALICE))
    await store.append(messages("d"), at=START, repeated=True)
    await store.append(messages("d"), at=START, repeated=False)
    await store.create([create_direct(BOB, BOB)], at=START)
    await store.advance([acknowledge(1)], at=START)
    await store.tips(rooms)
    await store.records(rooms)
    await store.watermarks(rooms)
    await store.acknowledged_after(rooms, START)
    await store.changes(DIRECT, version=3, floor=START, limit=10)
    await store.messages(DIRECT, before=3, after=None, limit=3)
    await store.messages(DIRECT, before=None, after=3, limit=3)
    await store.unread(BOB, dict.fromkeys(rooms, 5))
    asked = plans(database)
    assert {plan["ns"].partition(".")[2] for plan in asked} == {"messages", "conversations", "members", "counters"}
    for plan in asked:
        assert "SCAN" in plan["planSummary"] or "IDHACK" in plan["planSummary"], plan
        assert "COLLSCAN" not in plan["planSummary"], plan


async def test_the_ends_of_logs_are_found_without_reading_the_logs(
    store: MongoMessageStore, database: Database[dict[str, Any]]
) -> None:
    rooms = list(await store.memberships(ALICE))
    assert len(await store.tips(rooms)) == len(rooms)
    assert len(await store.records(rooms)) == len(rooms)
    ends = [plan for plan in plans(database) if plan["ns"].endswith(".messages")]
    assert [plan["planSummary"].split()[0] for plan in ends] == ["DISTINCT_SCAN", "DISTINCT_SCAN"]
    assert all(plan["docsExamined"] <= len(rooms) for plan in ends)


async def test_a_page_reads_a_page(store: MongoMessageStore, database: Database[dict[str, Any]]) -> None:
    await store.messages(DIRECT, before=None, after=None, limit=3)
    await store.messages(DIRECT, before=9, after=None, limit=3)
    await store.messages(DIRECT, before=None, after=2, limit=3)
    await store.changes(DIRECT, version=1, floor=START, limit=3)
    assert [plan["docsExamined"] for plan in plans(database)] == [3, 3, 3, 3]


async def test_storing_a_batch_takes_one_write(store: MongoMessageStore, database: Database[dict[str, Any]]) -> None:
    await store.append([send("new1"), send("new2")], at=START, repeated=False)
    await store.append([send("new3"), send("new4")], at=START, repeated=False)
    writes = list(database["system.profile"].find({"op": "insert"}))
    assert [(each["ns"].partition(".")[2], each["ninserted"]) for each in writes] == [("messages", 2), ("messages", 2)]
    assert {plan["op"] for plan in plans(database)} == {"query", "command"}  # the heads, read once
    assert len(plans(database)) == len(("the ends of the logs", "the conversations"))
