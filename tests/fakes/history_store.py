"""A message store in memory, under the same contract as the one on MongoDB."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from history.reading import Change, Membership, Record, Tip
from history.rules import direct_conversation, opens_direct, refuse_conversation, refuse_stranger
from history.sequence import Appended, Head, Key, key_of, place
from history.store import Advanced, Created, Reader
from history.watermarks import merge
from shared.commands import Acknowledge, ConversationKind, CreateConversation, SendMessage
from shared.errors import Conflict, StoreUnavailable, WarrenError
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, MessageId, UserId


@dataclass
class _Conversation:
    record: Record
    head: Head
    log: list[Change]


class FakeMessageStore:
    """`MessageStore` in memory. `fail(n)` makes the next n calls an outage."""

    def __init__(self) -> None:
        self._conversations: dict[ConversationId, _Conversation] = {}
        self._members: dict[Reader, Membership] = {}
        self._moved_at: dict[Reader, datetime] = {}
        self._stored: dict[Key, Appended] = {}
        self._ids: set[MessageId] = set()
        self._failures = 0

    def fail(self, calls: int) -> None:
        """Make the next calls raise StoreUnavailable."""
        self._failures = calls

    def _check(self) -> None:
        if self._failures:
            self._failures -= 1
            raise StoreUnavailable("The fake store was told to fail.")

    async def ping(self) -> bool:
        return not self._failures

    async def append(
        self, commands: Sequence[SendMessage], *, at: datetime, repeated: bool
    ) -> list[Appended | WarrenError]:
        self._check()
        return [self._append(command, at) for command in commands]

    def _append(self, command: SendMessage, at: datetime) -> Appended | WarrenError:
        stored = self._stored.get(key_of(command))
        if stored is not None:
            audience = self._conversations[command.conversation_id].record.member_ids
            return replace(stored, audience=audience, repeat=True)
        if command.conversation_id not in self._conversations and opens_direct(command):
            self._add(direct_conversation(command), at)
        conversation = self._conversations.get(command.conversation_id)
        if command.message_id in self._ids:
            return Conflict("This message id is taken.", message_id=command.message_id)
        placed, refused = place(
            [command], {} if conversation is None else {command.conversation_id: conversation.head}, at
        )
        if not placed:
            return refused[key_of(command)]
        appended = placed[0]
        self._ids.add(appended.message.id)
        self._stored[key_of(command)] = appended
        change = Change(appended.message, appended.previous_at)
        self._conversations[command.conversation_id].log.append(change)
        return appended

    def _add(self, command: CreateConversation, at: datetime) -> None:
        each, number = command.conversation_id, len(self._conversations) + 1
        record = Record(each, number, command.kind, command.member_ids, at, command.name, command.metadata)
        self._conversations[each] = _Conversation(record, Head(each, number, command.kind, command.member_ids), [])
        for user_id in command.member_ids:
            owner = command.kind is not ConversationKind.DIRECT and user_id == command.creator_id
            role = "owner" if owner else "member"
            self._members[each, user_id] = Membership(Watermark(user_id=user_id), at, role)

    async def create(self, commands: Sequence[CreateConversation], *, at: datetime) -> list[Created | WarrenError]:
        self._check()
        return [refuse_conversation(command) or self._create(command, at) for command in commands]

    def _create(self, command: CreateConversation, at: datetime) -> Created | WarrenError:
        created = command.conversation_id not in self._conversations
        if created:
            self._add(command, at)
        record = self._conversations[command.conversation_id].record
        stranger = refuse_stranger(command.creator_id, record.id, record.member_ids)
        return stranger or Created(record.id, record.number, record.kind, created=created)

    async def advance(
        self, acknowledgements: Sequence[Acknowledge], *, at: datetime
    ) -> dict[Reader, Advanced | WarrenError]:
        self._check()
        heads = {each: conversation.head for each, conversation in self._conversations.items()}
        goals, refused = merge(acknowledgements, heads)
        results: dict[Reader, Advanced | WarrenError] = {**refused}
        for reader, goal in goals.items():
            member = self._members[reader]
            moved = goal.moved(member.watermark)
            mark = goal.reach(member.watermark, at)
            results[reader] = Advanced(mark, moved, heads[reader[0]].member_ids)
            self._members[reader] = replace(member, watermark=mark)
            if moved:
                self._moved_at[reader] = at
        return results

    async def memberships(self, user_id: UserId) -> dict[ConversationId, Membership]:
        self._check()
        return {each: member for (each, user), member in self._members.items() if user == user_id}

    async def tips(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Tip]:
        self._check()
        heads = {each: self._conversations[each].head for each in conversation_ids if each in self._conversations}
        return {each: Tip(head.seq, head.version, head.changed_at) for each, head in heads.items() if head.changed_at}

    async def records(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Record]:
        self._check()
        found = {each: self._conversations[each] for each in conversation_ids if each in self._conversations}
        return {
            each: replace(conversation.record, last_message=conversation.log[-1].message if conversation.log else None)
            for each, conversation in found.items()
        }

    async def watermarks(
        self, conversation_ids: Collection[ConversationId]
    ) -> dict[ConversationId, tuple[Watermark, ...]]:
        self._check()
        marks: defaultdict[ConversationId, list[Watermark]] = defaultdict(list)
        for (each, _), member in sorted(self._members.items()):
            if each in conversation_ids:
                marks[each].append(member.watermark)
        return {each: tuple(found) for each, found in marks.items()}

    async def acknowledged_after(
        self, conversation_ids: Collection[ConversationId], moment: datetime
    ) -> set[ConversationId]:
        self._check()
        return {each for (each, _), at in self._moved_at.items() if each in conversation_ids and at > moment}

    async def changes(
        self, conversation_id: ConversationId, *, version: int | None, floor: datetime, limit: int
    ) -> list[Change]:
        self._check()
        log = self._conversations[conversation_id].log
        after = [each for each in log if _is_after(each.message, version, floor)]
        return after[-limit:]

    async def messages(
        self, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> list[Message]:
        self._check()
        messages = [each.message for each in self._conversations[conversation_id].log]
        if after is not None:
            return [message for message in messages if message.seq > after][:limit]
        return [message for message in messages if before is None or message.seq < before][-limit:]

    async def unread(self, user_id: UserId, after: Mapping[ConversationId, int]) -> dict[ConversationId, int]:
        self._check()
        unread = Counter(
            each
            for each, seq in after.items()
            for change in self._conversations[each].log
            if change.message.seq > seq and change.message.sender_id != user_id
        )
        return dict(unread)


def _is_after(message: Message, version: int | None, floor: datetime) -> bool:
    return message.created_at > floor if version is None else message.version > version
