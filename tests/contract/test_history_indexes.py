"""No query of the store reads more than it needs: MongoDB's own profiler says so."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.database import Database

from history.mongo.store import MongoMessageStore
from history.store import Altered
from shared.commands import Alteration, DeleteScope, Role, SendMessage
from shared.ids import UserId
from shared.settings import MongoSettings
from tests.fakes.clock import START
from tests.fakes.history_commands import (
    ALICE,
    BOB,
    CHANNEL,
    GROUP,
    SPACE,
    acknowledge,
    add,
    create_channel,
    create_direct,
    create_group,
    create_space,
    delete,
    edit,
    react,
    remove,
    rename,
    send,
)

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


async def test_indexes_of_an_earlier_form_are_replaced(database: Database[dict[str, Any]], mongo_url: str) -> None:
    database["messages"].create_index(["conversation_id", "seq"], unique=True)
    settings = MongoSettings(mongo_url=SecretStr(mongo_url), mongo_database=database.name)
    async with MongoMessageStore.open(settings) as opened:
        for _ in range(2):
            await opened.create_indexes()
        await opened.create([create_group()], at=START)
        for name in ("A", "B"):
            assert isinstance(await opened.alter(rename(name), at=START), Altered)


def messages(prefix: str = "c") -> list[SendMessage]:
    return [send(f"{prefix}{n}", to=person) for n in range(EACH) for person in (BOB, *PEOPLE)]


def plans(database: Database[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """What MongoDB did since the store was opened, besides plain inserts."""
    own = {"$in": [f"{database.name}.{name}" for name in ("messages", "conversations", "members", "counters")]}
    return list(database["system.profile"].find({"ns": own, "op": {"$ne": "insert"}}))


def assert_no_scan(asked: Sequence[dict[str, Any]]) -> None:
    for plan in asked:
        summary = plan.get("planSummary", "")
        assert "SCAN" in summary or "IDHACK" in summary, plan
        assert "COLLSCAN" not in summary, plan


async def test_every_write_finds_its_way_by_an_index(
    store: MongoMessageStore, database: Database[dict[str, Any]]
) -> None:
    await store.append(messages("d"), at=START, repeated=True)
    await store.append(messages("d"), at=START, repeated=False)
    await store.append([msgspec.structs.replace(send("reply"), reply_to="none")], at=START, repeated=False)
    await store.create([create_direct(BOB, BOB)], at=START)
    await store.advance([acknowledge(1)], at=START)
    asked = plans(database)
    assert {plan["ns"].partition(".")[2] for plan in asked} == {"messages", "conversations", "members", "counters"}
    assert_no_scan(asked)


async def test_every_change_finds_its_way_by_an_index(
    store: MongoMessageStore, database: Database[dict[str, Any]]
) -> None:
    await store.create([create_space([ALICE, BOB, *PEOPLE])], at=START)
    await store.create([create_channel([ALICE, *PEOPLE], parent=SPACE), create_group([ALICE, *PEOPLE])], at=START)
    await store.append([send("c1", room=GROUP, message_id="m-1")], at=START, repeated=False)
    changes: list[Alteration] = [
        edit("m-1"),
        react("m-1", by=PEOPLE[0]),
        delete("m-1", DeleteScope.ME, by=PEOPLE[0]),
        rename("New"),
        add(BOB),
        add(BOB, role=Role.OWNER),
        add(BOB, by=BOB, room=CHANNEL),
        delete("m-1"),
        remove(ALICE),
    ]
    for change in changes:
        assert isinstance(await store.alter(change, at=START), Altered)
    await store.channels_left_over(SPACE, BOB)
    asked = plans(database)
    assert_no_scan([plan for plan in asked if "command" not in plan or "commitTransaction" not in plan["command"]])


async def test_a_change_reads_little_of_a_large_room(
    store: MongoMessageStore, database: Database[dict[str, Any]]
) -> None:
    people = [UserId(f"p{n}") for n in range(1000)]
    await store.create([create_group([ALICE, *people])], at=START)
    await store.append([send("c1", room=GROUP, message_id="m-1")], at=START, repeated=False)
    before = len(plans(database))
    await store.append([send("c2", room=GROUP, sender=people[0])], at=START, repeated=False)
    await store.alter(react("m-1", by=people[1]), at=START)
    await store.alter(add(BOB), at=START)
    await store.advance([acknowledge(1, room=GROUP, user=people[2])], at=START)
    assert sum(plan.get("docsExamined", 0) for plan in plans(database)[before:]) < 30


async def test_the_ends_of_logs_are_found_without_reading_the_logs(
    store: MongoMessageStore, database: Database[dict[str, Any]]
) -> None:
    rooms = list(await store.memberships(ALICE))
    assert len(await store.tips(rooms)) == len(rooms)
    (end,) = [plan for plan in plans(database) if plan["ns"].endswith(".messages")]
    assert end["planSummary"].split()[0] == "DISTINCT_SCAN"
    assert end["docsExamined"] <= len(rooms)


async def test_storing_a_batch_takes_one_write(store: MongoMessageStore, database: Database[dict[str, Any]]) -> None:
    await store.append([send("new1"), send("new2")], at=START, repeated=False)
    await store.append([send("new3"), send("new4")], at=START, repeated=False)
    writes = list(database["system.profile"].find({"op": "insert"}))
    assert [(each["ns"].partition(".")[2], each["ninserted"]) for each in writes] == [("messages", 2), ("messages", 2)]
    assert {plan["op"] for plan in plans(database)} == {"query", "command"}  # the heads, read once
    assert len(plans(database)) == len(("the ends of the logs", "the conversations"))


async def test_storing_a_batch_in_a_large_room_takes_one_read_more(
    store: MongoMessageStore, database: Database[dict[str, Any]]
) -> None:
    people = [UserId(f"p{n}") for n in range(501)]
    await store.create([create_group([ALICE, *people])], at=START)
    await store.append([send("c1", room=GROUP)], at=START, repeated=False)
    before = len(plans(database))
    batch = [send("c2", room=GROUP), send("c3", room=GROUP, sender=people[0]), send("c4", room=GROUP)]
    await store.append(batch, at=START, repeated=False)
    (asked,) = plans(database)[before:]
    assert (asked["ns"].partition(".")[2], asked["docsExamined"]) == ("members", 2)
