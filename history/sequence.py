"""How a message gets its place: the end of each conversation's log, and the next entry after it."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from history.permissions import refuse_mentions
from history.reading import Record, Tip
from history.rules import opens_direct, refuse_stranger
from shared.commands import ConversationKind, SendMessage
from shared.errors import Invalid, WarrenError
from shared.events import Message
from shared.ids import ConversationId, MessageId, UserId, message_number

Key: TypeAlias = tuple[ConversationId, UserId, str]  # conversation, sender, client id


@dataclass(frozen=True, slots=True)
class Appended:
    """A stored message with what its event needs."""

    message: Message
    previous_at: datetime | None  # when the version before it came to be
    audience: tuple[UserId, ...]  # empty in a large room
    members_version: int | None = None  # of a large room
    repeat: bool = False  # it was stored by an earlier command


@dataclass(slots=True)
class Head:
    """The end of one conversation's log, and who may write after it."""

    conversation_id: ConversationId
    number: int
    kind: ConversationKind
    member_ids: tuple[UserId, ...] | None  # None: too many to name
    seq: int = 0
    version: int = 0
    changed_at: datetime | None = None
    members_version: int = 0

    @classmethod
    def of(cls, record: Record, tip: Tip | None) -> "Head":
        """Put a head together."""
        head = cls(record.id, record.number, record.kind, record.member_ids, members_version=record.members_version)
        if tip is not None:
            head.seq, head.version, head.changed_at = tip.seq, tip.version, tip.at
        return head

    @property
    def audience(self) -> tuple[UserId, ...]:
        """Name the members, where they can be named."""
        return self.member_ids or ()

    @property
    def audience_version(self) -> int | None:
        """Say by which member list those are found who cannot be named here."""
        return self.members_version if self.member_ids is None else None

    def take(self, command: SendMessage, at: datetime) -> Appended:
        """Give a message the next place and move the head there."""
        previous_at = self.changed_at
        created_at = at if previous_at is None else max(at, previous_at)  # clocks of two replicas differ
        self.seq += 1
        self.version += 1
        self.changed_at = created_at
        message = Message(
            id=command.message_id,
            number=message_number(self.number, self.seq),
            conversation_id=command.conversation_id,
            seq=self.seq,
            version=self.version,
            client_id=command.client_id,
            sender_id=command.sender_id,
            sender_name=command.sender_name,
            type=command.type,
            content=command.content,
            created_at=created_at,
            metadata=command.metadata,
            reply_to=command.reply_to,
            mentions=command.mentions,
        )
        if self.member_ids is None:
            return Appended(message, previous_at, (), self.members_version)
        return Appended(message, previous_at, self.member_ids)


@dataclass(frozen=True, slots=True)
class Known:
    """What a batch needs besides heads: which senders are in large rooms, and which messages are there to reply to."""

    senders: frozenset[tuple[ConversationId, UserId]] = frozenset()
    messages: set[tuple[ConversationId, MessageId]] | None = None  # None: nobody replies to any


def key_of(value: SendMessage | Message) -> Key:
    """Give what makes a message the same message when it is sent again."""
    return value.conversation_id, value.sender_id, value.client_id


def place(
    commands: Iterable[SendMessage],
    heads: Mapping[ConversationId, Head],
    at: datetime,
    known: Known,
) -> tuple[list[Appended], dict[Key, WarrenError]]:
    """Give each command the next place in its conversation, in order; and refuse those that have none there."""
    placed: list[Appended] = []
    refused: dict[Key, WarrenError] = {}
    for command in commands:
        head = heads.get(command.conversation_id)
        error = _refuse(command, head, known)
        if error is not None:
            refused[key_of(command)] = error
        elif head is not None:
            placed.append(head.take(command, at))
            if known.messages is not None:
                known.messages.add((command.conversation_id, command.message_id))
    return placed, refused


def _refuse(command: SendMessage, head: Head | None, known: Known) -> WarrenError | None:
    if command.to is not None and not opens_direct(command):
        return Invalid("The conversation is not the one with that user.", conversation_id=command.conversation_id)
    if head is None:
        return refuse_stranger(command.sender_id, command.conversation_id, None)
    if head.member_ids is None:
        is_in = (command.conversation_id, command.sender_id) in known.senders
    else:
        is_in = command.sender_id in head.member_ids
    if not is_in:
        return refuse_stranger(command.sender_id, command.conversation_id, ())
    if head.kind is ConversationKind.SPACE:
        return Invalid("A space has no messages; its channels have.", conversation_id=command.conversation_id)
    if command.reply_to is not None and (command.conversation_id, command.reply_to) not in (known.messages or ()):
        return Invalid("The message that this replies to is not in the conversation.", reply_to=command.reply_to)
    return refuse_mentions(command.mentions, head.member_ids) if command.mentions else None


class Heads:
    """The heads in use, the longest unused ones forgotten.

    A head is a guess until the database has accepted the next seq: another writer may have moved on.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heads: OrderedDict[ConversationId, Head] = OrderedDict()

    def get(self, conversation_id: ConversationId) -> Head | None:
        """Give a head and count it as used."""
        head = self._heads.get(conversation_id)
        if head is not None:
            self._heads.move_to_end(conversation_id)
        return head

    def keep(self, heads: Iterable[Head]) -> None:
        """Add heads, and forget as many old ones as are too many."""
        for head in heads:
            self._heads[head.conversation_id] = head
        while len(self._heads) > self._limit:
            self._heads.popitem(last=False)

    def clear(self) -> None:
        """Forget all heads."""
        self._heads.clear()

    def drop(self, conversation_ids: Iterable[ConversationId]) -> None:
        """Forget heads that can no longer be trusted."""
        for conversation_id in conversation_ids:
            self._heads.pop(conversation_id, None)
