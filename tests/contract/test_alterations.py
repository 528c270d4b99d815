"""What every message store makes of edits, deletions, reactions, and changes of conversations and members."""

import msgspec
import pytest

from history.sequence import Appended
from history.store import Altered, MessageStore
from shared.commands import Alteration, DeleteScope, HistoryRule, Role, Stage
from shared.errors import Conflict, Invalid, NotAMember, NotFound, TooLarge, WarrenError
from shared.events import ConversationChange, ConversationChanged, MessageDeleted, MessageEdited, ReactionChanged
from shared.ids import ConversationId, GatewayId, MessageId
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
from tests.fakes.clock import START
from tests.fakes.history_commands import (
    ALICE,
    BOB,
    CHANNEL,
    DIRECT,
    EVE,
    GROUP,
    SPACE,
    acknowledge,
    add,
    create_channel,
    create_group,
    create_space,
    delete,
    done,
    edit,
    react,
    remove,
    rename,
    send,
)

store = message_stores.store


# --- how conversations begin


async def test_a_groups_log_begins_with_its_creation(store: MessageStore) -> None:
    (made,) = await store.create([create_group()], at=START)
    entry = done(made).entry
    assert isinstance(entry, ConversationChanged)
    assert (entry.version, entry.at, entry.previous_at, entry.audience) == (1, START, None, (ALICE, BOB, EVE))
    assert (entry.change, entry.actor_id) == (ConversationChange.CREATED, ALICE)
    state = entry.conversation
    assert (state.name, state.history, state.members_version) == ("A group", HistoryRule.JOINED, 1)
    assert (state.member_ids, state.member_count) == ((ALICE, BOB, EVE), 3)
    (again,) = await store.create([create_group()], at=START + SECOND)
    assert (done(again).created, done(again).entry) == (False, entry)
    (first,) = await append(store, send("c1", room=GROUP))
    assert (first.message.seq, first.message.version, first.previous_at) == (1, 2, START)
    assert await versions(store) == [1, 2]


async def test_a_channel_is_in_a_space_of_its_creators(store: MessageStore) -> None:
    results = await store.create([create_channel(parent=SPACE)], at=START)
    assert isinstance(results[0], NotFound)
    await store.create([create_space([ALICE, BOB]), create_group()], at=START)
    commands = [create_channel([EVE], creator=EVE, parent=SPACE), create_channel(parent=GROUP)]
    for command, error in zip(commands, (NotAMember, Invalid), strict=True):
        assert isinstance((await store.create([command], at=START))[0], error)
    done((await store.create([create_channel(parent=SPACE)], at=START))[0])
    assert (await record(store, CHANNEL)).parent_id == SPACE


async def test_a_space_has_no_messages(store: MessageStore) -> None:
    await store.create([create_space()], at=START)
    (result,) = await store.append([send("c1", room=SPACE)], at=START, repeated=False)
    assert isinstance(result, Invalid)
    assert await versions(store, SPACE) == [1]


async def test_replies_and_mentions_stay_within_the_conversation(store: MessageStore) -> None:
    await group(store)
    await append(store, send("c1", to=BOB, message_id="elsewhere"))
    base = send("c2", room=GROUP, message_id="m-2")
    batch = [
        msgspec.structs.replace(base, reply_to=M1, mentions=(BOB,)),
        msgspec.structs.replace(send("c3", room=GROUP), reply_to="m-2"),
        msgspec.structs.replace(send("c4", room=GROUP), reply_to="elsewhere"),
        msgspec.structs.replace(send("c5", room=GROUP), mentions=(CAROL,)),
    ]
    results = await store.append(batch, at=START, repeated=False)
    assert [type(result) for result in results] == [Appended, Appended, Invalid, Invalid]


# --- messages


async def test_an_edit_takes_the_next_version_and_keeps_what_was_said(store: MessageStore) -> None:
    await group(store)
    before = (await logged(store)).message
    entry = await changed(store, msgspec.structs.replace(edit(M1, "new"), mentions=(BOB,)))
    assert isinstance(entry, MessageEdited)
    assert (entry.version, entry.at, entry.previous_at) == (3, START + SECOND, START)
    assert (entry.audience, entry.hidden_from) == ((ALICE, BOB, EVE), ())
    now = await logged(store)
    assert now.message == entry.message
    assert (now.message.content, now.message.mentions, now.message.seq) == ("new", (BOB,), 1)
    assert (now.message.version, now.version, now.message.edited_at) == (3, 2, entry.at)
    assert [(each.version, each.content, each.mentions) for each in now.edits] == [(3, before.content, ())]
    (again,) = await store.append([send("c1", room=GROUP)], at=START, repeated=True)
    assert done(again).message.version == 2
    (next_one,) = await append(store, send("c2", room=GROUP))
    assert (next_one.message.seq, next_one.message.version) == (2, 4)


async def test_a_message_deleted_for_everyone_leaves_its_place(store: MessageStore) -> None:
    await group(store)
    await alter(store, react(M1))
    await alter(store, edit(M1, "new"))
    entry = await changed(store, delete(M1))
    assert isinstance(entry, MessageDeleted)
    now = await logged(store)
    assert now.message == entry.message
    assert (now.message.seq, now.message.content, now.message.reactions, now.edits) == (1, "", {}, ())
    assert (now.message.deleted_at, now.message.version, entry.only_for) == (START + SECOND, 5, None)


async def test_a_message_deleted_for_oneself_is_as_it_was_for_others(store: MessageStore) -> None:
    await group(store)
    before = (await logged(store)).message
    entry = await changed(store, delete(M1, DeleteScope.ME, by=BOB))
    assert isinstance(entry, MessageDeleted)
    assert (entry.only_for, entry.message.content, entry.version) == (BOB, "", 3)
    assert [entry.is_shown_to(user) for user in (ALICE, BOB)] == [False, True]
    now = await logged(store)
    assert now.message == before
    assert [(each.user_id, each.version) for each in now.hidings] == [(BOB, 3)]
    assert (await changed(store, edit(M1, "new"))).hidden_from == (BOB,)
    assert isinstance(await store.alter(react(M1, by=BOB), at=START), NotFound)


async def test_reactions_come_and_go(store: MessageStore) -> None:
    await group(store)
    entry = await changed(store, react(M1, "👍", by=BOB))
    assert isinstance(entry, ReactionChanged)
    assert (entry.message_id, entry.seq, entry.user_id, entry.emoji, entry.removed) == (M1, 1, BOB, "👍", False)
    await alter(store, react(M1, "👍", by=EVE))
    await alter(store, react(M1, "a.b$", by=EVE))
    assert (await logged(store)).message.reactions == {"👍": (BOB, EVE), "a.b$": (EVE,)}
    gone = await changed(store, react(M1, "👍", by=BOB, removed=True))
    assert isinstance(gone, ReactionChanged)
    assert gone.removed
    await alter(store, react(M1, "a.b$", by=EVE, removed=True))
    now = await logged(store)
    assert (now.message.reactions, now.message.version) == ({"👍": (EVE,)}, 7)


async def test_a_message_has_at_most_fifty_different_reactions(store: MessageStore) -> None:
    await group(store)
    for n in range(50):
        await alter(store, react(M1, f"e{n}"))
    assert isinstance(await store.alter(react(M1, "e50"), at=START), TooLarge)
    await alter(store, react(M1, "e0", by=EVE))


# --- conversations and members


async def test_a_conversation_is_renamed(store: MessageStore) -> None:
    await group(store)
    entry = await changed(store, rename("New"))
    assert isinstance(entry, ConversationChanged)
    assert (entry.change, entry.conversation.name, entry.version) == (ConversationChange.UPDATED, "New", 3)
    metadata = msgspec.Raw(b'{"a":{"$b":1}}')
    rules = msgspec.structs.replace(rename("New"), metadata=metadata, history=HistoryRule.FULL)
    await alter(store, rules)
    now = await record(store)
    assert (now.name, bytes(now.metadata), now.history) == ("New", bytes(metadata), HistoryRule.FULL)
    assert now.members_version == 1


@pytest.mark.parametrize(("rule", "window"), [(HistoryRule.JOINED, (3, 2)), (HistoryRule.FULL, (0, 1))])
async def test_a_new_members_window_is_as_the_rule_says(
    store: MessageStore, rule: HistoryRule, window: tuple[int, int]
) -> None:
    await group(store, rule)
    await alter(store, rename("New"))
    entry = await changed(store, add(CAROL))
    assert isinstance(entry, ConversationChanged)
    assert (entry.change, entry.user_ids, entry.role) == (ConversationChange.MEMBER_ADDED, (CAROL,), Role.MEMBER)
    assert (entry.audience, entry.conversation.members_version) == ((ALICE, BOB, CAROL, EVE), 4)
    seat = (await store.memberships(CAROL))[GROUP]
    assert (seat.since_version, seat.first_seq) == window
    (next_one,) = await append(store, send("c2", room=GROUP, sender=CAROL))
    assert next_one.audience == (ALICE, BOB, CAROL, EVE)
    hidden = (CAROL,) if rule is HistoryRule.JOINED else ()
    assert (await changed(store, edit(M1, "new"))).hidden_from == hidden
    assert (await changed(store, react(M1))).hidden_from == hidden


async def test_one_entry_adds_and_promotes(store: MessageStore) -> None:
    await group(store)
    entry = await changed(store, add(BOB, CAROL, role=Role.ADMIN))
    assert isinstance(entry, ConversationChanged)
    assert (entry.change, entry.user_ids) == (ConversationChange.MEMBER_ADDED, (BOB, CAROL))
    assert [(await store.memberships(user))[GROUP].role for user in (BOB, CAROL)] == ["admin", "admin"]
    entry = await changed(store, add(BOB, role=Role.MEMBER))
    assert isinstance(entry, ConversationChanged)
    assert (entry.change, entry.conversation.members_version) == (ConversationChange.ROLE_CHANGED, 3)


async def test_a_removed_member_learns_it_and_is_shut_out(store: MessageStore) -> None:
    await group(store)
    await store.advance([acknowledge(1, room=GROUP)], at=START)
    entry = await changed(store, remove(BOB))
    assert isinstance(entry, ConversationChanged)
    assert (entry.change, entry.user_ids) == (ConversationChange.MEMBER_REMOVED, (BOB,))
    assert (entry.audience, entry.conversation.member_ids) == ((ALICE, BOB, EVE), (ALICE, EVE))
    seat = (await store.memberships(BOB))[GROUP]
    assert (seat.left_version, seat.left_seq, seat.left_at) == (3, 1, START + SECOND)
    (sent,) = await store.append([send("c1", room=GROUP, sender=BOB)], at=START, repeated=False)
    acked = await store.advance([acknowledge(1, room=GROUP)], at=START)
    reacted = await store.alter(react(M1, by=BOB), at=START)
    assert [type(each) for each in (sent, acked[GROUP, BOB], reacted)] == [NotAMember] * 3
    assert (await append(store, send("c2", room=GROUP)))[0].audience == (ALICE, EVE)


async def test_who_comes_back_has_a_new_window_and_their_watermark(store: MessageStore) -> None:
    await group(store)
    await store.advance([acknowledge(1, room=GROUP)], at=START)
    await alter(store, remove(BOB))
    await append(store, send("c2", room=GROUP))
    await alter(store, add(BOB))
    seat = (await store.memberships(BOB))[GROUP]
    assert (seat.present, seat.left_seq, seat.left_at) == (True, None, None)
    assert (seat.since_version, seat.first_seq, seat.watermark.read_seq) == (4, 3, 1)
    assert (await record(store)).member_ids == (ALICE, BOB, EVE)


async def test_an_acknowledgement_of_what_one_may_not_read_moves_nothing(store: MessageStore) -> None:
    await group(store)
    await alter(store, add(CAROL))
    await append(store, send("c2", room=GROUP))
    for seq, moved in ((1, 0), (2, 2)):
        results = await store.advance([acknowledge(seq, room=GROUP, user=CAROL)], at=START)
        assert done(results[GROUP, CAROL]).watermark.read_seq == moved


async def test_the_last_owner_leaves_only_when_alone(store: MessageStore) -> None:
    await group(store)
    assert isinstance(await store.alter(remove(ALICE), at=START), Conflict)
    assert isinstance(await store.alter(add(ALICE, role=Role.MEMBER), at=START), Conflict)
    await alter(store, add(BOB, role=Role.OWNER))
    await alter(store, remove(ALICE))
    await alter(store, remove(EVE, by=BOB))
    await alter(store, remove(BOB, by=BOB))
    assert ((await record(store)).member_ids, await versions(store)) == ((), [1, 2, 3, 4, 5, 6])


async def test_members_of_the_space_may_join_its_open_channel(store: MessageStore) -> None:
    await store.create([create_space([ALICE, BOB])], at=START)
    await store.create([create_channel(parent=SPACE)], at=START)
    await alter(store, add(BOB, by=BOB, room=CHANNEL))
    assert isinstance(await store.alter(add(EVE, by=EVE, room=CHANNEL), at=START), NotAMember)
    assert isinstance(await store.alter(add(EVE, by=BOB, room=CHANNEL), at=START), NotAMember)


async def test_the_channels_of_who_has_left_the_space_are_named(store: MessageStore) -> None:
    await store.create([create_space([ALICE, BOB])], at=START)
    await store.create([create_channel([ALICE, BOB], parent=SPACE)], at=START)
    assert await store.channels_left_over(SPACE, BOB) == []
    await alter(store, remove(BOB, room=SPACE))
    assert await store.channels_left_over(SPACE, BOB) == [CHANNEL]
    await alter(store, remove(BOB, by=BOB, room=CHANNEL))
    assert await store.channels_left_over(SPACE, BOB) == []


# --- repeats, and what is so already


@pytest.mark.parametrize("command", every_alteration(), ids=lambda command: type(command).__name__)
async def test_a_repeated_change_gives_its_entry_again(store: MessageStore, command: Alteration) -> None:
    await group(store)
    first = await alter(store, command)
    await append(store, send("c2", room=GROUP))
    again = await alter(store, command)
    assert (again.entry, again.version, again.repeat) == (first.entry, 3, True)
    assert await versions(store) == [1, 2, 3, 4]


@pytest.mark.parametrize("command", every_alteration(), ids=lambda command: type(command).__name__)
async def test_what_is_so_already_takes_no_version(store: MessageStore, command: Alteration) -> None:
    await group(store)
    await alter(store, command)
    same = msgspec.structs.replace(command, change_id="another")
    assert await alter(store, same) == Altered(None, 3)
    assert await versions(store) == [1, 2, 3]


async def test_what_is_refused_takes_no_version(store: MessageStore) -> None:
    await group(store)
    await append(store, send("c1", to=BOB, message_id="elsewhere"))
    refused: list[tuple[Alteration, str]] = [
        (edit(M1, by=BOB), "forbidden"),
        (edit("elsewhere"), "not_found"),
        (edit(M1, by=CAROL), "not_a_member"),
        (rename("x", room=ConversationId("none")), "not_found"),
        (rename("x", room=ConversationId("none"), by=None), "not_found"),
        (rename("x", room=DIRECT), "invalid"),
        (msgspec.structs.replace(edit(M1), change_id=M1), "conflict"),
    ]
    for command, code in refused:
        result = await store.alter(command, at=START)
        assert isinstance(result, WarrenError)
        assert result.code == code
    assert await versions(store) == [1, 2]


async def test_time_never_runs_backwards_in_a_log(store: MessageStore) -> None:
    await group(store)
    await alter(store, rename("New"))
    late = done(await store.alter(rename("Newer"), at=START)).entry
    assert late is not None
    assert (late.at, late.previous_at) == (START + SECOND, START + SECOND)


# --- what is kept of how messages went


async def test_it_keeps_who_took_a_message_and_how_it_came_on(store: MessageStore) -> None:
    await group(store)
    command, gateway = send("c2", room=GROUP, message_id="m-2"), GatewayId("gw-1")
    await store.append([command], at=START, repeated=False, via={command.message_id: gateway})
    assert (await logged(store, MessageId("m-2"))).via == gateway
    pushed = msgspec.structs.replace(acknowledge(1, Stage.DELIVERED, room=GROUP), pushed_at=START, gateway_id=gateway)
    await store.advance([pushed], at=START + SECOND)
    await store.advance([acknowledge(2, room=GROUP)], at=START + 2 * SECOND)
    trail = next(each for each in await store.trails(GROUP, 10) if each.membership.user_id == BOB)
    assert [(step.seq, step.at, step.pushed_at, step.gateway_id) for step in trail.delivered] == [
        (1, START + SECOND, START, gateway),
        (2, START + 2 * SECOND, None, None),
    ]
    assert [(step.seq, step.at) for step in trail.read] == [(2, START + 2 * SECOND)]
