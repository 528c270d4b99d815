"""A message store in memory, under the same contract as the one on MongoDB."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from history.reading import LoggedMessage, Membership, Record, Step
from history.rules import direct_conversation, opens_direct, refuse_conversation, refuse_stranger
from history.sequence import Appended, Head, Key, key_of, place
from history.store import Advanced, Created, Reader
from history.watermarks import merge
from shared.commands import Acknowledge, ConversationKind, CreateConversation, Role, SendMessage, Stage
from shared.errors import Conflict, WarrenError
from shared.history_api import Watermark
from shared.ids import MessageId
from tests.fakes.history_reads import FakeConversation, FakeLogReader


class FakeMessageStore(FakeLogReader):
    """`MessageStore` in memory. `fail(n)` makes the next n calls an outage."""

    def __init__(self) -> None:
        super().__init__()
        self._stored: dict[Key, Appended] = {}
        self._ids: set[MessageId] = set()

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
            audience = self._conversations[command.conversation_id].record.member_ids or ()
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
        message = appended.message
        entry = LoggedMessage(message, message.version, appended.previous_at)
        self._conversations[command.conversation_id].log.append(entry)
        return appended

    def _add(self, command: CreateConversation, at: datetime) -> None:
        each, number = command.conversation_id, len(self._conversations) + 1
        record = Record(
            each,
            number,
            command.kind,
            command.member_ids,
            at,
            command.name,
            command.metadata,
            member_count=len(command.member_ids),
        )
        self._conversations[each] = FakeConversation(record, Head(each, number, command.kind, command.member_ids))
        for user_id in command.member_ids:
            owner = command.kind is not ConversationKind.DIRECT and user_id == command.creator_id
            role = Role.OWNER if owner else Role.MEMBER
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
            if moved:
                self._members[reader] = replace(member, watermark=mark, acknowledged_at=at)
                seqs = {Stage.DELIVERED: mark.delivered_seq, Stage.READ: mark.read_seq}
                steps = [Step(stage, seqs[stage], at) for stage in sorted(moved)]
                self._steps.setdefault(reader, []).extend(steps)
        return results
