"""What history tells whom: members, those who were removed, came later, or deleted a message for themselves."""

from collections.abc import Collection

import pytest
from msgspec.structs import replace

from history.paging import EPOCH, MAX_PAGE_BYTES
from history.queries import StoredHistory
from history.reading import MAX_EDITS, Tip
from shared.commands import DeleteScope, HistoryRule, Role
from shared.errors import NotAMember
from shared.events import ConversationChanged, MessageDeleted, MessageEdited, MessageStored, ReactionChanged
from shared.history_api import Changes, SyncQuery
from shared.ids import ConversationId, UserId
from shared.position import SETTLE, Position
from tests.fakes.history_commands import ALICE, BOB, EVE, GROUP, acknowledge, create_group
from tests.fakes.history_store import FakeMessageStore
from tests.fakes.history_world import GroupWorld


@pytest.fixture
async def world() -> GroupWorld:
    return await GroupWorld.made()


def told(changes: Changes) -> list[tuple[int, str]]:
    """Give the versions and what they are."""
    return [(event.version, type(event).__name__) for event in changes.events]


# --- who was removed


async def test_who_was_removed_while_away_gets_what_led_up_to_it_once(world: GroupWorld) -> None:
    _, since = await world.sync(BOB, None)
    [before] = await world.send("before")
    await world.remove(BOB)
    await world.send("after")
    await world.rename("Secret")
    ((changes,), since) = await world.sync(BOB, since)
    assert told(changes) == [(2, "MessageStored"), (3, "ConversationChanged")]
    stored, removal = changes.events
    assert isinstance(stored, MessageStored)
    assert isinstance(removal, ConversationChanged)
    assert stored.message == before
    assert (removal.change, removal.user_ids) == ("member_removed", (BOB,))
    assert (removal.conversation.name, removal.conversation.member_ids) == (None, ())
    view = changes.conversation
    assert (changes.version, view.role, view.last_seq, view.last_version) == (3, None, 1, 3)
    assert (view.name, view.member_ids, view.last_message, view.watermarks) == (None, (), None, ())
    await world.send("later")
    assert (await world.sync(BOB, since))[0] == ()
    await world.clock.advance(3600)
    assert (await world.sync(BOB, since))[0] == ()


async def test_what_was_said_then_is_not_made_up_once_it_is_forgotten(world: GroupWorld) -> None:
    _, since = await world.sync(BOB, None)
    [message] = await world.send("then")
    await world.remove(BOB)
    for n in range(MAX_EDITS + 1):
        await world.edit(message, f"later {n}")
    ((changes,), _) = await world.sync(BOB, since)
    stored = changes.events[0]
    assert isinstance(stored, MessageStored)
    assert stored.message.content == ""


async def test_a_removal_long_ago_is_found_behind_everything_that_came_after(world: GroupWorld) -> None:
    _, since = await world.sync(BOB, None)
    await world.remove(BOB)
    await world.send(*["after"] * 250)
    ((changes,), _) = await world.sync(BOB, since)
    assert (told(changes), changes.limited) == ([(2, "ConversationChanged")], False)


async def test_who_was_removed_reads_nothing_any_more(world: GroupWorld) -> None:
    await world.send("one")
    await world.remove(BOB)
    for ask in (
        world.history.conversation(BOB, GROUP),
        world.history.messages(BOB, GROUP, before=None, after=None, limit=1),
        world.history.receipts(BOB, GROUP, 1),
        world.history.member_page(BOB, GROUP, limit=1, cursor=None),
        world.history.channels(BOB, GROUP),
    ):
        with pytest.raises(NotAMember):
            await ask
    assert (await world.history.conversations(BOB, limit=9, cursor=None)).conversations == ()
    assert await world.history.unread(BOB) == {}
    assert (await world.sync(BOB, None))[0] == ()
    assert BOB not in (await world.history.members(GROUP)).since


async def test_who_was_removed_sees_messages_as_they_were_then(world: GroupWorld) -> None:
    _, since = await world.sync(BOB, None)
    edited, twice, liked, deleted = await world.send("edited", "twice", "liked", "deleted")
    await world.edit(twice, "once")
    await world.remove(BOB)
    await world.edit(edited, "new")
    await world.edit(twice, "two times")
    await world.react(liked)
    await world.delete(deleted, DeleteScope.EVERYONE)
    ((changes,), _) = await world.sync(BOB, since)
    messages = [event.message for event in changes.events if isinstance(event, MessageStored | MessageEdited)]
    assert [(each.content, each.deleted_at is None) for each in messages] == [
        ("edited", True),
        ("once", True),
        ("liked", True),
        ("", False),
        ("once", True),
    ]
    assert [each.edited_at is None for each in messages] == [True, False, True, True, False]
    assert all(each.reactions == {} for each in messages)


async def test_a_message_after_a_removal_that_a_sync_runs_into_is_not_given() -> None:
    class Racing(FakeMessageStore):
        world: GroupWorld | None = None

        async def tips(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Tip]:
            found = await super().tips(conversation_ids)
            if self.world is not None:
                await self.world.remove(BOB)
                await self.world.send("after")
            return found

    store = Racing()
    world = await GroupWorld.made(store)
    _, since = await world.sync(BOB, None)
    await world.send("before")
    store.world = world
    ((changes,), _) = await world.sync(BOB, since)
    assert told(changes) == [(2, "MessageStored"), (3, "ConversationChanged")]


# --- who came later


async def test_who_joins_later_sees_what_comes_after_it(world: GroupWorld) -> None:
    await world.remove(BOB)
    _, since = await world.sync(BOB, None)
    [hidden] = await world.send("hidden")
    await world.add(BOB)
    await world.edit(hidden, "still hidden")
    await world.react(hidden)
    [shown] = await world.send("shown")
    ((changes,), since) = await world.sync(BOB, since)
    assert told(changes) == [(4, "ConversationChanged"), (7, "MessageStored")]
    assert (changes.version, changes.conversation.first_seq, changes.conversation.role) == (7, 2, Role.MEMBER)
    assert await world.contents(BOB) == ["shown"]
    assert (await world.history.unread(BOB)) == {GROUP: 1}
    assert (await world.history.conversation(BOB, GROUP)).last_message == shown
    await world.delete(hidden, DeleteScope.EVERYONE)
    ((nothing,), since) = await world.sync(BOB, since)
    assert (nothing.events, nothing.version) == ((), 8)
    assert (await world.sync(BOB, since))[0] == ()


async def test_who_may_read_everything_gets_it_on_joining(world: GroupWorld) -> None:
    full = replace(create_group((ALICE, BOB), room=ConversationId("open")), history=HistoryRule.FULL)
    await world.create(full)
    await world.send("one", room=full.conversation_id)
    _, since = await world.sync(EVE, None)
    await world.clock.advance(SETTLE.total_seconds() + 1)
    _, since = await world.sync(EVE, since)
    await world.add(EVE, room=full.conversation_id)
    ((changes,), _) = await world.sync(EVE, since)
    assert told(changes) == [(1, "ConversationChanged"), (2, "MessageStored"), (3, "ConversationChanged")]
    assert not changes.limited


async def test_who_comes_back_is_told_that_what_they_hold_is_stale(world: GroupWorld) -> None:
    await world.send("one")
    _, since = await world.sync(BOB, None)
    await world.remove(BOB)
    await world.send("two")
    await world.add(BOB)
    await world.send("three")
    ((changes,), _) = await world.sync(BOB, since)
    assert told(changes) == [(5, "ConversationChanged"), (6, "MessageStored")]
    assert (changes.limited, changes.before) == (True, 3)
    assert (await world.history.messages(BOB, GROUP, before=3, after=None, limit=9)).messages == ()


# --- messages that were changed


async def test_a_changed_message_comes_at_its_place_and_as_it_is_now(world: GroupWorld) -> None:
    _, since = await world.sync(BOB, None)
    [message] = await world.send("old")
    await world.react(message)
    await world.edit(message, "new")
    ((changes,), _) = await world.sync(BOB, since)
    stored, reaction, edited = changes.events
    assert isinstance(stored, MessageStored)
    assert isinstance(reaction, ReactionChanged)
    assert isinstance(edited, MessageEdited)
    assert (stored.version, reaction.version, edited.version) == (2, 3, 4)
    assert stored.message == replace(edited.message, version=2)
    assert (edited.message.content, edited.message.reactions) == ("new", {"+": (ALICE,)})
    assert edited.message == (await world.history.conversation(BOB, GROUP)).last_message


async def test_an_old_message_that_was_changed_comes_alone(world: GroupWorld) -> None:
    [message, _] = await world.send("old", "other")
    _, since = await world.sync(BOB, None)
    await world.edit(message, "new")
    ((changes,), _) = await world.sync(BOB, since)
    [edited] = changes.events
    assert isinstance(edited, MessageEdited)
    assert (edited.message.content, edited.message.seq) == ("new", 1)


async def test_a_message_deleted_for_oneself_is_a_tombstone_to_oneself_alone(world: GroupWorld) -> None:
    [message] = await world.send("text")
    _, since = await world.sync(BOB, None)
    _, alices = await world.sync(ALICE, None)
    await world.delete(message, DeleteScope.ME, BOB)
    hidden_at = world.clock.now()
    await world.react(message)
    ((changes,), _) = await world.sync(BOB, since)
    [deleted] = changes.events
    assert isinstance(deleted, MessageDeleted)
    assert (deleted.only_for, deleted.message.content, deleted.message.deleted_at) == (BOB, "", hidden_at)
    assert (deleted.version, changes.version) == (3, 4)
    assert (await world.contents(BOB), await world.contents(ALICE)) == ([""], ["text"])
    assert (await world.history.conversation(BOB, GROUP)).last_message == deleted.message
    assert await world.history.unread(BOB) == {}
    ((other,), _) = await world.sync(ALICE, alices)
    assert told(other) == [(4, "ReactionChanged")]


async def test_a_reaction_to_a_message_that_is_gone_is_not_told(world: GroupWorld) -> None:
    _, since = await world.sync(BOB, None)
    [message] = await world.send("text")
    await world.react(message)
    await world.delete(message, DeleteScope.EVERYONE)
    ((changes,), _) = await world.sync(BOB, since)
    assert told(changes) == [(2, "MessageStored"), (4, "MessageDeleted")]


async def test_what_becomes_of_a_message_that_one_has_hidden_is_not_told(world: GroupWorld) -> None:
    _, since = await world.sync(BOB, None)
    [message] = await world.send("text")
    await world.delete(message, DeleteScope.ME, actor=BOB)
    await world.edit(message, "other text")
    ((changes,), _) = await world.sync(BOB, since)
    assert (told(changes), changes.version) == ([(2, "MessageStored"), (3, "MessageDeleted")], 4)


async def test_a_limited_page_that_begins_with_a_change_says_which_messages_are_before_it(world: GroupWorld) -> None:
    _, since = await world.sync(BOB, None)
    messages = await world.send(*(f"m{n}" for n in range(3)))
    for n in range(201):
        await world.edit(messages[n % 3], f"edit {n}")
    ((changes,), _) = await world.sync(BOB, since)
    assert (len(changes.events), changes.limited, changes.before) == (200, True, 4)


async def test_oldest_first_nothing_is_left_out_and_the_rest_follows(world: GroupWorld) -> None:
    _, since = await world.sync(BOB, None)
    await world.send(*(f"m{n}" for n in range(450)))
    sizes, contents, has_more = [], [], True
    while has_more:
        answer = await world.history.sync(SyncQuery(user_id=BOB, since=since, oldest_first=True))
        [changes] = answer.conversations
        sizes.append((len(changes.events), changes.limited, changes.version))
        contents += [event.message.content for event in changes.events if isinstance(event, MessageStored)]
        since, has_more = answer.since, answer.has_more
    assert sizes == [(200, False, 201), (200, False, 401), (50, False, 451)]
    assert contents == [f"m{n}" for n in range(450)]


async def test_oldest_first_begins_after_what_was_had_by_its_time(world: GroupWorld) -> None:
    await world.send(*(f"old {n}" for n in range(300)))
    await world.clock.advance(SETTLE.total_seconds() + 1)
    _, since = await world.sync(BOB, None)
    await world.send(*(f"new {n}" for n in range(250)))
    floor = Position(Position.from_token(since).floor).token()
    [changes] = (await world.history.sync(SyncQuery(user_id=BOB, since=floor, oldest_first=True))).conversations
    first = changes.events[0]
    assert isinstance(first, MessageStored)
    assert (first.message.content, len(changes.events), changes.limited) == ("new 0", 200, False)


async def test_oldest_first_an_earlier_removal_ends_nothing_for_who_is_back() -> None:
    world = GroupWorld()
    await world.create(create_group(history=HistoryRule.FULL))
    await world.remove(BOB)
    await world.send(*["text"] * 250)
    await world.add(BOB)
    since, versions, has_more = None, list[int](), True
    while has_more:
        answer = await world.history.sync(
            SyncQuery(user_id=BOB, since=since or Position(EPOCH).token(), oldest_first=True)
        )
        versions += [event.version for changes in answer.conversations for event in changes.events]
        since, has_more = answer.since, answer.has_more
    assert versions == list(range(1, 254))


async def test_where_watermarks_moved_is_told_a_page_at_a_time_and_entries_are_not_told_again() -> None:
    world = GroupWorld()
    history = StoredHistory(world.store, clock=world.clock, max_conversations=2, max_versions=2)
    rooms = [ConversationId(f"g{n}") for n in range(7)]
    for room in rooms:
        await world.create(create_group(room=room))
        await world.send("text", room=room)
    await world.clock.advance(3600)
    _, since = await world.sync(ALICE, None)
    for room in rooms:
        await world.clock.advance(1)
        await world.store.advance([acknowledge(1, room=room)], at=world.clock.now())
    await world.clock.advance(3600)
    answers = [await history.sync(SyncQuery(user_id=ALICE, since=since))]
    while answers[-1].has_more:
        answers.append(await history.sync(SyncQuery(user_id=ALICE, since=answers[-1].since)))
    told = [[changes.conversation.id for changes in answer.conversations] for answer in answers]
    assert told == [rooms[:2], rooms[2:4], rooms[4:6], rooms[6:]]
    assert not any(changes.events for answer in answers for changes in answer.conversations)
    assert answers[-1].since == (await history.position(ALICE)).token()


# --- lists and counts


async def test_unread_counts_look_at_the_last_thousand_messages(world: GroupWorld) -> None:
    await world.send(*["text"] * 1000)
    assert await world.history.unread(BOB) == {GROUP: 1000}
    await world.send("one more")
    assert await world.history.unread(BOB) == {GROUP: 1000}
    await world.store.advance([acknowledge(1, room=GROUP)], at=world.clock.now())
    assert await world.history.unread(BOB) == {GROUP: 1000}
    await world.store.advance([acknowledge(2, room=GROUP)], at=world.clock.now())
    assert await world.history.unread(BOB) == {GROUP: 999}


async def test_a_page_of_conversations_holds_no_more_than_fits(world: GroupWorld) -> None:
    rooms = [ConversationId(f"room-{n}") for n in range(5)]
    for room in rooms:
        await world.create(create_group(room=room))
        await world.send("\x01" * (MAX_PAGE_BYTES // 13), room=room)  # two of them fit into an answer
    listed: list[str] = []
    cursor, more = None, True
    while more:
        page = await world.history.conversations(BOB, limit=100, cursor=cursor)
        assert 0 < len(page.conversations) <= 3
        listed += [each.id for each in page.conversations]
        cursor, more = page.next_cursor, page.next_cursor is not None
    assert listed == [*rooms[::-1], GROUP]
    got: list[str] = []
    since, more = None, True
    while more:
        answer = await world.history.sync(SyncQuery(user_id=BOB, since=since))
        got += [each.conversation.id for each in answer.conversations]
        since, more = answer.since, answer.has_more
    assert got == [GROUP, *rooms]


async def test_in_a_large_room_one_sees_ones_own_watermark_alone(world: GroupWorld) -> None:
    large = ConversationId("large")
    await world.create(create_group([ALICE, BOB, *(UserId(f"u{n}") for n in range(600))], room=large))
    await world.send("hi", room=large)
    conversation = await world.history.conversation(BOB, large)
    assert (conversation.member_ids, conversation.member_count) == ((), 602)
    assert [mark.user_id for mark in conversation.watermarks] == [BOB]
    page = await world.history.messages(BOB, large, before=None, after=None, limit=1)
    assert [mark.user_id for mark in page.watermarks] == [BOB]
    assert (await world.history.overview(large)).watermarks == ()
    await world.clock.advance(3600)
    _, since = await world.sync(BOB, None)
    await world.clock.advance(3600)
    await world.store.advance([acknowledge(1, user=ALICE, room=large)], at=world.clock.now())
    assert (await world.sync(BOB, since))[0] == ()
    await world.store.advance([acknowledge(1, room=large)], at=world.clock.now())
    ((own,), _) = await world.sync(BOB, since)
    assert [mark.read_seq for mark in own.conversation.watermarks] == [1]
    assert len(await world.history.receipts(BOB, large, 1)) == 500
