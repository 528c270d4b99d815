"""Whoever syncs, in whatever order things happen, gets every event exactly once."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history.paging import MAX_PAGE_BYTES
from history.queries import StoredHistory
from history.reading import End, Record
from shared.errors import Invalid
from shared.events import ConversationChanged, MessageStored
from shared.history_api import MAX_PAGE, Changes, SyncAnswer, SyncQuery
from shared.ids import ConversationId, UserId, direct_conversation_id
from shared.position import SETTLE, Position, Verdict
from tests.fakes.clock import FakeClock
from tests.fakes.history_commands import ALICE, BOB, DIRECT, EVE, GROUP, acknowledge, create_group, done, send
from tests.fakes.history_store import FakeMessageStore

PEERS = [UserId(f"peer-{n}") for n in range(5)]


class World:
    """A store, its queries, and Alice's conversations with her peers."""

    def __init__(self, *, max_conversations: int = 100, max_versions: int = 2000) -> None:
        self.clock = FakeClock()
        self.store = FakeMessageStore()
        self.history = StoredHistory(
            self.store, clock=self.clock, max_conversations=max_conversations, max_versions=max_versions
        )
        self.sent: list[MessageStored] = []

    async def send(
        self, peer: UserId = BOB, *, sender: UserId = ALICE, age_s: float = 0, content: str = "hi"
    ) -> MessageStored:
        """Store a message; `age_s` ago it got its time, and only now it can be seen."""
        command = send(f"c{len(self.sent)}", sender=sender, to=ALICE if sender != ALICE else peer, content=content)
        at = self.clock.now() - timedelta(seconds=age_s)
        (result,) = await self.store.append([command], at=at, repeated=False)
        stored = done(result)
        self.sent.append(MessageStored(message=stored.message, audience=(), previous_at=stored.previous_at))
        return self.sent[-1]

    async def sync(self, since: str | None, user: UserId = ALICE) -> tuple[list[Changes], str]:
        """Sync to the end."""
        changes: list[Changes] = []
        for _ in range(100):
            answer = await self.history.sync(SyncQuery(user_id=user, since=since))
            changes += answer.conversations
            since = answer.since
            if not answer.has_more:
                return changes, answer.since
        raise AssertionError("The sync does not end.")


def events(changes: Sequence[Changes]) -> list[MessageStored]:
    return [event for each in changes for event in each.events if isinstance(event, MessageStored)]


def by_conversation(stored: Sequence[MessageStored]) -> dict[ConversationId, list[MessageStored]]:
    logs: defaultdict[ConversationId, list[MessageStored]] = defaultdict(list)
    for event in stored:
        logs[event.message.conversation_id].append(event)
    return dict(logs)


_SENDS = st.tuples(st.just("send"), st.integers(0, len(PEERS) - 1), st.floats(0, SETTLE.total_seconds() - 1))
_WAITS = st.tuples(st.just("wait"), st.integers(1, 50), st.just(0.0))
_SYNCS = st.tuples(st.just("sync"), st.just(0), st.just(0.0))
_LOSSES = st.tuples(st.just("lose"), st.integers(0, len(PEERS) - 1), st.just(0.0))
Step = tuple[str, int, float]


@given(st.lists(_SENDS | _WAITS | _SYNCS, max_size=40))
def test_every_schedule_of_sends_and_syncs_gives_every_event_once(steps: list[Step]) -> None:
    async def play() -> None:
        world = World(max_conversations=2)
        got: list[MessageStored] = []
        since: str | None = None
        for step, n, age_s in [*steps, ("sync", 0, 0.0)]:
            if step == "send":
                await world.send(PEERS[n], age_s=age_s)
            elif step == "wait":
                await world.clock.advance(n)
            else:
                changes, since = await world.sync(since)
                got += events(changes)
        assert by_conversation(got) == by_conversation(world.sent)

    asyncio.run(play())


@given(st.lists(_SENDS | _WAITS | _SYNCS | _LOSSES, max_size=40))
def test_replay_and_live_events_together_are_the_fresh_history(steps: list[Step]) -> None:
    """A session takes live events by its position, loses some, and syncs where its position sees a gap."""

    async def play() -> None:
        world = World(max_conversations=2)
        for peer in PEERS[:3]:
            await world.send(peer)
        await world.clock.advance(1)
        before = len(world.sent)
        position = await world.history.position(ALICE)
        got: list[MessageStored] = []
        for step, n, age_s in [*steps, ("sync", 0, 0.0)]:
            if step == "wait":
                await world.clock.advance(n)
                continue
            if step in ("send", "lose"):
                event = await world.send(PEERS[n], age_s=min(age_s, 0.5))
                verdict = Verdict.REPEAT if step == "lose" else position.judge(event)
                if verdict is Verdict.NEXT:
                    got.append(event)
                    position.advance(event.message.conversation_id, event.message.version)
                if verdict is not Verdict.GAP:
                    continue
            changes, since = await world.sync(position.token())
            got += events(changes)
            position = Position.from_token(since)
        assert by_conversation(got) == by_conversation(world.sent[before:])

    asyncio.run(play())


async def test_whoever_has_everything_lacks_nothing() -> None:
    world = World()
    await world.send()
    position = await world.history.position(ALICE)
    assert position.versions == {DIRECT: 1}
    assert await world.sync(position.token()) == ([], position.token())
    await world.clock.advance(SETTLE.total_seconds() + 1)
    assert (await world.history.position(ALICE)).versions == {}


async def test_a_new_conversation_without_messages_is_given_once() -> None:
    world = World()
    _, since = await world.sync(None)
    await world.store.create([create_group()], at=world.clock.now())
    changes, since = await world.sync(since)
    assert [(each.conversation.id, each.version) for each in changes] == [(GROUP, 1)]
    [created] = changes[0].events
    assert isinstance(created, ConversationChanged)
    assert (created.change, created.conversation.member_ids) == ("created", (ALICE, BOB, EVE))
    assert (await world.sync(since))[0] == []


async def test_a_conversation_in_the_making_has_members_and_is_not_shown_yet() -> None:
    class HalfMade(FakeMessageStore):
        made = False

        async def records(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Record]:
            return await super().records(conversation_ids) if self.made else {}

    clock, store = FakeClock(), HalfMade()
    await store.create([create_group()], at=clock.now())
    history = StoredHistory(store, clock=clock)
    answer = await history.sync(SyncQuery(user_id=ALICE))
    assert answer.conversations == ()
    page = await history.conversations(ALICE, limit=10, cursor=None)
    assert page.conversations == ()
    positions = [answer.since, (await history.position(ALICE)).token()]
    store.made = True
    for since in positions:
        [changes] = (await history.sync(SyncQuery(user_id=ALICE, since=since))).conversations
        assert [event.version for event in changes.events] == [1]


async def test_a_message_that_comes_while_a_sync_is_answered_is_not_counted_as_given() -> None:
    clock = FakeClock()

    class Busy(FakeMessageStore):
        async def ends(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, End]:
            await self.append([send("c2", to=BOB)], at=clock.now(), repeated=False)
            return await super().ends(conversation_ids)

    store = Busy()
    await store.append([send("c1", to=BOB)], at=clock.now(), repeated=False)
    answer = await StoredHistory(store, clock=clock).sync(SyncQuery(user_id=BOB))
    [changes] = answer.conversations
    assert (changes.conversation.last_version, changes.version) == (2, 1)
    assert [event.version for event in changes.events] == [1]


async def test_the_clients_versions_are_added_to_the_token() -> None:
    world = World()
    for _ in range(3):
        await world.send()
    answer = await world.history.sync(SyncQuery(user_id=ALICE, versions={DIRECT: 2, GROUP: 7}))
    assert [event.message.version for event in events(answer.conversations)] == [3]


async def test_only_the_newest_page_is_given_and_it_says_so() -> None:
    world = World()
    for _ in range(MAX_PAGE + 2):
        await world.send()
    ((changes,), since) = await world.sync(None)
    assert (len(changes.events), changes.limited, changes.before) == (MAX_PAGE, True, 3)
    assert events([changes])[-1].message.seq == MAX_PAGE + 2
    page = await world.history.messages(ALICE, DIRECT, before=changes.before, after=None, limit=MAX_PAGE)
    assert [message.seq for message in page.messages] == [1, 2]
    assert (await world.sync(since))[0] == []


async def test_an_exact_page_is_not_limited() -> None:
    world = World()
    for _ in range(MAX_PAGE):
        await world.send()
    ((changes,), _) = await world.sync(None)
    assert (len(changes.events), changes.limited, changes.before) == (MAX_PAGE, False, None)


LARGE = "\x01" * (MAX_PAGE_BYTES // 13)  # six bytes each in JSON: two of them fit into an answer, three do not


async def test_an_answer_to_a_sync_has_only_the_newest_messages_that_fit() -> None:
    world = World()
    for _ in range(3):
        await world.send(content=LARGE)
    ((changes,), since) = await world.sync(None)
    assert [event.message.seq for event in events([changes])] == [2, 3]
    assert (changes.version, changes.limited, changes.before) == (3, True, 2)
    assert (await world.sync(since))[0] == []


async def test_an_answer_to_a_sync_ends_with_the_conversation_that_fills_it() -> None:
    world = World()
    for peer in PEERS[:4]:
        await world.send(peer, content=LARGE)
        await world.send(peer, content=LARGE)
    answer = await world.history.sync(SyncQuery(user_id=ALICE))
    assert (len(events(answer.conversations)), answer.has_more) == (4, True)
    changes, _ = await world.sync(None)
    assert by_conversation(events(changes)) == by_conversation(world.sent)


async def test_a_page_of_large_messages_is_shorter_and_next_to_what_was_asked_for() -> None:
    world = World()
    for content in (LARGE, LARGE, LARGE, 3 * LARGE):
        await world.send(content=content)

    async def page(before: int | None, after: int | None) -> tuple[list[int], bool]:
        found = await world.history.messages(BOB, DIRECT, before=before, after=after, limit=MAX_PAGE)
        return [message.seq for message in found.messages], found.has_more

    assert await page(None, None) == ([4], True)
    assert await page(4, None) == ([2, 3], True)
    assert await page(2, None) == ([1], False)
    assert await page(1, None) == ([], False)
    assert await page(None, 0) == ([1, 2], True)
    assert await page(None, 2) == ([3], True)
    assert await page(None, 3) == ([4], False)


async def test_conversations_come_in_the_order_of_their_changes() -> None:
    world = World(max_conversations=2)
    for peer in (PEERS[2], PEERS[0], PEERS[1], PEERS[2]):
        await world.clock.advance(1)
        await world.send(peer)
    first = await world.history.sync(SyncQuery(user_id=ALICE))
    assert [rooms(first), first.has_more] == [[direct_conversation_id(ALICE, peer) for peer in PEERS[:2]], True]
    second = await world.history.sync(SyncQuery(user_id=ALICE, since=first.since))
    assert direct_conversation_id(ALICE, PEERS[2]) in rooms(second)
    assert not second.has_more


async def test_a_token_stays_short_however_many_conversations_a_sync_gives() -> None:
    world = World(max_conversations=2, max_versions=3)
    people = [UserId(f"p{n}") for n in range(20)]
    for peer in people:
        await world.send(peer)
        await world.clock.advance(1)
    await world.clock.advance(SETTLE.total_seconds())
    since, given, more = None, 0, True
    while more:
        answer = await world.history.sync(SyncQuery(user_id=ALICE, since=since))
        since, more = answer.since, answer.has_more
        given += len(answer.conversations)
        assert len(Position.from_token(since).versions) <= 4
    assert given == len(people)
    assert (await world.sync(since))[0] == []


async def test_what_changes_in_the_middle_of_a_long_sync_is_not_lost() -> None:
    world = World(max_conversations=2, max_versions=0)
    for peer in (*PEERS[:4], PEERS[0]):
        await world.send(peer)
        await world.clock.advance(1)
    await world.clock.advance(SETTLE.total_seconds())
    first = await world.history.sync(SyncQuery(user_id=ALICE))
    assert Position.from_token(first.since).versions == {}
    assert rooms(first) == [direct_conversation_id(ALICE, peer) for peer in PEERS[1:3]]
    again = await world.send(PEERS[1])
    changes, _ = await world.sync(first.since)
    logs = by_conversation(events(changes))
    assert logs[direct_conversation_id(ALICE, PEERS[0])] == [world.sent[0], world.sent[4]]
    assert again in logs[direct_conversation_id(ALICE, PEERS[1])]
    assert direct_conversation_id(ALICE, PEERS[2]) not in logs
    assert direct_conversation_id(ALICE, PEERS[3]) in logs


def rooms(answer: SyncAnswer) -> list[ConversationId]:
    return [each.conversation.id for each in answer.conversations]


async def test_receipts_reach_a_sender_who_was_away() -> None:
    world = World()
    await world.send()
    _, since = await world.sync(None)
    await world.clock.advance(3600)
    (changes, since) = await world.sync(since)
    assert changes == []
    await world.store.advance([acknowledge(1)], at=world.clock.now())
    await world.clock.advance(3600)
    ((changed,), since) = await world.sync(since)
    assert changed.events == ()
    assert [(mark.user_id, mark.read_seq) for mark in changed.conversation.watermarks] == [(ALICE, 0), (BOB, 1)]
    await world.clock.advance(1)
    assert (await world.sync(since))[0] == []


async def test_a_token_that_is_not_one_is_invalid() -> None:
    with pytest.raises(Invalid):
        await World().history.sync(SyncQuery(user_id=ALICE, since="nonsense!"))


async def test_unread_counts_what_others_wrote_after_the_last_read() -> None:
    world = World()
    await world.send()
    await world.send(sender=BOB)
    await world.send(sender=BOB)
    assert await world.history.unread(ALICE) == {DIRECT: 2}
    assert await world.history.unread(BOB) == {DIRECT: 1}
    await world.store.advance([acknowledge(2, user=ALICE)], at=world.clock.now())
    assert await world.history.unread(ALICE) == {DIRECT: 1}
    assert (await world.history.conversation(ALICE, DIRECT)).unread == 1
    await world.store.advance([acknowledge(3, user=ALICE)], at=world.clock.now())
    assert await world.history.unread(ALICE) == {}


async def test_conversations_are_listed_page_by_page_last_activity_first() -> None:
    world = World()
    for peer in PEERS:
        await world.clock.advance(1)
        await world.send(peer)
    await world.send(PEERS[0])
    expected = [direct_conversation_id(ALICE, PEERS[n]) for n in (0, 4, 3, 2, 1)]
    listed: list[ConversationId] = []
    cursor = None
    for size in (2, 2, 1):
        page = await world.history.conversations(ALICE, limit=2, cursor=cursor)
        assert len(page.conversations) == size
        listed += [conversation.id for conversation in page.conversations]
        cursor = page.next_cursor
    assert sorted(listed[:2]) == sorted(expected[:2])  # the same moment
    assert listed[2:] == expected[2:]
    assert cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "é", "MTIz", "LzEv", "OTk5OTk5OTk5OTk5OTk5OTk5OTkvYQ=="])
async def test_a_cursor_that_is_not_one_is_invalid(cursor: str) -> None:
    with pytest.raises(Invalid):
        await World().history.conversations(ALICE, limit=10, cursor=cursor)


async def test_a_conversation_shows_its_members_and_its_last_message() -> None:
    world = World()
    await world.send()
    last = await world.send(sender=BOB)
    conversation = await world.history.conversation(BOB, DIRECT)
    assert conversation.last_message == last.message
    assert (conversation.last_seq, conversation.last_version, conversation.number) == (2, 2, 1)
    assert (conversation.member_ids, conversation.changed_at) == ((ALICE, BOB), last.message.created_at)


async def test_a_page_of_messages_says_whether_there_are_more() -> None:
    world = World()
    for _ in range(4):
        await world.send()

    async def page(before: int | None, after: int | None) -> tuple[list[int], bool]:
        found = await world.history.messages(BOB, DIRECT, before=before, after=after, limit=2)
        return [message.seq for message in found.messages], found.has_more

    assert await page(None, None) == ([3, 4], True)
    assert await page(3, None) == ([1, 2], False)
    assert await page(None, 0) == ([1, 2], True)
    assert await page(None, 2) == ([3, 4], False)
    with pytest.raises(Invalid):
        await page(3, 2)
    with pytest.raises(Invalid):
        await page(2**64, None)
