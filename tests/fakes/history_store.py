"""A message store in memory, under the same contract as the one on MongoDB."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from history.alterations import decide
from history.announcements import addressed, entry_of
from history.creation import Draft, created_id
from history.reading import LoggedChange, LoggedMessage, Step, Tip
from history.rules import direct_conversation, opens_direct, refuse_conversation, refuse_parent, refuse_stranger
from history.scene import Outcome, Scene, message_named, users_named
from history.sequence import Appended, Head, Key, Known, key_of, place
from history.store import NO_GATEWAYS, Advanced, Altered, Created, Reader
from history.watermarks import Goal, advance, merge
from shared.commands import Acknowledge, Alteration, CreateConversation, Role, SendMessage, Stage
from shared.errors import Conflict, NotAMember, NotFound, WarrenError
from shared.events import ConversationChanged
from shared.ids import ConversationId, GatewayId, MessageId, UserId
from tests.fakes.history_custody import FakeCustody
from tests.fakes.history_reads import FakeConversation


class FakeMessageStore(FakeCustody):
    """`MessageStore` in memory. `fail(n)` makes the next n calls an outage."""

    def __init__(self) -> None:
        super().__init__()
        self.taken_over = 0
        self._keys: dict[Key, MessageId] = {}
        self._homes: dict[str, ConversationId] = {}  # of every entry's id

    async def ping(self) -> bool:
        return not self._failures

    async def take_over(self) -> None:
        self.taken_over += 1

    # --- messages

    async def append(
        self,
        commands: Sequence[SendMessage],
        *,
        at: datetime,
        repeated: bool,
        via: Mapping[MessageId, GatewayId] = NO_GATEWAYS,
    ) -> list[Appended | WarrenError]:
        self._check()
        return [self._append(command, at, via.get(command.message_id)) for command in commands]

    def _append(self, command: SendMessage, at: datetime, via: GatewayId | None) -> Appended | WarrenError:
        each = command.conversation_id
        if key_of(command) in self._keys:
            logged, head = self._message(each, self._keys[key_of(command)]), self._conversations[each].head
            assert logged is not None
            message = msgspec.structs.replace(logged.message, version=logged.version)
            return Appended(message, logged.previous_at, head.audience, head.audience_version, repeat=True)
        if each not in self._conversations and opens_direct(command):
            self._add(Draft(direct_conversation(command), at))
        if command.message_id in self._homes:
            return Conflict("This message id is taken.", message_id=command.message_id)
        heads = {each: self._conversations[each].head} if each in self._conversations else {}
        placed, refused = place([command], heads, at, self._looked_up(command))
        if not placed:
            return refused[key_of(command)]
        message = placed[0].message
        self._keys[key_of(command)] = message.id
        self._log(each, LoggedMessage(message, message.version, placed[0].previous_at, via=via))
        return placed[0]

    def _looked_up(self, command: SendMessage) -> Known:
        each = command.conversation_id
        senders = frozenset({(each, command.sender_id)} if self._is_in(each, command.sender_id) else ())
        reply_to = command.reply_to
        there = reply_to is not None and self._message(each, reply_to) is not None
        return Known(senders, {(each, reply_to)} if reply_to is not None and there else set())

    def _log(self, conversation_id: ConversationId, entry: LoggedMessage | LoggedChange) -> None:
        self._homes[entry.message.id if isinstance(entry, LoggedMessage) else entry.id] = conversation_id
        self._conversations[conversation_id].log.append(entry)

    def _message(self, conversation_id: ConversationId, message_id: MessageId | None) -> LoggedMessage | None:
        if conversation_id not in self._conversations:
            return None
        messages = self._conversations[conversation_id].messages
        return next((logged for logged in messages if logged.message.id == message_id), None)

    def _is_in(self, conversation_id: ConversationId, user_id: UserId) -> bool:
        member = self._members.get((conversation_id, user_id))
        return member is not None and member.present

    # --- conversations

    async def create(self, commands: Sequence[CreateConversation], *, at: datetime) -> list[Created | WarrenError]:
        self._check()
        return [refuse_conversation(command) or self._create(command, at) for command in commands]

    def _create(self, command: CreateConversation, at: datetime) -> Created | WarrenError:
        each, creator = command.conversation_id, command.creator_id
        created = each not in self._conversations
        if created and command.parent_id is not None:
            parent = self._conversations.get(command.parent_id)
            kind, is_member = parent.record.kind if parent else None, self._is_in(command.parent_id, creator)
            if error := refuse_parent(command, kind, is_member=is_member):
                return error
        if created:
            self._add(Draft(command, at))
        if not self._is_in(each, creator):
            return NotAMember("This is another conversation of others.", conversation_id=each)
        record = self._conversations[each].record
        return Created(each, record.number, record.kind, created=created, entry=self._first_entry(each))

    def _first_entry(self, conversation_id: ConversationId) -> ConversationChanged | None:
        conversation = self._conversations[conversation_id]
        first = conversation.log[0] if conversation.log else None
        if not isinstance(first, LoggedChange):
            return None
        entry = addressed(entry_of(first, conversation.record, None), conversation.record)
        assert isinstance(entry, ConversationChanged)
        assert first.id == created_id(conversation_id)
        return entry

    def _add(self, draft: Draft) -> None:
        record = draft.record(len(self._conversations) + 1)
        self._conversations[record.id] = FakeConversation(record, Head.of(record, None))
        self._members.update({(record.id, member.user_id): member for member in draft.members()})
        if entry := draft.entry():
            self._commit(Outcome(entry, record))

    # --- alterations

    async def alter(self, command: Alteration, *, at: datetime) -> Altered | WarrenError:
        self._check()
        each = command.conversation_id
        if each not in self._conversations:
            missing = NotFound("There is no such conversation.", conversation_id=each)
            return (command.actor_id and refuse_stranger(command.actor_id, each, None)) or missing
        if command.change_id in self._homes:
            return self._again(command)
        scene = self._scene(command)
        outcome = decide(command, scene, at)
        if isinstance(outcome, Outcome):
            self._commit(outcome)
            return Altered(outcome.entry(), outcome.change.version)
        return outcome or Altered(None, scene.tip.version if scene.tip else 0)

    async def channels_left_over(self, space_id: ConversationId, user_id: UserId) -> list[ConversationId]:
        self._check()
        if self._is_in(space_id, user_id):
            return []
        channels = (each for each in self._conversations.values() if each.record.parent_id == space_id)
        return sorted(each.record.id for each in channels if self._is_in(each.record.id, user_id))

    def _again(self, command: Alteration) -> Altered | WarrenError:
        conversation = self._conversations[command.conversation_id]
        for change in conversation.log:
            if isinstance(change, LoggedChange) and change.id == command.change_id:
                message = self._message(command.conversation_id, change.message_id)
                if change.message_id is not None and message is None:
                    return Altered(None, change.version, repeat=True)
                late = self._latecomers(command.conversation_id, message)
                entry = Outcome(change, conversation.record, message, latecomers=late).entry()
                return Altered(entry, change.version, repeat=True)
        return Conflict("This change id is taken.", change_id=command.change_id)

    def _scene(self, command: Alteration) -> Scene:
        each, users = command.conversation_id, users_named(command)
        conversation, parent = self._conversations[each], self._conversations[each].record.parent_id
        message = self._message(each, message_named(command))
        head = conversation.head
        return Scene(
            conversation.record,
            Tip(head.seq, head.version, head.changed_at) if head.changed_at else None,
            {user_id: self._members[each, user_id] for user_id in users if (each, user_id) in self._members},
            owners=sum(member.role == Role.OWNER for member in self._present(each)),
            space=frozenset(user_id for user_id in users if parent is not None and self._is_in(parent, user_id)),
            message=message,
            latecomers=self._latecomers(each, message),
        )

    def _latecomers(self, conversation_id: ConversationId, logged: LoggedMessage | None) -> tuple[UserId, ...]:
        seq = logged.message.seq if logged else 0
        return tuple(member.user_id for member in self._present(conversation_id) if logged and member.first_seq > seq)

    def _commit(self, outcome: Outcome) -> None:
        change, each = outcome.change, outcome.record.id
        conversation = self._conversations[each]
        if (logged := outcome.message) is not None:
            places = (n for n, entry in enumerate(conversation.log) if entry.version == logged.version)
            conversation.log[next(places)] = logged
        self._log(each, change)
        self._members.update({(each, member.user_id): member for member in outcome.members})
        conversation.record = outcome.record
        conversation.head = Head.of(outcome.record, Tip(change.after_seq, change.version, change.at))

    # --- watermarks

    async def advance(
        self, acknowledgements: Sequence[Acknowledge], *, at: datetime
    ) -> dict[Reader, Advanced | WarrenError]:
        self._check()
        heads = {each: conversation.head for each, conversation in self._conversations.items()}
        goals, refused = merge(acknowledgements, heads)
        results: dict[Reader, Advanced | WarrenError] = {**refused}
        for reader, goal in goals.items():
            results[reader] = advance(reader, self._members.get(reader), goal, heads[reader[0]], at)
            self._move(reader, results[reader], goal, at)
        return results

    def _move(self, reader: Reader, result: Advanced | WarrenError, goal: Goal, at: datetime) -> None:
        if isinstance(result, WarrenError) or not result.moved:
            return
        mark = result.watermark
        self._members[reader] = replace(self._members[reader], watermark=mark, acknowledged_at=at)
        steps = self._steps.setdefault(reader, [])
        if Stage.DELIVERED in result.moved:
            steps.append(Step(Stage.DELIVERED, mark.delivered_seq, at, goal.pushed_at, goal.gateway_id))
        if Stage.READ in result.moved:
            steps.append(Step(Stage.READ, mark.read_seq, at))
