"""What several processes that take a shard for theirs write, and what is left of a transaction that is cut off."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from motor.motor_asyncio import AsyncIOMotorClientSession
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from history.mongo.store import MongoMessageStore
from history.reading import Record
from history.scene import Outcome
from history.store import MessageStore
from shared.commands import Alteration
from shared.errors import NotAMember, StoreUnavailable
from shared.ids import UserId
from tests.contract import message_stores
from tests.contract.altering import (
    CAROL,
    M1,
    SECOND,
    alter,
    append,
    changed,
    every_alteration,
    group,
    logged,
    record,
    versions,
)
from tests.contract.message_stores import mongo_settings
from tests.fakes.clock import START
from tests.fakes.history_commands import ALICE, BOB, EVE, GROUP, add, create_group, done, react, remove, rename, send

rivals = message_stores.rivals
Rivals = tuple[MongoMessageStore, MongoMessageStore]


async def test_a_message_after_anothers_change_comes_after_it(rivals: Rivals) -> None:
    one, other = rivals
    await group(one)
    await alter(other, remove(BOB))
    (sent, refused) = await one.append(
        [send("c2", room=GROUP), send("c1", room=GROUP, sender=BOB)], at=START, repeated=False
    )
    assert (done(sent).message.version, done(sent).audience) == (4, (ALICE, EVE))
    assert isinstance(refused, NotAMember)


async def test_who_takes_a_shard_back_knows_who_has_come_meanwhile(rivals: Rivals) -> None:
    one, other = rivals
    await group(one)
    await alter(other, add(CAROL))
    await one.take_over()
    (sent,) = await append(one, send("c1", room=GROUP, sender=CAROL))
    assert (sent.message.version, sent.audience) == (4, (ALICE, BOB, CAROL, EVE))


async def test_a_writer_that_did_not_notice_another_knows_who_has_come_meanwhile(rivals: Rivals) -> None:
    """Its shard was another's, and came back without being opened: a cluster's network was cut, and healed."""
    one, other = rivals
    await group(one)
    await alter(other, add(CAROL))
    commands = [
        send("c2", room=GROUP),
        send("c1", room=GROUP, sender=CAROL),
        send("c3", room=GROUP, sender=UserId("dave")),
    ]
    own, newcomers, strangers = await one.append(commands, at=START, repeated=False)
    assert (done(own).message.version, done(newcomers).message.version) == (4, 5)
    assert isinstance(strangers, NotAMember)
    assert await versions(one) == [1, 2, 3, 4, 5]


async def test_a_change_after_anothers_message_comes_after_it(rivals: Rivals) -> None:
    one, other = rivals
    await group(one)
    await append(other, send("c2", room=GROUP), send("c3", room=GROUP))
    assert (await changed(one, rename("New"))).version == 5
    assert (await append(other, send("c4", room=GROUP)))[0].message.version == 6
    assert await versions(one) == [1, 2, 3, 4, 5, 6]


async def test_two_writers_at_once_leave_one_log(rivals: Rivals) -> None:
    one, other = rivals
    await group(one)

    async def write(store: MongoMessageStore, prefix: str) -> None:
        for n in range(10):
            command = react(M1, f"{prefix}{n}")
            while True:
                try:
                    await store.append([send(f"{prefix}{n}", room=GROUP)], at=START, repeated=True)
                    await alter(store, command)
                    break
                except StoreUnavailable:  # it lost every round: as in an outage, the command comes again
                    continue

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(one, "a"))
        tasks.create_task(write(other, "b"))
    assert await versions(one) == list(range(1, 43))
    assert len((await logged(one)).message.reactions) == 20


class CutOff(MongoMessageStore):
    """A store whose transactions are cut off just before they are committed, as often as it is told."""

    failures = 0
    labels: tuple[str, ...] = ()

    async def _write(self, outcome: Outcome, before: Record, session: AsyncIOMotorClientSession) -> None:
        await super()._write(outcome, before, session)
        if self.failures:
            self.failures -= 1
            raise OperationFailure("It was cut off.", details={"errorLabels": list(self.labels)})


@pytest.fixture
async def cut_off(mongo_url: str, mongo_database: str) -> AsyncIterator[CutOff]:
    async with CutOff.open(mongo_settings(mongo_url, mongo_database)) as opened:
        await opened.create_indexes()
        yield opened


@pytest.mark.parametrize("command", every_alteration(), ids=lambda command: type(command).__name__)
async def test_a_change_that_is_cut_off_leaves_nothing(cut_off: CutOff, command: Alteration) -> None:
    await group(cut_off)
    before = (await logged(cut_off), await record(cut_off), await present(cut_off))
    cut_off.failures = 1
    with pytest.raises(StoreUnavailable):
        await cut_off.alter(command, at=START)
    assert (await logged(cut_off), await record(cut_off), await present(cut_off)) == before
    assert await versions(cut_off) == [1, 2]
    assert (await alter(cut_off, command)).version == 3


async def present(store: MessageStore) -> dict[UserId, int]:
    return await store.windows(GROUP)


async def test_a_change_that_another_overtook_is_tried_again(cut_off: CutOff) -> None:
    await group(cut_off)
    cut_off.failures, cut_off.labels = 2, ("TransientTransactionError",)
    assert (await alter(cut_off, rename("New"))).version == 3
    cut_off.failures = 10**6
    with pytest.raises(StoreUnavailable):
        await cut_off.alter(rename("Newer"), at=START)


async def test_a_creation_that_was_cut_off_is_finished_when_it_comes_again(
    rivals: Rivals, mongo_url: str, mongo_database: str
) -> None:
    one, other = rivals
    await one.create([create_group()], at=START)
    client: MongoClient[dict[str, object]] = MongoClient(mongo_url)
    with client:
        client[mongo_database]["conversations"].delete_many({})
        client[mongo_database]["members"].delete_one({"user_id": BOB})
    (again,) = await other.create([create_group()], at=START + SECOND)
    assert done(again).created
    assert (await record(other)).member_ids == (ALICE, BOB, EVE)
    assert await versions(other) == [1]
    assert await other.windows(GROUP) == dict.fromkeys((ALICE, BOB, EVE), 0)
