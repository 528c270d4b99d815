"""The client brings every entry once and in order, whatever the server repeats, leaves out or forgets."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from client.entries import place
from client.events import (
    ConversationChanged,
    Entry,
    MessageEdited,
    MessageReceived,
    ReactionChanged,
    ReceiptAdvanced,
    Stale,
    Typing,
)
from client.wire import Stage
from tests.fakes.native_server import changes, message
from tests.fakes.pair import DEADLINE_S, Pair, event, texts


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with Pair.open() as pair:
        yield pair


async def test_repeats_are_shown_once(pair: Pair) -> None:
    for seq in (1, 2, 1, 2, 3):
        await pair.connection.push("message", **message(seq))
    assert await texts(pair.alice, 3) == [1, 2, 3]


async def test_a_gap_is_filled_by_a_sync_before_what_follows(pair: Pair) -> None:
    for seq in (1, 4, 5):
        await pair.connection.push("message", **message(seq))
    sync = await pair.connection.receive("sync")
    assert sync["data"] == {"since": "since-0", "conversations": {"c": 1}}
    await pair.connection.reply(sync, conversations=[changes(2, 3, 4)], since="since-1")
    assert await texts(pair.alice, 5) == [1, 2, 3, 4, 5]


async def test_after_a_lost_connection_a_sync_brings_what_was_missed(pair: Pair) -> None:
    await pair.connection.push("message", **message(1))
    assert await texts(pair.alice, 1) == [1]
    pair.connection.drop()
    connection, hello = await pair.server.welcome(since="ignored")
    assert hello["since"] == "since-0"
    sync = await connection.receive("sync")
    assert sync["data"] == {"since": "since-0", "conversations": {"c": 1}}
    await connection.push("message", **message(4))  # live, before the answer
    await connection.reply(sync, conversations=[changes(2)], since="since-1", has_more=True)
    sync = await connection.receive("sync")
    assert sync["data"] == {"since": "since-1", "conversations": {}}
    await connection.reply(sync, conversations=[changes(3)], since="since-2")
    assert await texts(pair.alice, 3) == [2, 3, 4]


async def test_an_answer_in_several_parts_is_asked_for_to_its_end(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(pair.alice.sync())
        for seq in (1, 2, 3):
            sync = await pair.connection.receive("sync")
            await pair.connection.reply(sync, conversations=[changes(seq)], since=f"since-{seq}", has_more=seq < 3)
    assert await texts(pair.alice, 3) == [1, 2, 3]


async def test_a_limited_answer_is_completed_from_history(pair: Pair) -> None:
    await pair.connection.push("message", **message(1))
    await pair.connection.push("lagged", conversation_id="c", from_seq=2)
    sync = await pair.connection.receive("sync")
    await pair.connection.reply(sync, conversations=[changes(6, 7, limited=True, before=6)], since="since-1")
    for after, page, has_more in ((1, [2, 3], True), (3, [4, 5, 6], True)):
        history = await pair.connection.receive("history")
        assert (history["data"]["conversation_id"], history["data"]["after"]) == ("c", after)
        await pair.connection.reply(history, messages=[message(seq) for seq in page], has_more=has_more)
    assert await texts(pair.alice, 7) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_refused_sync_is_asked_for_again(pair: Pair) -> None:
    await pair.connection.push("lagged", conversation_id="c", from_seq=2)
    await pair.connection.refuse(await pair.connection.receive("sync"), "unavailable", retry_after_ms=1)
    sync = await pair.connection.receive("sync")
    await pair.connection.reply(sync, conversations=[changes(1, 2)], since="since-1")
    assert await texts(pair.alice, 2) == [1, 2]


async def test_a_token_that_is_refused_in_a_sync_is_left_out_of_the_next(pair: Pair) -> None:
    await pair.connection.push("lagged", conversation_id="c", from_seq=1)
    await pair.connection.refuse(await pair.connection.receive("sync"), "invalid", retry_after_ms=1)
    sync = await pair.connection.receive("sync")
    assert sync["data"] == {"conversations": {}}
    await pair.connection.reply(sync, conversations=[changes(1)], since="since-1")
    assert await texts(pair.alice, 1) == [1]


async def test_sync_returns_when_everything_is_here(pair: Pair) -> None:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        syncing = tasks.create_task(pair.alice.sync())
        sync = await pair.connection.receive("sync")
        assert not syncing.done()
        await pair.connection.reply(sync, conversations=[changes(1)], since="since-1")
    assert await texts(pair.alice, 1) == [1]


async def test_receipts_and_typing_are_told(pair: Pair) -> None:
    read = {"conversation_id": "c", "user_id": "bob", "stage": "read", "seq": 3}
    await pair.connection.push("receipt", **read)
    await pair.connection.push("receipt", **read)
    await pair.connection.push("typing", conversation_id="c", user_id="bob", name="Bob", active=True)
    async with asyncio.timeout(DEADLINE_S):
        events = [await anext(pair.alice) for _ in range(3)]
    assert events[1:] == [
        ReceiptAdvanced(conversation_id="c", user_id="bob", stage=Stage.READ, seq=3),
        Typing(conversation_id="c", user_id="bob", name="Bob", active=True),
    ]


async def test_a_frame_that_cannot_be_read_or_is_unknown_harms_nothing(pair: Pair) -> None:
    await pair.connection.push("message", nonsense=True)
    await pair.connection.push("horoscope", sign="aries")
    await pair.connection.push("message", **message(1))
    assert await texts(pair.alice, 1) == [1]


async def test_messages_that_cannot_be_read_hold_up_none_of_the_others(pair: Pair) -> None:
    """Live, in a page of history and in the answer to a sync."""
    unreadable: dict[str, Any] = {"created_at": "yesterday"}
    await pair.connection.push("message", **message(1))
    await pair.connection.push("message", **message(2, **unreadable))
    await pair.connection.push("message", **message(8))
    sync = await pair.connection.receive("sync")
    answer = changes(7, 8, limited=True, before=6)
    answer["events"].insert(0, {"type": "message", "data": message(6, **unreadable)})
    await pair.connection.reply(sync, conversations=[answer], since="since-1")
    for page in ([message(2, **unreadable), message(3), message(4, **unreadable)], [message(5)]):
        await pair.connection.reply(await pair.connection.receive("history"), messages=page, has_more=True)
    assert await texts(pair.alice, 5) == [1, 3, 5, 7, 8]


async def test_an_answer_that_cannot_be_read_is_asked_for_again(pair: Pair) -> None:
    await pair.connection.push("lagged", conversation_id="c", from_seq=1)
    await pair.connection.reply(await pair.connection.receive("sync"), nonsense=True)
    sync = await pair.connection.receive("sync")
    await pair.connection.reply(sync, conversations=[changes(1)], since="since-1")
    assert await texts(pair.alice, 1) == [1]


async def test_a_welcome_that_cannot_be_read_is_followed_by_another_attempt(pair: Pair) -> None:
    pair.connection.drop()
    connection = await pair.server.connection()
    await connection.reply(await connection.receive("hello"), nonsense=True)
    connection, _ = await pair.server.welcome()
    await connection.receive("sync")


async def test_what_was_pushed_while_the_sync_ran_completes_its_answer(pair: Pair) -> None:
    await pair.connection.push("message", **message(1))
    pair.connection.drop()
    connection, _ = await pair.server.welcome()
    sync = await connection.receive("sync")
    for seq in (3, 4):
        await connection.push("message", **message(seq))
    await connection.reply(sync, conversations=[changes(2)], since="since-1")
    assert await texts(pair.alice, 4) == [1, 2, 3, 4]


async def test_a_token_that_the_server_does_not_know_is_left_out(pair: Pair) -> None:
    await pair.connection.push("message", **message(1))
    pair.connection.drop()
    connection = await pair.server.connection()
    await connection.refuse(await connection.receive("hello"), "invalid")
    connection, hello = await pair.server.welcome(since="since-9")
    assert "since" not in hello
    sync = await connection.receive("sync")
    assert sync["data"] == {"conversations": {"c": 1}}
    await connection.reply(sync, conversations=[changes(2)], since="since-10")
    assert await texts(pair.alice, 2) == [1, 2]


# --- entries that are no messages


def reaction(version: int, emoji: str = "👍", **fields: Any) -> dict[str, Any]:
    return {"message_id": "m1", "conversation_id": "c", "seq": 1, "version": version, "user_id": "bob", "emoji": emoji,
            "removed": False, "at": "2026-01-01T00:00:00.000Z", **fields}  # fmt: skip


def conversation(version: int, change: str, *users: str) -> dict[str, Any]:
    room = {"id": "c", "number": 7, "kind": "group", "name": "Team", "members": ["alice", "bob"], "member_count": 2}
    return {"conversation_id": "c", "version": version, "change": change, "actor_id": "bob", "user_ids": users,
            "role": None, "at": "2026-01-01T00:00:00.000Z", "conversation": room}  # fmt: skip


def edited(seq: int, version: int) -> dict[str, Any]:
    return message(seq, version=version, content="other", edited_at="2026-01-01T00:00:01.000Z")


def deleted(seq: int, version: int) -> dict[str, Any]:
    return message(seq, version=version, content="", deleted_at="2026-01-01T00:00:01.000Z")


async def entries(pair: Pair, count: int) -> list[tuple[str, int]]:
    """Take the next entries: what each is, and its version."""
    found: list[tuple[str, int]] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            one = await anext(pair.alice)
            if isinstance(one, Entry):
                found.append((type(one).__name__, place(one)[1]))
    return found


async def test_every_entry_of_the_log_is_told_once_and_in_order(pair: Pair) -> None:
    await pair.connection.push("conversation", **conversation(1, "created"))
    await pair.connection.push("message", **message(1, version=2))
    for _ in range(2):
        await pair.connection.push("message.updated", **edited(1, 3))
    await pair.connection.push("reaction", **reaction(4))
    await pair.connection.push("message.deleted", **deleted(1, 5))
    await pair.connection.push("reaction", **reaction(4))
    await pair.connection.push("message", **message(2, version=6))
    assert await entries(pair, 6) == [
        ("ConversationChanged", 1),
        ("MessageReceived", 2),
        ("MessageEdited", 3),
        ("ReactionChanged", 4),
        ("MessageDeleted", 5),
        ("MessageReceived", 6),
    ]


async def test_what_an_entry_says_is_told_whole(pair: Pair) -> None:
    await pair.connection.push("message", **message(1, reactions={"👍": ["bob"]}))
    await pair.connection.push("message.updated", **edited(1, 2))
    await pair.connection.push("reaction", **reaction(3, removed=True))
    await pair.connection.push("conversation", **conversation(4, "member_added", "bob"))
    assert (await event(pair.alice, MessageReceived)).message.reactions == {"👍": ("bob",)}
    assert (await event(pair.alice, MessageEdited)).message.content == "other"
    change = await event(pair.alice, ReactionChanged)
    assert (change.message_id, change.user_id, change.emoji, change.removed) == ("m1", "bob", "👍", True)
    joined = await event(pair.alice, ConversationChanged)
    assert (joined.change, joined.user_ids, joined.conversation.number) == ("member_added", ("bob",), 7)
    room = pair.alice.rooms.get("c")
    assert room is not None
    assert room.members == ("alice", "bob")


async def test_a_sync_brings_entries_of_every_type_and_leaves_out_those_unknown(pair: Pair) -> None:
    await pair.connection.push("message", **message(1))
    await pair.connection.push("message", **message(2, version=7))
    sync = await pair.connection.receive("sync")
    events = [
        {"type": "reaction", "data": reaction(2)},
        {"type": "poll", "data": {"conversation_id": "c", "version": 3}},
        {"type": "conversation", "data": conversation(4, "updated")},
        {"type": "message.updated", "data": edited(1, 5)},
        {"type": "message.deleted", "data": deleted(1, 6)},
    ]
    answer = {**changes(version=6), "events": events}
    await pair.connection.reply(sync, conversations=[answer], since="since-1")
    assert [version for _, version in await entries(pair, 6)] == [1, 2, 4, 5, 6, 7]


async def test_a_version_that_is_not_for_this_user_costs_one_sync_and_holds_up_nothing(pair: Pair) -> None:
    await pair.connection.push("message", **message(1))
    await pair.connection.push("message", **message(2, version=3))  # 2 was hidden
    await pair.connection.push("reaction", **reaction(5))  # and 4
    await pair.connection.reply(await pair.connection.receive("sync"), conversations=[], since="since-1")
    assert [version for _, version in await entries(pair, 3)] == [1, 3, 5]
    await pair.connection.push("message", **message(3, version=6))
    assert await entries(pair, 1) == [("MessageReceived", 6)]


async def test_after_a_limited_answer_what_was_had_before_is_said_to_be_stale(pair: Pair) -> None:
    await pair.connection.push("message", **message(1))
    await pair.connection.push("lagged", conversation_id="c", from_seq=2)
    sync = await pair.connection.receive("sync")
    await pair.connection.reply(sync, conversations=[changes(2, 3, limited=True, before=2)], since="since-1")
    assert await event(pair.alice, Stale) == Stale(conversation_id="c", up_to=1)
    assert await texts(pair.alice, 2) == [2, 3]


async def test_a_sync_tells_what_is_unread_and_another_device_of_ours_reads_it(pair: Pair) -> None:
    await pair.connection.push("lagged", conversation_id="c", from_seq=1)
    sync = await pair.connection.receive("sync")
    answer = changes(1, 2, 3)
    answer["conversation"] |= {"role": "member", "unread": 3, "members": ["alice", "bob"]}
    await pair.connection.reply(sync, conversations=[answer], since="since-1")
    await pair.connection.push("message", **message(4))
    assert await texts(pair.alice, 4) == [1, 2, 3, 4]
    assert pair.alice.rooms.unread("c") == 4
    await pair.connection.push("receipt", conversation_id="c", user_id="alice", stage="read", seq=3)
    await event(pair.alice, ReceiptAdvanced)
    assert pair.alice.rooms.unread("c") == 1
