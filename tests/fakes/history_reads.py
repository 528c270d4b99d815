"""The reading half of the message store in memory."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from history.reading import Change, Membership, Record, Tip
from history.sequence import Head
from history.store import Reader
from shared.errors import StoreUnavailable
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, UserId


@dataclass
class FakeConversation:
    """A conversation, the end of its log, and its log."""

    record: Record
    head: Head
    log: list[Change]


class FakeLogReader:
    """`LogReader` in memory. `fail(n)` makes the next n calls an outage."""

    def __init__(self) -> None:
        self._conversations: dict[ConversationId, FakeConversation] = {}
        self._members: dict[Reader, Membership] = {}
        self._moved_at: dict[Reader, datetime] = {}
        self._failures = 0

    def fail(self, calls: int) -> None:
        """Make the next calls raise StoreUnavailable."""
        self._failures = calls

    def _check(self) -> None:
        if self._failures:
            self._failures -= 1
            raise StoreUnavailable("The fake store was told to fail.")

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
