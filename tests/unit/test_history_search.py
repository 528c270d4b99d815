"""Messages found by what they say or whom they mention, conversations by their name, and channels that are open."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from history.reading import LoggedMessage, Membership, Tip, Wanted
from history.search import AT_ONCE, find, stretches
from shared.commands import ConversationKind, CreateConversation, DeleteScope, JoinRule
from shared.errors import Invalid, NotAMember, NotFound
from shared.history_api import MAX_SEARCH_CHARS, MessageSearch, Watermark
from shared.ids import ConversationId, UserId, direct_conversation_id
from tests.fakes.clock import START
from tests.fakes.history_commands import ALICE, BOB, DIRECT, EVE, GROUP, done, send
from tests.fakes.history_store import FakeMessageStore
from tests.fakes.history_world import GroupWorld

SPACE, LOBBY, BACK_ROOM = ConversationId("space"), ConversationId("lobby"), ConversationId("back-room")


@pytest.fixture
async def world() -> GroupWorld:
    return await GroupWorld.made()


def channel(
    conversation_id: str,
    *members: UserId,
    name: str | None = None,
    parent: ConversationId | None = None,
    join: JoinRule = JoinRule.OPEN,
    kind: ConversationKind = ConversationKind.CHANNEL,
) -> CreateConversation:
    return CreateConversation(
        conversation_id=ConversationId(conversation_id),
        kind=kind,
        creator_id=members[0],
        member_ids=members,
        name=name,
        parent_id=parent,
        join=join,
    )


async def found(world: GroupWorld, user: UserId = ALICE, **search: object) -> list[str]:
    wanted = MessageSearch(user_id=user, **search)  # type: ignore[arg-type]
    return [message.content for message in await world.history.find_messages(wanted)]


# --- what messages say


async def test_a_text_is_found_without_regard_to_case_newest_first(world: GroupWorld) -> None:
    await world.send("First HELLO", "nothing", "hello again", "jello")
    assert await found(world, text="hello") == ["hello again", "First HELLO"]
    assert await found(world, text="HELLO", limit=1) == ["hello again"]
    assert await found(world, text="absent") == []


async def test_without_a_text_all_is_found(world: GroupWorld) -> None:
    await world.send("one", "two")
    assert await found(world) == await found(world, text="") == ["two", "one"]


async def test_what_is_before_a_time_is_found_on(world: GroupWorld) -> None:
    first, second, _ = await world.send("hi 1", "hi 2", "hi 3")
    assert await found(world, text="hi", before=second.created_at) == [first.content]


async def test_a_user_finds_only_what_they_may_see(world: GroupWorld) -> None:
    gone, hidden, old, kept = await world.send("hi gone", "hi hidden", "hi old", "hi kept")
    await world.delete(gone, DeleteScope.EVERYONE)
    await world.delete(hidden, DeleteScope.ME, BOB)
    late = UserId("late")
    await world.add(late)
    await world.send("hi late")
    assert await found(world, BOB, text="hi") == ["hi late", kept.content, old.content]
    assert await found(world, late, text="hi") == ["hi late"]
    assert await found(world, UserId("stranger"), text="hi") == []
    await world.remove(BOB)
    assert await found(world, BOB, text="hi") == []


async def test_the_newest_of_all_conversations_come_first(world: GroupWorld) -> None:
    other = direct_conversation_id(ALICE, EVE)
    for n, (room, to) in enumerate(((DIRECT, BOB), (other, EVE), (DIRECT, BOB), (other, EVE))):
        await world.clock.advance(1)
        command = send(f"d{n}", room=room, to=to, content=f"hi {n}")
        done((await world.store.append([command], at=world.clock.now(), repeated=False))[0])
    await world.send("hi group")
    assert await found(world, text="hi", limit=3) == ["hi group", "hi 3", "hi 2"]
    assert await found(world, text="hi", conversation_id=other) == ["hi 3", "hi 1"]


async def test_a_search_in_a_space_is_in_the_channels_that_the_user_is_in(world: GroupWorld) -> None:
    await world.create(channel("space", ALICE, BOB, kind=ConversationKind.SPACE, join=JoinRule.INVITE))
    await world.create(channel("lobby", ALICE, BOB, parent=SPACE))
    await world.create(channel("back-room", ALICE, parent=SPACE))
    await world.send("hi group")
    await world.send("hi lobby", room=LOBBY)
    await world.send("hi back room", room=BACK_ROOM)
    assert await found(world, BOB, text="hi", parent_id=SPACE) == ["hi lobby"]
    assert await found(world, ALICE, text="hi", parent_id=SPACE) == ["hi back room", "hi lobby"]
    with pytest.raises(NotAMember):
        await found(world, EVE, text="hi", parent_id=SPACE)


async def test_nobody_searches_in_anothers_conversation_or_for_too_much(world: GroupWorld) -> None:
    with pytest.raises(NotAMember):
        await found(world, UserId("stranger"), conversation_id=GROUP)
    with pytest.raises(NotFound):
        await found(world, conversation_id=ConversationId("none"))
    with pytest.raises(Invalid):
        await found(world, text="x" * (MAX_SEARCH_CHARS + 1))


async def test_who_is_mentioned_finds_it(world: GroupWorld) -> None:
    for n, mentions in enumerate(((BOB,), (), (BOB, EVE), (EVE,))):
        await world.clock.advance(1)
        command = send(f"m{n}", room=GROUP, content=f"hi {n}", mentions=mentions)
        done((await world.store.append([command], at=world.clock.now(), repeated=False))[0])
    assert await found(world, BOB, mentions=True) == ["hi 2", "hi 0"]
    assert await found(world, BOB, mentions=True, text="2") == ["hi 2"]
    assert await found(world, BOB, mentions=True, conversation_id=GROUP, limit=1) == ["hi 2"]
    assert await found(world, UserId("stranger"), mentions=True) == []
    await world.remove(BOB)
    assert await found(world, BOB, mentions=True) == []


# --- how much is looked at


def membership(first_seq: int = 1) -> Membership:
    return Membership(Watermark(user_id=ALICE), START, "member", first_seq=first_seq)


def test_a_search_looks_at_so_many_messages_first_where_something_happened_last() -> None:
    one, two, three, empty = (ConversationId(each) for each in ("one", "two", "three", "empty"))
    seconds = {one: 1, two: 3, three: 2, empty: 9}
    seqs = {one: 100, two: 50, three: 30, empty: 0}
    tips = {each: Tip(seqs[each], 1, START + timedelta(seconds=seconds[each])) for each in seconds}
    memberships = {one: membership(), two: membership(first_seq=11), three: membership(), empty: membership()}
    assert list(stretches(memberships, tips, 1000).items()) == [(two, 10), (three, 0), (one, 0)]
    assert stretches(memberships, tips, 60) == {two: 10, three: 10}
    assert stretches(memberships, tips, 45) == {two: 10, three: 25}


class CountingStore(FakeMessageStore):
    """Counts how many conversations it was asked to look through."""

    looked_through = 0

    async def found(self, wanted: Wanted, after: Mapping[ConversationId, int]) -> list[LoggedMessage]:
        self.looked_through += len(after)
        return await super().found(wanted, after)


async def test_a_search_ends_where_all_that_follows_is_older() -> None:
    store = CountingStore()
    for n in range(250):
        command = send("c", sender=UserId(f"u{n}"), to=BOB, content=f"hi {n}")
        done((await store.append([command], at=START + timedelta(seconds=n), repeated=False))[0])
    memberships = await store.memberships(BOB)
    some = await find(store, Wanted(BOB, text="hi", limit=2), memberships)
    assert ([message.content for message in some], store.looked_through) == (["hi 249", "hi 248"], 100)
    [rare] = await find(store, Wanted(BOB, text="hi 7", before=START + timedelta(seconds=8), limit=2), memberships)
    assert (rare.content, store.looked_through) == ("hi 7", 350)


async def test_a_search_goes_on_while_something_newer_may_follow() -> None:
    store = FakeMessageStore()
    lines = [("u0", 0, "hi old"), ("quiet", 900, "hi new"), *((f"u{n}", 1000 + n, "hello") for n in range(AT_ONCE))]
    for n, (sender, second, content) in enumerate(lines):
        command = send(f"c{n}", sender=UserId(sender), to=BOB, content=content)
        done((await store.append([command], at=START + timedelta(seconds=second), repeated=False))[0])
    [newest] = await find(store, Wanted(BOB, text="hi", limit=1), await store.memberships(BOB))
    assert newest.content == "hi new"


# --- conversations by name, and open ones


async def test_a_name_finds_ones_own_then_an_open_one_and_of_several_the_oldest(world: GroupWorld) -> None:
    await world.create(channel("open-1", EVE, name="general"))
    await world.create(channel("open-2", EVE, name="general"))
    await world.create(channel("secret", EVE, name="plans", join=JoinRule.INVITE))
    await world.create(channel("own-1", EVE, BOB, name="general", join=JoinRule.INVITE))
    await world.create(channel("own-2", EVE, BOB, name="general"))
    assert await world.history.conversation_named(BOB, "general") == "own-1"
    assert await world.history.conversation_named(ALICE, "general") == "open-1"
    for name in ("plans", "General", "gen", ""):
        with pytest.raises(NotFound):
            await world.history.conversation_named(ALICE, name)


async def test_the_channels_of_a_space_are_named_by_those_who_are_in_it(world: GroupWorld) -> None:
    await world.create(channel("space", ALICE, BOB, kind=ConversationKind.SPACE, name="team"))
    await world.create(channel("lobby", ALICE, parent=SPACE, name="lobby"))
    assert await world.history.conversation_named(BOB, "lobby") == LOBBY
    for user, name in ((EVE, "lobby"), (BOB, "team"), (EVE, "team")):  # a space holds no messages
        with pytest.raises(NotFound):
            await world.history.conversation_named(user, name)


async def test_open_channels_come_page_by_page_with_ones_own_role(world: GroupWorld) -> None:
    await world.create(channel("space", ALICE, kind=ConversationKind.SPACE))
    await world.create(channel("a", EVE, BOB, name="A"))
    await world.create(channel("b", EVE, name="B"))
    await world.create(channel("c", EVE, name="C", join=JoinRule.INVITE))
    await world.create(channel("d", ALICE, name="D", parent=SPACE))
    await world.create(channel("e", EVE, name="E"))
    await world.send("hi", sender=EVE, room=ConversationId("a"))
    await world.send("hi", sender=EVE, room=ConversationId("b"))
    first = await world.history.open_channels(BOB, limit=2, cursor=None)
    assert [(each.id, each.role, each.unread) for each in first.conversations] == [("a", "member", 1), ("b", None, 0)]
    assert first.conversations[1].last_message is None
    second = await world.history.open_channels(BOB, limit=2, cursor=first.next_cursor)
    assert ([each.id for each in second.conversations], second.next_cursor) == (["e"], None)
    with pytest.raises(Invalid):
        await world.history.open_channels(BOB, limit=2, cursor="!")


async def test_an_open_channel_is_shown_to_who_may_join_it_without_what_is_in_it(world: GroupWorld) -> None:
    await world.create(channel("a", EVE, name="A"))
    await world.create(channel("c", EVE, name="C", join=JoinRule.INVITE))
    await world.create(channel("space", ALICE, BOB, kind=ConversationKind.SPACE, join=JoinRule.INVITE))
    await world.create(channel("lobby", ALICE, parent=SPACE))
    await world.send("hi", sender=EVE, room=ConversationId("a"))
    shown = await world.history.open_channel(BOB, ConversationId("a"))
    assert (shown.name, shown.role, shown.last_message, shown.unread, shown.member_ids) == ("A", None, None, 0, ())
    assert (await world.history.open_channel(BOB, LOBBY)).id == LOBBY
    for user, room in ((BOB, "c"), (EVE, "lobby"), (BOB, "none")):
        with pytest.raises(NotFound):
            await world.history.open_channel(user, ConversationId(room))
