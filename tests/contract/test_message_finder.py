"""What every message store finds: the fake one of the tests, and the one on MongoDB."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from history.reading import Wanted
from history.store import MessageStore
from shared.commands import ConversationKind, CreateConversation, DeleteMessage, DeleteScope, EditMessage, JoinRule
from shared.ids import ConversationId, MessageId, UserId, direct_conversation_id
from tests.contract import message_stores
from tests.fakes.clock import START
from tests.fakes.history_commands import ALICE, BOB, DIRECT, EVE, GROUP, create_group, done, send

SECOND = timedelta(seconds=1)
OTHER = direct_conversation_id(ALICE, EVE)
SPACE = ConversationId("space")

store = message_stores.store


async def say(
    store: MessageStore, *contents: str, to: UserId | None = BOB, mentions: Sequence[UserId] = (), second: int = 0
) -> None:
    """Store messages, a second after each other, of which the ids are what they say."""
    for n, content in enumerate(contents):
        room = GROUP if to is None else DIRECT
        command = send(content, to=to, room=room, content=content, message_id=content, mentions=tuple(mentions))
        done((await store.append([command], at=START + (second + n) * SECOND, repeated=False))[0])


async def found(store: MessageStore, wanted: Wanted, after: Mapping[ConversationId, int]) -> list[str]:
    return [logged.message.content for logged in await store.found(wanted, after)]


async def mentions(store: MessageStore, wanted: Wanted, after: Mapping[ConversationId, int]) -> list[str]:
    return [logged.message.content for logged in await store.mentions(wanted, after)]


async def create(
    store: MessageStore,
    conversation_id: str,
    *members: UserId,
    name: str | None = None,
    parent: ConversationId | None = None,
    join: JoinRule | None = None,
    kind: ConversationKind = ConversationKind.CHANNEL,
) -> None:
    command = CreateConversation(
        conversation_id=ConversationId(conversation_id),
        kind=kind,
        creator_id=members[0],
        member_ids=members,
        name=name,
        parent_id=parent,
        join=join,
    )
    done((await store.create([command], at=START))[0])


# --- messages


@pytest.mark.parametrize("text", ["über", "ÜBER", "a.b", "A.B (c", "1^2$"])
async def test_a_text_is_found_as_it_is_without_regard_to_case(store: MessageStore, text: str) -> None:
    await say(store, "Das Übermaß: a.B (C) 1^2$", "nothing", "aXb")
    assert await found(store, Wanted(BOB, text=text), {DIRECT: 0}) == ["Das Übermaß: a.B (C) 1^2$"]


@pytest.mark.parametrize("text", [".*", "^", "a|b", "\0", "n\0x", "\\d"])
async def test_a_text_is_no_pattern(store: MessageStore, text: str) -> None:
    await say(store, "nothing 1")
    assert await found(store, Wanted(BOB, text=text), {DIRECT: 0}) == []
    assert await mentions(store, Wanted(BOB, text=text), {DIRECT: 0}) == []


async def test_the_newest_are_found_in_one_conversation_and_in_many(store: MessageStore) -> None:
    await say(store, "hi 0", "hi 2", "hi 4")
    await say(store, "hi 6", "hi 7", to=EVE, second=6)
    wanted = Wanted(ALICE, text="hi", limit=2)
    assert await found(store, wanted, {DIRECT: 0}) == ["hi 4", "hi 2"]
    assert await found(store, Wanted(ALICE, text="hi", limit=3), {DIRECT: 0, OTHER: 0}) == ["hi 7", "hi 6", "hi 4"]
    assert await found(store, wanted, {DIRECT: 2}) == ["hi 4"]
    assert await found(store, wanted, {DIRECT: 2, OTHER: 2}) == ["hi 4"]
    assert await found(store, wanted, {}) == []
    before = Wanted(ALICE, text="hi", before=START + 2 * SECOND)
    assert await found(store, before, {DIRECT: 0, OTHER: 0}) == ["hi 2", "hi 0"]
    assert await found(store, Wanted(ALICE), {OTHER: 0}) == ["hi 7", "hi 6"]


async def test_messages_of_one_moment_are_found_in_their_order(store: MessageStore) -> None:
    commands = [send("c0", to=BOB, content="hi 0"), *(send(f"c{n}", content=f"hi {n}") for n in range(1, 4))]
    await store.append(commands, at=START, repeated=False)
    await store.append([send("c0", to=EVE, content="hello")], at=START - SECOND, repeated=False)
    wanted = Wanted(ALICE, text="h", limit=3)
    assert await found(store, wanted, {DIRECT: 0}) == ["hi 3", "hi 2", "hi 1"]
    assert await found(store, wanted, {DIRECT: 0, OTHER: 0}) == ["hi 3", "hi 2", "hi 1"]


async def test_what_is_deleted_or_hidden_is_not_found_and_what_is_edited_is_as_it_is_now(store: MessageStore) -> None:
    await say(store, "hi gone", "hi hidden", "hi edited", "hi kept")
    for n, (content, scope, actor) in enumerate(
        (("hi gone", DeleteScope.EVERYONE, ALICE), ("hi hidden", DeleteScope.ME, BOB))
    ):
        delete = DeleteMessage(
            change_id=MessageId(f"d{n}"),
            conversation_id=DIRECT,
            actor_id=actor,
            message_id=MessageId(content),
            scope=scope,
        )
        done(await store.alter(delete, at=START + 9 * SECOND))
    edit = EditMessage(
        change_id=MessageId("e"),
        conversation_id=DIRECT,
        actor_id=ALICE,
        message_id=MessageId("hi edited"),
        content="hello",
    )
    done(await store.alter(edit, at=START + 9 * SECOND))
    assert await found(store, Wanted(BOB), {DIRECT: 0}) == ["hi kept", "hello"]
    assert await found(store, Wanted(BOB, text="hi"), {DIRECT: 0}) == ["hi kept"]
    assert await found(store, Wanted(ALICE, text="hi"), {DIRECT: 0}) == ["hi kept", "hi hidden"]
    assert await found(store, Wanted(BOB, text="hello"), {DIRECT: 0}) == ["hello"]


async def test_mentions_are_found_newest_first_where_the_user_may_see_them(store: MessageStore) -> None:
    done((await store.create([create_group()], at=START))[0])
    await say(store, "group 0", "group 1", to=None, mentions=(BOB, EVE))
    await say(store, "to nobody", to=None, second=2)
    await say(store, "direct 3", mentions=(BOB,), second=3)
    await say(store, "group 4", to=None, mentions=(EVE,), second=4)
    wanted = Wanted(BOB, mentioned=True)
    assert await mentions(store, wanted, {DIRECT: 0, GROUP: 0}) == ["direct 3", "group 1", "group 0"]
    assert await mentions(store, wanted, {DIRECT: 0, GROUP: 1}) == ["direct 3", "group 1"]
    assert await mentions(store, wanted, {GROUP: 0}) == ["group 1", "group 0"]
    assert await mentions(store, Wanted(BOB, limit=1), {GROUP: 0}) == ["group 1"]
    assert await mentions(store, Wanted(BOB, text="GROUP 0"), {GROUP: 0}) == ["group 0"]
    assert await mentions(store, Wanted(BOB, before=START + SECOND), {GROUP: 0}) == ["group 0"]
    assert await mentions(store, wanted, {}) == []


async def test_an_edit_may_mention_others(store: MessageStore) -> None:
    done((await store.create([create_group()], at=START))[0])
    await say(store, "hi", to=None, mentions=(BOB,))
    edit = EditMessage(
        change_id=MessageId("e"),
        conversation_id=GROUP,
        actor_id=ALICE,
        message_id=MessageId("hi"),
        content="hello",
        mentions=(EVE,),
    )
    done(await store.alter(edit, at=START + SECOND))
    assert await mentions(store, Wanted(BOB), {GROUP: 0}) == []
    assert await mentions(store, Wanted(EVE), {GROUP: 0}) == ["hello"]


# --- conversations


async def test_a_name_is_ones_own_conversation_or_an_open_one_the_oldest_first(store: MessageStore) -> None:
    await create(store, "secret", ALICE, name="general", join=JoinRule.INVITE)
    await create(store, "space", ALICE, name="general", kind=ConversationKind.SPACE, join=JoinRule.OPEN)
    await create(store, "lobby", ALICE, name="general", parent=SPACE)
    await create(store, "zone", ALICE, name="general")
    await create(store, "area", ALICE, name="general")
    secret, area = ConversationId("secret"), ConversationId("area")
    for inside, expected in (
        ((), "zone"),
        ((SPACE,), "lobby"),
        ((area, SPACE), "area"),
        ((area, secret), "secret"),
    ):
        named = await store.named("general", inside)
        assert named is not None
        assert named.id == expected
    for name in ("", "General", "gene"):
        assert await store.named(name, (secret, SPACE)) is None


async def test_open_channels_without_a_parent_come_by_id_after_another(store: MessageStore) -> None:
    await create(store, "space", ALICE, kind=ConversationKind.SPACE)
    await create(store, "lobby", ALICE, parent=SPACE)
    await create(store, "closed", ALICE, join=JoinRule.INVITE)
    await create(store, "group", ALICE, kind=ConversationKind.GROUP, join=JoinRule.OPEN)
    for each in ("d", "a", "c", "b"):
        await create(store, each, ALICE)
    assert [record.id for record in await store.open_channels(None, 3)] == ["a", "b", "c"]
    assert [record.id for record in await store.open_channels(ConversationId("b"), 9)] == ["c", "d"]
