"""What every message store does: the fake one of the tests, and the one on MongoDB."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from deploy.local.processes import free_port
from history.mongo.store import MongoMessageStore
from history.sequence import Appended
from history.store import Advanced, MessageStore
from shared.commands import ConversationKind, CreateConversation, SendMessage, Stage
from shared.errors import Conflict, Invalid, NotAMember, NotFound, StoreUnavailable, TooLarge, WarrenError
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, UserId, direct_conversation_id
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
    create_direct,
    create_group,
    done,
    send,
)
from tests.nodes import Mongo

SECOND = timedelta(seconds=1)
BEFORE = START - SECOND


store, rivals = message_stores.store, message_stores.rivals


async def append(store: MessageStore, *commands: SendMessage, repeated: bool = False) -> list[Appended]:
    return [done(result) for result in await store.append(commands, at=START, repeated=repeated)]


def seqs(results: list[Appended]) -> list[int]:
    return [result.message.seq for result in results]


# --- messages


async def test_messages_take_the_places_after_each_other(store: MessageStore) -> None:
    batch = [send("c1", to=BOB), send("c2", sender=BOB), send("c1", to=ALICE), send("c3")]
    assert seqs(await append(store, *batch)) == [1, 2, 1, 3]
    assert seqs(await append(store, send("c4"))) == [4]
    assert [message.client_id for message in await all_messages(store)] == ["c1", "c2", "c3", "c4"]


async def test_a_message_is_given_back_as_it_was_sent(store: MessageStore) -> None:
    command = msgspec.structs.replace(
        send(content="a\x00b 👍"),
        metadata=msgspec.Raw(b'{"$set": {"a.b": 1e400}, "": null}'),
        reply_to="m0",
        mentions=(ALICE, BOB),
    )
    (_, appended) = await append(store, send("c0", to=BOB, message_id="m0"), command)
    (_, message) = await all_messages(store)
    assert message == appended.message
    assert (message.content, bytes(message.metadata)) == (command.content, bytes(command.metadata))
    assert (message.reply_to, message.mentions, message.sender_name) == ("m0", (ALICE, BOB), "Alice")
    assert (message.created_at, message.version, message.number) == (START, 2, 2**26 + 2)
    assert appended.audience == (ALICE, BOB)


async def test_metadata_that_is_not_utf8_does_not_stop_the_batch(store: MessageStore) -> None:
    poisoned = msgspec.structs.replace(send("c1", to=BOB), metadata=msgspec.Raw(b'{"a": "\xff"}'))
    assert seqs(await append(store, poisoned, send("c2"))) == [1, 2]


@pytest.mark.parametrize("repeated", [False, True])
async def test_a_repeat_yields_the_message_stored_first(store: MessageStore, repeated: bool) -> None:
    (first, second) = await append(store, send("c1", to=BOB), send("c2", to=BOB))
    (again, new, twice) = await append(
        store, send("c2", to=BOB), send("c3", to=BOB), send("c3", to=BOB, content="else"), repeated=repeated
    )
    assert (again.message, again.previous_at, again.audience) == (
        second.message,
        first.message.created_at,
        (ALICE, BOB),
    )
    assert twice.message == new.message
    assert [result.repeat for result in (first, second, again, new, twice)] == [False, False, True, False, True]
    assert [message.seq for message in await all_messages(store)] == [1, 2, 3]


async def test_the_same_client_id_of_another_sender_is_another_message(store: MessageStore) -> None:
    assert seqs(await append(store, send("c1", to=BOB), send("c1", sender=BOB, to=ALICE))) == [1, 2]


async def test_each_message_knows_when_the_one_before_it_came(store: MessageStore) -> None:
    results = [
        *await store.append([send("c1", to=BOB)], at=START, repeated=False),
        *await store.append([send("c2")], at=START + SECOND, repeated=False),
        *await store.append([send("c3")], at=START, repeated=False),  # a replica whose clock is behind
    ]
    times = [(done(result).previous_at, done(result).message.created_at) for result in results]
    assert times == [(None, START), (START, START + SECOND), (START + SECOND, START + SECOND)]
    entries = await store.entries(DIRECT, after=0, floor=BEFORE, until=None, limit=10)
    assert [entry.previous_at for entry in entries] == [None, START, START + SECOND]


async def test_a_refused_message_leaves_no_gap(store: MessageStore) -> None:
    await append(store, send("c0", to=BOB))
    batch = [send("c1"), send("c2", sender=EVE), send("c3", room=ConversationId("none")), send("c4")]
    results = await store.append(batch, at=START, repeated=False)
    assert [type(result) for result in results] == [Appended, NotAMember, NotFound, Appended]
    assert [message.seq for message in await all_messages(store)] == [1, 2, 3]


async def test_a_stranger_cannot_tell_whether_two_others_talk(store: MessageStore) -> None:
    async def refusal() -> str:
        (result,) = await store.append([send("c1", sender=EVE)], at=START, repeated=False)
        assert isinstance(result, NotAMember)
        return str(result.body())

    before = await refusal()
    await append(store, send("c1", to=BOB))
    assert await refusal() == before


async def test_a_recipient_that_does_not_fit_the_conversation_is_invalid(store: MessageStore) -> None:
    wrong = msgspec.structs.replace(send("c1", to=BOB), to=EVE)
    (result,) = await store.append([wrong], at=START, repeated=False)
    assert isinstance(result, Invalid)
    assert await store.memberships(ALICE) == {}


async def test_a_user_may_write_to_themselves(store: MessageStore) -> None:
    (result,) = await append(store, send("c1", to=ALICE))
    assert (result.message.seq, result.audience) == (1, (ALICE,))


async def test_a_message_id_that_is_taken_is_a_conflict_and_the_rest_is_stored(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB, message_id="taken"))
    batch = [send("c2"), send("c3", message_id="taken"), send("c4")]
    results = await store.append(batch, at=START, repeated=False)
    assert [type(result) for result in results] == [Appended, Conflict, Appended]
    assert [message.client_id for message in await all_messages(store)] == ["c1", "c2", "c4"]
    assert [message.seq for message in await all_messages(store)] == [1, 2, 3]


# --- conversations


async def test_a_direct_conversation_is_made_once(store: MessageStore) -> None:
    (made, again) = [
        done(result)
        for command in (create_direct(), create_direct(BOB, ALICE))
        for result in await store.create([command], at=START)
    ]
    assert (made.created, again.created) == (True, False)
    assert made.number == again.number == 1
    assert seqs(await append(store, send("c1"))) == [1]
    assert (await store.memberships(BOB))[DIRECT].role == "member"


async def test_a_groups_creator_owns_it(store: MessageStore) -> None:
    await store.create([create_direct(), create_group()], at=START)
    record = (await store.records([GROUP]))[GROUP]
    assert (record.number, record.kind, record.name) == (2, ConversationKind.GROUP, "A group")
    assert record.member_ids == (ALICE, BOB, EVE)
    roles = [(await store.memberships(user))[GROUP].role for user in (ALICE, BOB)]
    assert roles == ["owner", "member"]
    assert seqs(await append(store, send("c1", room=GROUP, sender=EVE))) == [1]


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (msgspec.structs.replace(create_direct(), creator_id=EVE), Invalid),
        (msgspec.structs.replace(create_direct(), member_ids=(ALICE, BOB, EVE)), Invalid),
        (msgspec.structs.replace(create_direct(), conversation_id=GROUP), Invalid),
        (create_group(room=DIRECT), Invalid),
        (create_group([ALICE, *(UserId(f"u{n}") for n in range(10_000))]), TooLarge),
        (msgspec.structs.replace(create_group(), parent_id=GROUP), Invalid),
    ],
)
async def test_a_conversation_that_cannot_be_is_refused(
    store: MessageStore, command: CreateConversation, error: type[WarrenError]
) -> None:
    (result,) = await store.create([command], at=START)
    assert isinstance(result, error)
    assert await store.memberships(ALICE) == {}


async def test_an_id_of_others_conversation_is_refused(store: MessageStore) -> None:
    (_, result) = await store.create([create_group([BOB], creator=BOB), create_direct(EVE, EVE)], at=START)
    done(result)
    (result,) = await store.create([create_group([ALICE])], at=START)
    assert isinstance(result, NotAMember)


# --- watermarks


def mark(results: dict[tuple[ConversationId, UserId], Advanced | WarrenError], user: UserId = BOB) -> Watermark:
    return done(results[DIRECT, user]).watermark


async def test_read_implies_delivered_and_never_goes_past_the_last_message(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB), send("c2"))
    results = await store.advance([acknowledge(10**30)], at=START)
    assert mark(results) == Watermark(user_id=BOB, delivered_seq=2, delivered_at=START, read_seq=2, read_at=START)
    assert done(results[DIRECT, BOB]).moved == {Stage.DELIVERED, Stage.READ}
    assert done(results[DIRECT, BOB]).audience == (ALICE, BOB)
    assert (await store.memberships(BOB))[DIRECT].watermark == mark(results)


async def test_watermarks_never_go_back_and_keep_their_times(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB), send("c2"), send("c3"))
    await store.advance([acknowledge(2)], at=START)
    late = [acknowledge(1), acknowledge(3, Stage.DELIVERED), acknowledge(-(10**30), Stage.DELIVERED)]
    results = await store.advance(late, at=START + SECOND)
    assert mark(results) == Watermark(
        user_id=BOB, delivered_seq=3, delivered_at=START + SECOND, read_seq=2, read_at=START
    )
    assert done(results[DIRECT, BOB]).moved == {Stage.DELIVERED}
    again = await store.advance(late, at=START + 2 * SECOND)
    assert (mark(again), done(again[DIRECT, BOB]).moved) == (mark(results), frozenset())


async def test_strangers_acknowledge_nothing(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB))
    none = ConversationId("none")
    results = await store.advance([acknowledge(1, user=EVE), acknowledge(1), acknowledge(1, room=none)], at=START)
    assert isinstance(results[DIRECT, EVE], NotAMember)
    assert isinstance(results[none, BOB], NotFound)
    assert mark(results).read_seq == 1


async def test_it_tells_where_watermarks_moved(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB), send("c1", to=EVE))
    rooms = list(await store.memberships(ALICE))
    assert await store.acknowledged_after(rooms, START - SECOND) == {}
    await store.advance([acknowledge(1)], at=START + SECOND)
    await store.advance([acknowledge(1)], at=START + 2 * SECOND)
    assert await store.acknowledged_after(rooms, START) == {DIRECT: START + SECOND}
    assert await store.acknowledged_after(rooms, START + SECOND) == {}
    marks = await store.watermarks(rooms)
    assert [(each.user_id, each.read_seq) for each in marks[DIRECT]] == [(ALICE, 0), (BOB, 1)]


# --- queries


async def all_messages(store: MessageStore) -> list[Message]:
    found = await store.messages(DIRECT, before=None, after=0, limit=100, newest=False)
    return [logged.message for logged in found]


# --- other writers, and the database away


async def test_a_writer_that_was_overtaken_goes_on_after_the_other(rivals: tuple[MessageStore, MessageStore]) -> None:
    one, other = rivals
    assert seqs(await append(one, send("c1", to=BOB))) == [1]
    assert seqs(await append(other, send("c2"), send("c3"))) == [2, 3]
    assert seqs(await append(one, send("c4"), send("c2"), send("c5"))) == [4, 2, 5]
    assert seqs(await append(other, send("c5"), send("c6"))) == [5, 6]


async def test_an_acknowledgement_of_what_another_writer_stored_is_taken_whole(
    rivals: tuple[MessageStore, MessageStore],
) -> None:
    one, other = rivals
    await append(one, send("c1", to=BOB))
    await append(other, send("c2"), send("c3"))
    assert mark(await one.advance([acknowledge(3)], at=START)).read_seq == 3


async def test_two_writers_at_once_leave_one_log_without_gaps(rivals: tuple[MessageStore, MessageStore]) -> None:
    people = [UserId(f"u{n}") for n in range(5)]
    batch = [send(f"c{n}", to=person) for n in range(8) for person in people]
    pending = {0: batch, 1: batch[::-1]}
    results: dict[int, list[Appended]] = {}

    async def write(n: int) -> None:
        while n not in results:
            try:
                results[n] = await append(rivals[n], *pending[n], repeated=True)
            except StoreUnavailable:  # it lost every round: as in an outage, the batch comes again
                continue

    async with asyncio.TaskGroup() as tasks:
        for n in pending:
            tasks.create_task(write(n))
    assert sorted(map(identity, results[0])) == sorted(map(identity, results[1]))
    for person in people:
        room = direct_conversation_id(ALICE, person)
        stored = await rivals[0].messages(room, before=None, after=0, limit=100, newest=False)
        assert [logged.message.seq for logged in stored] == list(range(1, 9))
    numbers = {record.number for record in (await rivals[0].records(await rivals[0].memberships(ALICE))).values()}
    assert len(numbers) == len(people)


def identity(result: Appended) -> tuple[str, str, int]:
    return result.message.conversation_id, result.message.id, result.message.seq


async def test_a_database_that_is_away_is_an_outage_within_the_deadline() -> None:
    settings = mongo_settings(f"mongodb://127.0.0.1:{free_port()}/?directConnection=true", timeout_s=0.3)
    async with asyncio.timeout(5), MongoMessageStore.open(settings) as away:
        with pytest.raises(StoreUnavailable):
            await away.append([send(to=BOB)], at=START, repeated=False)
        with pytest.raises(StoreUnavailable):
            await away.memberships(ALICE)
        assert not await away.ping()


async def test_what_was_answered_survives_a_crash(new_mongo: Callable[[], Mongo]) -> None:
    node = new_mongo()
    node.start()
    async with MongoMessageStore.open(mongo_settings(node.url, "crash", timeout_s=1)) as store:
        await store.create_indexes()
        answered = await append(store, send("c1", to=BOB), send("c2"))
        node.kill()
        late = [send("c3"), send("c4")]
        with pytest.raises(StoreUnavailable):
            await append(store, *late)
        node.start()
        again = await append(store, *late, send("c1"), repeated=True)
        assert seqs(again) == [3, 4, 1]
        assert await all_messages(store) == [result.message for result in (*answered, *again[:2])]


async def test_what_answers_is_there(store: MessageStore) -> None:
    assert await store.ping()
