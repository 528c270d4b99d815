"""Whatever members do, each sees their own window of the log: pages, counts and syncs agree with a naive model."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from history.queries import StoredHistory
from shared.commands import (
    ConversationKind,
    CreateConversation,
    DeleteMessage,
    DeleteScope,
    EditMessage,
    HistoryRule,
    JoinRule,
    RemoveMember,
    Role,
    SetMembers,
    SetReaction,
)
from shared.errors import NotAMember, WarrenError
from shared.events import (
    ConversationChanged,
    Entry,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageStored,
    ReactionChanged,
)
from shared.history_api import MAX_PAGE, Changes, SyncQuery
from shared.ids import ConversationId, MessageId, UserId
from tests.fakes.clock import FakeClock
from tests.fakes.history_commands import acknowledge, done, send
from tests.fakes.history_store import FakeMessageStore

ROOM = ConversationId("room")
USERS = [UserId(name) for name in ("ann", "ben", "cid")]
OPERATOR = None


@dataclass
class Text:
    """A message, as naively as can be."""

    sender: UserId
    content: str
    deleted: bool = False
    hidden: set[UserId] = field(default_factory=set)
    likes: set[UserId] = field(default_factory=set)

    def to(self, user: UserId) -> tuple[str, bool, set[UserId]]:
        gone = self.deleted or user in self.hidden
        return ("" if gone else self.content, gone, set() if gone else self.likes)


@dataclass
class Model:
    """What the room should be to everybody."""

    full: bool
    texts: list[Text] = field(default_factory=list)
    first: dict[UserId, int] = field(default_factory=dict)  # of those who are in
    read: dict[UserId, int] = field(default_factory=dict)

    def visible(self, user: UserId) -> dict[int, Text]:
        return {seq: text for seq, text in enumerate(self.texts, start=1) if seq >= self.first[user]}

    def unread(self, user: UserId) -> int:
        return sum(
            text.sender != user and not text.to(user)[1] and seq > self.read.get(user, 0)
            for seq, text in self.visible(user).items()
        )

    def may_touch(self, user: UserId, seq: int) -> bool:
        return user in self.first and seq in self.visible(user) and not self.texts[seq - 1].to(user)[1]


class Room:
    """A conversation on the fake store, and the model beside it."""

    def __init__(self, *, full: bool) -> None:
        self.clock = FakeClock()
        self.store = FakeMessageStore()
        self.history = StoredHistory(self.store, clock=self.clock)
        self.model = Model(full, first=dict.fromkeys(USERS, 1))
        self.count = 0
        self.ids: list[MessageId] = []

    async def open(self) -> None:
        """Make the room; everybody is in it."""
        command = CreateConversation(
            conversation_id=ROOM,
            kind=ConversationKind.GROUP,
            creator_id=USERS[0],
            member_ids=tuple(USERS),
            history=HistoryRule.FULL if self.model.full else HistoryRule.JOINED,
            join=JoinRule.OPEN,
        )
        done((await self.store.create([command], at=self.clock.now()))[0])

    def new_id(self) -> MessageId:
        self.count += 1
        return MessageId(f"x{self.count}")

    async def take(self, step: "Step") -> None:
        """Do one thing in the store and in the model."""
        action, user, n = step
        await self.clock.advance(1)
        match action:
            case "send":
                await self._send(user)
            case "read":
                await self._read(user, n)
            case "leave":
                await self._leave(user)
            case "join":
                await self._join(user)
            case _:
                if n <= len(self.model.texts) and self.model.may_touch(user, n):
                    await self._change(action, user, n)

    async def _send(self, user: UserId) -> None:
        command = send(str(self.new_id()), sender=user, room=ROOM, content=f"by {user}", message_id=self.new_id())
        [result] = await self.store.append([command], at=self.clock.now(), repeated=False)
        if user in self.model.first:
            self.ids.append(done(result).message.id)
            self.model.texts.append(Text(user, command.content))
        else:
            assert isinstance(result, NotAMember)

    async def _read(self, user: UserId, seq: int) -> None:
        await self.store.advance([acknowledge(seq, user=user, room=ROOM)], at=self.clock.now())
        seq = min(seq, len(self.model.texts))
        if user in self.model.first and seq >= self.model.first[user]:
            self.model.read[user] = max(self.model.read.get(user, 0), seq)

    async def _leave(self, user: UserId) -> None:
        await self._alter(
            RemoveMember(change_id=self.new_id(), conversation_id=ROOM, actor_id=OPERATOR, user_id=user),
            allowed=len(self.model.first) > 1,
        )

    async def _join(self, user: UserId) -> None:
        command = SetMembers(
            change_id=self.new_id(), conversation_id=ROOM, actor_id=OPERATOR, user_ids=(user,), role=Role.OWNER
        )
        done(await self.store.alter(command, at=self.clock.now()))
        self.model.first.setdefault(user, 1 if self.model.full else len(self.model.texts) + 1)

    async def _alter(self, command: RemoveMember, *, allowed: bool) -> None:
        result = await self.store.alter(command, at=self.clock.now())
        if not isinstance(result, WarrenError):
            self.model.first.pop(command.user_id, None)
        else:
            assert not allowed or command.user_id in self.model.first

    async def _change(self, action: str, user: UserId, seq: int) -> None:
        message_id = self.ids[seq - 1]
        text = self.model.texts[seq - 1]
        new, room = self.new_id(), ROOM
        at = self.clock.now()
        if action == "edit" and text.sender == user:
            text.content = f"edit {new}"
            edit = EditMessage(
                change_id=new, conversation_id=room, actor_id=user, message_id=message_id, content=text.content
            )
            done(await self.store.alter(edit, at=at))
        elif action == "delete" and text.sender == user:
            text.deleted = True
            everyone = DeleteScope.EVERYONE
            delete = DeleteMessage(
                change_id=new, conversation_id=room, actor_id=user, message_id=message_id, scope=everyone
            )
            done(await self.store.alter(delete, at=at))
        elif action == "hide":
            text.hidden.add(user)
            hide = DeleteMessage(
                change_id=new, conversation_id=room, actor_id=user, message_id=message_id, scope=DeleteScope.ME
            )
            done(await self.store.alter(hide, at=at))
        elif action == "like":
            removed = user in text.likes
            text.likes ^= {user}
            like = SetReaction(
                change_id=new, conversation_id=room, actor_id=user, message_id=message_id, emoji="+", removed=removed
            )
            done(await self.store.alter(like, at=at))


Step = tuple[str, UserId, int]
ACTIONS = ("send", "send", "send", "edit", "delete", "hide", "like", "like", "read", "leave", "join", "join")
STEPS: st.SearchStrategy[Step] = st.tuples(st.sampled_from(ACTIONS), st.sampled_from(USERS), st.integers(1, 6))


def seen(messages: Sequence[Message]) -> dict[int, tuple[str, bool, set[UserId]]]:
    return {
        message.seq: (message.content, message.deleted_at is not None, set(message.reactions.get("+", ())))
        for message in messages
    }


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.lists(STEPS, min_size=20, max_size=40))
def test_pages_and_unread_counts_agree_with_a_naive_model(full: bool, steps: list[Step]) -> None:
    async def play() -> None:
        room = Room(full=full)
        await room.open()
        for step in steps:
            await room.take(step)
            for user in USERS:
                await check(room, user)

    asyncio.run(play())


async def check(room: Room, user: UserId) -> None:
    """Compare all that one user is told with the model."""
    model, history = room.model, room.history
    listed = (await history.conversations(user, limit=10, cursor=None)).conversations
    if user not in model.first:
        assert listed == ()
        assert await history.unread(user) == {}
        return
    expected = {seq: text.to(user) for seq, text in model.visible(user).items()}
    page = await history.messages(user, ROOM, before=None, after=None, limit=MAX_PAGE)
    assert seen(page.messages) == expected
    assert seen((await history.messages(user, ROOM, before=None, after=0, limit=MAX_PAGE)).messages) == expected
    unread = model.unread(user)
    assert await history.unread(user) == ({ROOM: unread} if unread else {})
    [conversation] = listed
    assert (conversation.unread, conversation.first_seq) == (unread, model.first[user])
    last = conversation.last_message
    assert last == (page.messages[-1] if page.messages else None)


# --- a client that is away and comes back


class Client:
    """Keeps what it was told, as a client does."""

    def __init__(self, user: UserId, *, full: bool) -> None:
        self.user = user
        self.away = False
        self.full = full  # whoever joins may read everything
        self.since: str | None = None
        self.messages: dict[int, Message] = {}
        self.members: tuple[UserId, ...] = ()
        self.version = 0
        self.inside = False
        self.entries: list[Entry] = []

    async def sync(self, history: StoredHistory) -> None:
        """Ask until there is no more."""
        more = True
        while more:
            answer = await history.sync(SyncQuery(user_id=self.user, since=self.since))
            for changes in answer.conversations:
                await self._apply(changes, history)
            self.since, more = answer.since, answer.has_more

    async def _apply(self, changes: Changes, history: StoredHistory) -> None:
        if changes.limited:
            self.messages.clear()
        versions = [event.version for event in changes.events]
        assert versions == sorted(set(versions)), "entries come in order"
        known = [event for event in changes.events if event.version <= self.version]
        assert not known or self._is_back(changes), "an entry comes twice"
        for event in changes.events[len(known) :]:
            self.take(event)
        assert changes.version >= self.version
        self.version = changes.version
        if changes.limited and self.inside:
            page = await history.messages(self.user, ROOM, before=changes.before, after=None, limit=MAX_PAGE)
            self.messages = {message.seq: message for message in page.messages} | self.messages

    def _is_back(self, changes: Changes) -> bool:
        """Tell of a rejoining with all history: what was had before is not known any more, and comes again."""
        return any(
            isinstance(event, ConversationChanged) and event.change == "member_added" and self.user in event.user_ids
            for event in changes.events
        )

    def take(self, event: Entry) -> None:
        """Apply one entry. What happened while they were away is nothing of theirs: next comes that they are back."""
        named = isinstance(event, ConversationChanged) and self.user in event.user_ids
        assert self.full or named or not self.away
        if named:
            self.away = isinstance(event, ConversationChanged) and event.change == "member_removed"
        self.entries.append(event)
        self.version = event.version
        match event:
            case MessageStored() | MessageEdited() | MessageDeleted():
                self.messages[event.message.seq] = event.message
            case ReactionChanged():
                self._react(event)
            case ConversationChanged():
                self.members = event.conversation.member_ids
                self.inside = self.user in self.members

    def _react(self, event: ReactionChanged) -> None:
        message = self.messages[event.seq]
        users = [user for user in message.reactions.get(event.emoji, ()) if user != event.user_id]
        users += [] if event.removed else [event.user_id]
        reactions = {event.emoji: tuple(users)} if users else {}
        self.messages[event.seq] = replace(message, reactions=reactions, version=event.version)


def plain(messages: dict[int, Message]) -> dict[int, Message]:
    """Without the order in which the reactions came."""
    return {
        seq: replace(message, reactions={emoji: tuple(sorted(who)) for emoji, who in message.reactions.items()})
        for seq, message in messages.items()
    }


SYNCS: st.SearchStrategy[Step] = st.tuples(st.just("sync"), st.sampled_from(USERS), st.just(0))
WAITS: st.SearchStrategy[Step] = st.tuples(st.just("wait"), st.just(USERS[0]), st.integers(1, 60))


@settings(max_examples=250, deadline=None)
@given(st.booleans(), st.lists(STEPS | STEPS | SYNCS | WAITS, min_size=30, max_size=60))
def test_what_was_had_and_a_sync_together_are_the_fresh_history(full: bool, steps: list[Step]) -> None:
    async def play() -> None:
        room = Room(full=full)
        await room.open()
        clients = {user: Client(user, full=full) for user in USERS}
        for client in clients.values():
            await client.sync(room.history)
        for step in steps:
            action, user, n = step
            if action == "sync":
                await clients[user].sync(room.history)
                await compare(room, clients[user])
            elif action == "wait":
                await room.clock.advance(n)
            else:
                await room.take(step)
        for client in clients.values():
            await client.sync(room.history)
            await compare(room, client)

    asyncio.run(play())


async def compare(room: Room, client: Client) -> None:
    """Compare what a client holds with what history says now."""
    user = client.user
    inside = user in room.model.first
    assert client.inside == inside
    if inside:
        conversation = await room.history.conversation(user, ROOM)
        assert client.version == conversation.last_version
        assert client.members == conversation.member_ids
        page = await room.history.messages(user, ROOM, before=None, after=None, limit=MAX_PAGE)
        held = {seq: message for seq, message in client.messages.items() if seq >= conversation.first_seq}
        assert plain(held) == plain({message.seq: message for message in page.messages})
    else:
        assert isinstance(client.entries[-1], ConversationChanged)
        assert user in client.entries[-1].user_ids
    entries, seen_now = client.entries, len(client.entries)
    await client.sync(room.history)
    assert len(entries) == seen_now, "what was had comes again"
