"""What every message store reads back: the fake one of the tests, and the one on MongoDB."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from pydantic import SecretStr

from history.mongo.store import MongoMessageStore
from history.reading import ChangeKind, Logged, LoggedChange
from history.sequence import Appended
from history.store import MessageStore
from shared.commands import (
    Alteration,
    ChangeConversation,
    ConversationKind,
    CreateConversation,
    DeleteMessage,
    DeleteScope,
    EditMessage,
    HistoryRule,
    JoinRule,
    RemoveMember,
    Role,
    SendMessage,
    SetMembers,
    SetReaction,
    Stage,
)
from shared.ids import ConversationId, GatewayId, MessageId, UserId, direct_conversation_id
from shared.settings import MongoSettings
from tests.fakes.clock import START
from tests.fakes.history_commands import ALICE, BOB, DIRECT, EVE, GROUP, acknowledge, create_group, done, send
from tests.fakes.history_store import FakeMessageStore

SECOND = timedelta(seconds=1)
NONE = ConversationId("none")
SPACE, CHANNEL = ConversationId("space"), ConversationId("channel")


@pytest.fixture(params=["fake", "mongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[MessageStore]:
    if request.param == "fake":
        yield FakeMessageStore()
        return
    url, database = request.getfixturevalue("mongo_url"), request.getfixturevalue("mongo_database")
    async with MongoMessageStore.open(MongoSettings(mongo_url=SecretStr(url), mongo_database=database)) as opened:
        await opened.create_indexes()
        yield opened


async def append(store: MessageStore, *commands: SendMessage, second: int = 0) -> list[Appended]:
    results = await store.append(commands, at=START + second * SECOND, repeated=False)
    return [done(result) for result in results]


async def alter(store: MessageStore, command: Alteration, second: int = 0) -> None:
    done(await store.alter(command, at=START + second * SECOND))


def edit(message_id: str, content: str, change: str = "e1") -> EditMessage:
    return EditMessage(
        change_id=MessageId(change),
        conversation_id=DIRECT,
        actor_id=ALICE,
        message_id=MessageId(message_id),
        content=content,
    )


def delete(message_id: str, scope: DeleteScope, actor: UserId = ALICE, change: str = "d1") -> DeleteMessage:
    return DeleteMessage(
        change_id=MessageId(change),
        conversation_id=DIRECT,
        actor_id=actor,
        message_id=MessageId(message_id),
        scope=scope,
    )


def react(message_id: str, change: str = "r1", *, removed: bool = False) -> SetReaction:
    return SetReaction(
        change_id=MessageId(change),
        conversation_id=DIRECT,
        actor_id=BOB,
        message_id=MessageId(message_id),
        emoji="👍",
        removed=removed,
    )


def add(user: UserId, change: str = "a1", room: ConversationId = GROUP) -> SetMembers:
    return SetMembers(
        change_id=MessageId(change), conversation_id=room, actor_id=ALICE, user_ids=(user,), role=Role.ADMIN
    )


def remove(user: UserId, change: str = "l1", room: ConversationId = GROUP) -> RemoveMember:
    return RemoveMember(change_id=MessageId(change), conversation_id=room, actor_id=ALICE, user_id=user)


# --- messages


async def seqs(
    store: MessageStore, *, before: int | None = None, after: int = 0, limit: int = 3, newest: bool = False
) -> list[int]:
    found = await store.messages(DIRECT, before=before, after=after, limit=limit, newest=newest)
    return [logged.message.seq for logged in found]


async def test_pages_are_in_seq_order(store: MessageStore) -> None:
    await append(store, send("c0", to=BOB), *(send(f"c{n}") for n in range(1, 9)))
    assert await seqs(store, newest=True) == [7, 8, 9]
    assert await seqs(store, before=7, newest=True) == [4, 5, 6]
    assert await seqs(store, before=3, newest=True) == [1, 2]
    assert await seqs(store, after=0) == [1, 2, 3]
    assert await seqs(store, after=8) == [9]
    assert await seqs(store, before=6, after=3, limit=9) == [4, 5]
    assert await seqs(store, before=2, after=6) == await seqs(store, before=-5) == []
    assert await seqs(store, after=-5, limit=1) == [1]


async def test_pages_hold_messages_alone_and_as_they_are_now(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB, message_id="m1"), send("c2", message_id="m2"), send("c3", message_id="m3"))
    await alter(store, edit("m1", "new"), 1)
    await alter(store, react("m1"), 2)
    await alter(store, delete("m2", DeleteScope.EVERYONE), 3)
    await alter(store, delete("m3", DeleteScope.ME, BOB, "d2"), 4)
    one, two, three = await store.messages(DIRECT, before=None, after=0, limit=9, newest=True)
    assert (one.message.content, one.message.edited_at, one.message.reactions) == (
        "new",
        START + SECOND,
        {"👍": (BOB,)},
    )
    assert (one.version, one.message.version) == (1, 5)
    assert (two.message.content, two.message.deleted_at) == ("", START + 3 * SECOND)
    assert [(each.user_id, each.version, each.at) for each in three.hidings] == [(BOB, 7, START + 4 * SECOND)]
    assert (three.message.content, three.message.deleted_at) == ("hi", None)


async def test_messages_are_found_by_their_ids_and_changes_are_not(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB, message_id="m1", content="old"), send("c1", to=EVE, message_id="m2"))
    await alter(store, edit("m1", "new"), 1)
    found = await store.messages_by_id([MessageId(each) for each in ("m1", "m2", "e1", "m3")])
    assert {each: logged.message.content for each, logged in found.items()} == {"m1": "new", "m2": "hi"}
    assert [(each.content, each.version, each.at) for each in found[MessageId("m1")].edits] == [
        ("old", 2, START + SECOND)
    ]


async def test_the_gateway_that_took_a_message_is_known(store: MessageStore) -> None:
    gateway = GatewayId("g1")
    await store.append([send(to=BOB, message_id="m1")], at=START, repeated=False, via={MessageId("m1"): gateway})
    assert (await store.messages_by_id([MessageId("m1")]))[MessageId("m1")].via == gateway


async def test_ten_thousand_conversations_are_counted(store: MessageStore) -> None:
    senders = [UserId(f"u{n}") for n in range(10_000)]
    await append(store, *(send(sender=sender, to=BOB) for sender in senders))
    unread = await store.unread(BOB, {direct_conversation_id(sender, BOB): 0 for sender in senders})
    assert list(unread.values()) == [1] * len(senders)


async def test_own_deleted_and_hidden_messages_are_never_unread(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB, message_id="m1"), send("c2", message_id="m2"), send("c1", sender=BOB))
    await append(store, send("c3", message_id="m4"), send("c4", message_id="m5"), send("c1", to=EVE))
    other = direct_conversation_id(ALICE, EVE)
    assert await store.unread(BOB, {DIRECT: 0}) == {DIRECT: 4}
    assert await store.unread(BOB, {DIRECT: 2}) == {DIRECT: 2}
    assert await store.unread(EVE, {other: 0}) == {other: 1}
    assert await store.unread(ALICE, {DIRECT: 0, other: 0}) == {DIRECT: 1}
    assert await store.unread(BOB, {}) == {}
    await alter(store, react("m5"))
    await alter(store, delete("m1", DeleteScope.EVERYONE))
    await alter(store, delete("m2", DeleteScope.ME, BOB, "d2"))
    await alter(store, delete("m4", DeleteScope.ME, ALICE, "d3"))
    assert await store.unread(BOB, {DIRECT: 0}) == {DIRECT: 2}


# --- the log


def told(entries: Sequence[Logged]) -> list[tuple[int, str]]:
    return [
        (entry.version, entry.kind.value if isinstance(entry, LoggedChange) else entry.message.content)
        for entry in entries
    ]


async def entries(
    store: MessageStore,
    after: int = 0,
    floor: int = -1,
    until: int | None = None,
    limit: int = 99,
    *,
    newest: bool = True,
) -> list[tuple[int, str]]:
    floor_at = START + floor * SECOND
    return told(await store.entries(DIRECT, after=after, floor=floor_at, until=until, limit=limit, newest=newest))


async def test_entries_are_the_newest_after_a_version_and_a_time_up_to_another(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB, message_id="m1", content="one"))
    await append(store, send("c2", content="two"), second=1)
    await alter(store, react("m1"), 2)
    await append(store, send("c3", content="three"), second=3)
    log = [(1, "one"), (2, "two"), (3, "reaction"), (4, "three")]
    assert await entries(store) == log
    assert await entries(store, after=2) == log[2:]
    assert await entries(store, limit=2) == log[2:]
    assert await entries(store, floor=1) == log[2:]
    assert await entries(store, after=3, floor=1) == await entries(store, after=1, floor=2) == log[3:]
    assert await entries(store, floor=3) == await entries(store, after=4) == []
    assert await entries(store, until=3) == log[:3]
    assert await entries(store, until=3, limit=1) == log[2:3]
    assert await entries(store, limit=2, newest=False) == log[:2]
    assert await entries(store, after=1, until=3, limit=1, newest=False) == log[1:2]
    assert await entries(store, after=1, floor=1, limit=1, newest=False) == log[2:3]
    assert await entries(store, floor=3, newest=False) == []


async def test_an_entry_that_is_a_change_says_everything_of_it(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB, message_id="m1"), send("c2"))
    await alter(store, react("m1"), 1)
    await alter(store, react("m1", "r2", removed=True), 2)
    *_, on, off = await store.entries(DIRECT, after=0, floor=START - SECOND, until=None, limit=9)
    expected = LoggedChange(
        id=MessageId("r1"),
        conversation_id=DIRECT,
        version=3,
        after_seq=2,
        kind=ChangeKind.REACTION,
        at=START + SECOND,
        previous_at=START,
        actor_id=BOB,
        message_id=MessageId("m1"),
        message_seq=1,
        emoji="👍",
    )
    assert on == expected
    assert off == replace(
        expected,
        id=MessageId("r2"),
        version=4,
        at=START + 2 * SECOND,
        previous_at=START + SECOND,
        removed=True,
    )


async def test_what_was_said_before_is_there_for_those_who_left(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB, message_id="m1", content="old"))
    await alter(store, edit("m1", "new"), 1)
    [message] = await store.entries(DIRECT, after=0, floor=START - SECOND, until=1, limit=9)
    assert not isinstance(message, LoggedChange)
    assert [(each.version, each.content) for each in message.edits] == [(2, "old")]


async def test_tips_and_ends_show_the_end_of_each_log(store: MessageStore) -> None:
    await store.create([create_group()], at=START)
    await append(store, send("c1", to=BOB), send("c2", message_id="m2"), send("c1", to=EVE))
    await alter(store, react("m2"), 1)
    other = direct_conversation_id(ALICE, EVE)
    rooms = [DIRECT, GROUP, other, NONE]
    tips = await store.tips(rooms)
    assert {room: (tip.seq, tip.version, tip.at) for room, tip in tips.items()} == {
        DIRECT: (2, 3, START + SECOND),
        GROUP: (0, 1, START),
        other: (1, 1, START),
    }
    ends = await store.ends(rooms)
    assert {room: end.tip for room, end in ends.items()} == tips
    last = {room: end.last_message.message.seq for room, end in ends.items() if end.last_message}
    assert last == {DIRECT: 2, other: 1}


# --- members


async def test_who_has_left_is_no_member_but_keeps_a_place(store: MessageStore) -> None:
    await store.create([create_group()], at=START)
    await append(store, send("c1", room=GROUP))
    await alter(store, remove(BOB), 1)
    assert await store.windows(GROUP) == {ALICE: 0, EVE: 0}
    assert [each.user_id for each in await store.members_after(GROUP, None, 9)] == [ALICE, EVE]
    assert [mark.user_id for mark in (await store.watermarks([GROUP]))[GROUP]] == [ALICE, EVE]
    assert [trail.membership.user_id for trail in await store.trails(GROUP, 9)] == [ALICE, EVE]
    left = (await store.memberships(BOB))[GROUP]
    assert (left.present, left.left_version, left.left_seq, left.left_at) == (False, 3, 1, START + SECOND)
    assert await store.memberships_in(BOB, [GROUP, DIRECT]) == {GROUP: left}


async def test_who_comes_back_has_a_new_window(store: MessageStore) -> None:
    await store.create([create_group()], at=START)
    await append(store, send("c1", room=GROUP))
    await alter(store, remove(BOB), 1)
    await append(store, send("c2", room=GROUP), second=2)
    await alter(store, add(BOB), 3)
    back = (await store.memberships(BOB))[GROUP]
    assert (back.present, back.since_version, back.first_seq) == (True, 4, 3)
    assert (back.joined_at, back.role) == (START + 3 * SECOND, Role.ADMIN)
    assert await store.windows(GROUP) == {ALICE: 0, BOB: 4, EVE: 0}


async def test_members_come_by_user_id_after_another(store: MessageStore) -> None:
    users = [UserId(each) for each in ("a", "a.b", "a0", "aa", "b", "z", ALICE)]
    await store.create([create_group(users), create_group([ALICE], room=ConversationId(f"{GROUP}0"))], at=START)
    assert [each.user_id for each in await store.members_after(GROUP, None, 99)] == sorted(users)
    assert [each.user_id for each in await store.members_after(GROUP, UserId("a0"), 2)] == ["aa", ALICE]
    assert await store.members_after(GROUP, UserId("z"), 2) == []
    assert [trail.membership.user_id for trail in await store.trails(GROUP, 2)] == ["a", "a.b"]


async def test_a_trail_tells_how_a_watermark_moved(store: MessageStore) -> None:
    await append(store, send("c1", to=BOB), send("c2"), send("c3"))
    pushed = msgspec.structs.replace(acknowledge(2, Stage.DELIVERED), pushed_at=START, gateway_id=GatewayId("g1"))
    await store.advance([pushed], at=START + SECOND)
    await store.advance([acknowledge(3)], at=START + 2 * SECOND)
    alice, bob = await store.trails(DIRECT, 9)
    assert (alice.delivered, alice.read, alice.whole_delivered, alice.whole_read) == ((), (), True, True)
    assert [(step.seq, step.at, step.gateway_id, step.pushed_at) for step in bob.delivered] == [
        (2, START + SECOND, "g1", START),
        (3, START + 2 * SECOND, None, None),
    ]
    assert [(step.stage, step.seq, step.at) for step in bob.read] == [(Stage.READ, 3, START + 2 * SECOND)]
    assert (bob.whole_delivered, bob.whole_read) == (True, True)


async def test_a_long_trail_keeps_its_end_and_says_so(store: MessageStore) -> None:
    await append(store, *(send(f"c{n}", to=BOB) for n in range(120)))
    for n in range(1, 121):
        await store.advance([acknowledge(n, Stage.DELIVERED)], at=START)
    _, bob = await store.trails(DIRECT, 9)
    assert (bob.delivered[0].seq, bob.delivered[-1].seq, bob.whole_delivered, bob.whole_read) == (21, 120, False, True)


# --- conversations


def channel(room: ConversationId, *, join: JoinRule | None = None) -> CreateConversation:
    return CreateConversation(
        conversation_id=room,
        kind=ConversationKind.CHANNEL,
        creator_id=ALICE,
        member_ids=(ALICE, BOB),
        name="Lobby",
        metadata=msgspec.Raw(b'{"$a":[1]}'),
        parent_id=SPACE,
        join=join,
    )


async def test_a_conversation_is_found_by_its_number_and_by_its_space(store: MessageStore) -> None:
    space = msgspec.structs.replace(create_group(room=SPACE), kind=ConversationKind.SPACE)
    await store.create([create_group(), space], at=START)
    await store.create([channel(CHANNEL)], at=START)
    record = (await store.records([CHANNEL, NONE]))[CHANNEL]
    assert (record.parent_id, record.history, record.join) == (SPACE, HistoryRule.FULL, JoinRule.OPEN)
    assert (record.name, bytes(record.metadata), record.member_ids) == ("Lobby", b'{"$a":[1]}', (ALICE, BOB))
    assert (record.member_count, record.members_version, record.created_at) == (2, 1, START)
    assert await store.numbered(record.number) == record
    assert await store.numbered(99) is None
    assert await store.channels(SPACE) == [record]
    assert await store.channels(GROUP) == []


async def test_a_conversation_is_read_as_it_is_now(store: MessageStore) -> None:
    await store.create([create_group()], at=START)
    await alter(
        store,
        ChangeConversation(
            change_id=MessageId("u1"), conversation_id=GROUP, actor_id=ALICE, name="New", join=JoinRule.OPEN
        ),
    )
    await alter(store, remove(BOB))
    record = (await store.records([GROUP]))[GROUP]
    assert (record.name, record.join, record.member_ids) == ("New", JoinRule.OPEN, (ALICE, EVE))
    assert (record.member_count, record.members_version) == (2, 3)


async def test_a_large_room_names_no_members(store: MessageStore) -> None:
    users = [ALICE, *(UserId(f"u{n:04}") for n in range(600))]
    await store.create([create_group(users)], at=START)
    record = (await store.records([GROUP]))[GROUP]
    assert (record.member_ids, record.member_count) == (None, 601)
    assert len(await store.windows(GROUP)) == 601
    assert [each.user_id for each in await store.members_after(GROUP, UserId("u0597"), 9)] == ["u0598", "u0599"]
