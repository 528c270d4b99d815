"""The reading half of the message store in memory."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from history.reading import End, Logged, LoggedMessage, Membership, Record, Step, Tip, Trail, Wanted
from history.sequence import Head
from history.store import Reader
from shared.commands import ConversationKind, JoinRule, Stage
from shared.errors import StoreUnavailable
from shared.history_api import Watermark
from shared.ids import ConversationId, MessageId, UserId

TRAIL = 100  # moves of a watermark that are kept, as in the database


@dataclass
class FakeConversation:
    """A conversation, the end of its log, and its log in version order: messages as they are now."""

    record: Record
    head: Head
    log: list[Logged] = field(default_factory=list)

    @property
    def messages(self) -> list[LoggedMessage]:
        """The messages, in seq order."""
        return [entry for entry in self.log if isinstance(entry, LoggedMessage)]


class FakeLogReader:
    """`LogReader` in memory. `fail(n)` makes the next n calls an outage."""

    def __init__(self) -> None:
        self._conversations: dict[ConversationId, FakeConversation] = {}
        self._members: dict[Reader, Membership] = {}  # the left ones too
        self._steps: dict[Reader, list[Step]] = {}
        self._failures = 0

    def fail(self, calls: int) -> None:
        """Make the next calls raise StoreUnavailable."""
        self._failures = calls

    def _check(self) -> None:
        if self._failures:
            self._failures -= 1
            raise StoreUnavailable("The fake store was told to fail.")

    # --- members

    async def memberships(self, user_id: UserId) -> dict[ConversationId, Membership]:
        self._check()
        return {each: member for (each, user), member in self._members.items() if user == user_id}

    async def memberships_in(
        self, user_id: UserId, conversation_ids: Collection[ConversationId]
    ) -> dict[ConversationId, Membership]:
        return {each: member for each, member in (await self.memberships(user_id)).items() if each in conversation_ids}

    async def windows(self, conversation_id: ConversationId) -> dict[UserId, int]:
        self._check()
        return {member.user_id: member.since_version for member in self._present(conversation_id)}

    async def members_after(
        self, conversation_id: ConversationId, user_id: UserId | None, limit: int
    ) -> list[Membership]:
        self._check()
        found = [each for each in self._present(conversation_id) if user_id is None or each.user_id > user_id]
        return found[:limit]

    async def trails(self, conversation_id: ConversationId, limit: int) -> list[Trail]:
        self._check()
        return [self._trail(conversation_id, member) for member in self._present(conversation_id)[:limit]]

    def _trail(self, conversation_id: ConversationId, member: Membership) -> Trail:
        steps = self._steps.get((conversation_id, member.user_id), [])
        delivered = tuple(step for step in steps if step.stage is Stage.DELIVERED)
        read = tuple(step for step in steps if step.stage is Stage.READ)
        return Trail(member, delivered[-TRAIL:], read[-TRAIL:], len(delivered) <= TRAIL, len(read) <= TRAIL)

    async def watermarks(
        self, conversation_ids: Collection[ConversationId]
    ) -> dict[ConversationId, tuple[Watermark, ...]]:
        self._check()
        return {each: tuple(member.watermark for member in self._present(each)) for each in conversation_ids}

    async def acknowledged_after(
        self, conversation_ids: Collection[ConversationId], moment: datetime
    ) -> dict[ConversationId, datetime]:
        self._check()
        moved = [
            (member.acknowledged_at, each)
            for (each, _), member in self._members.items()
            if each in conversation_ids and member.acknowledged_at is not None and member.acknowledged_at > moment
        ]
        return {each: at for at, each in sorted(moved)}

    def _present(self, conversation_id: ConversationId) -> list[Membership]:
        members = sorted(self._members.items(), key=lambda item: item[0])
        return [member for (each, _), member in members if each == conversation_id and member.present]

    # --- conversations

    async def records(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Record]:
        self._check()
        return {each.record.id: each.record for each in self._known(conversation_ids)}

    async def numbered(self, number: int) -> Record | None:
        self._check()
        records = (each.record for each in self._conversations.values())
        return next((record for record in records if record.number == number), None)

    async def channels(self, space_id: ConversationId) -> list[Record]:
        self._check()
        return [each.record for each in self._conversations.values() if each.record.parent_id == space_id]

    async def named(self, name: str, inside: Collection[ConversationId]) -> Record | None:
        self._check()
        records = [
            record
            for each in self._conversations.values()
            if (record := each.record).name == name and record.kind is not ConversationKind.SPACE
        ]
        here = [each for each in records if each.id in inside]
        may_join = [
            each for each in records if each.join is JoinRule.OPEN and (not each.parent_id or each.parent_id in inside)
        ]
        return next(iter(sorted(here or may_join, key=lambda each: each.number)), None)

    async def open_channels(self, after: ConversationId | None, limit: int) -> list[Record]:
        self._check()
        records = (each.record for each in self._conversations.values() if each.record.id > (after or ""))
        found = [each for each in records if _is_open_channel(each)]
        return sorted(found, key=lambda each: each.id)[:limit]

    async def tips(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, Tip]:
        self._check()
        return {
            each.record.id: Tip(each.head.seq, each.log[-1].version, each.log[-1].at)
            for each in self._known(conversation_ids)
            if each.log
        }

    def _known(self, conversation_ids: Iterable[ConversationId]) -> list[FakeConversation]:
        return [self._conversations[each] for each in conversation_ids if each in self._conversations]

    # --- messages and other entries

    async def entries(
        self,
        conversation_id: ConversationId,
        *,
        after: int,
        floor: datetime,
        until: int | None,
        limit: int,
        newest: bool = True,
    ) -> list[Logged]:
        self._check()
        found = [
            entry
            for entry in self._conversations[conversation_id].log
            if entry.version > after and entry.at > floor and (until is None or entry.version <= until)
        ]
        return found[-limit:] if newest else found[:limit]

    async def messages(
        self, conversation_id: ConversationId, *, before: int | None, after: int, limit: int, newest: bool
    ) -> list[LoggedMessage]:
        self._check()
        found = [
            each
            for each in self._conversations[conversation_id].messages
            if each.message.seq > after and (before is None or each.message.seq < before)
        ]
        return found[-limit:] if newest else found[:limit]

    async def messages_by_id(self, message_ids: Collection[MessageId]) -> dict[MessageId, LoggedMessage]:
        self._check()
        messages = (each for conversation in self._conversations.values() for each in conversation.messages)
        return {each.message.id: each for each in messages if each.message.id in message_ids}

    async def ends(self, conversation_ids: Collection[ConversationId]) -> dict[ConversationId, End]:
        tips = await self.tips(conversation_ids)
        return {each: End(tip, next(iter(self._conversations[each].messages[-1:]), None)) for each, tip in tips.items()}

    async def unread(self, user_id: UserId, after: Mapping[ConversationId, int]) -> dict[ConversationId, int]:
        self._check()
        return dict(
            Counter(
                each.record.id
                for each in self._known(after)
                for logged in each.messages
                if logged.message.seq > after[each.record.id] and _counts(logged, user_id)
            )
        )

    async def found(self, wanted: Wanted, after: Mapping[ConversationId, int]) -> list[LoggedMessage]:
        self._check()
        found = [
            logged
            for each in self._known(after)
            for logged in each.messages
            if logged.message.seq > after[each.record.id] and _matches(logged, wanted)
        ]
        return sorted(found, key=lambda each: (each.at, each.message.seq), reverse=True)[: wanted.limit]

    async def mentions(self, wanted: Wanted, after: Mapping[ConversationId, int]) -> list[LoggedMessage]:
        return await self.found(replace(wanted, mentioned=True), after)


def _is_open_channel(record: Record) -> bool:
    return record.kind is ConversationKind.CHANNEL and record.join is JoinRule.OPEN and record.parent_id is None


def _matches(logged: LoggedMessage, wanted: Wanted) -> bool:
    message = logged.message
    return (
        _is_there(logged, wanted.user_id)
        and (wanted.text is None or wanted.text.lower() in message.content.lower())
        and (not wanted.mentioned or wanted.user_id in message.mentions)
        and (wanted.before is None or message.created_at < wanted.before)
    )


def _is_there(logged: LoggedMessage, user_id: UserId) -> bool:
    return logged.message.deleted_at is None and all(hidden.user_id != user_id for hidden in logged.hidings)


def _counts(logged: LoggedMessage, user_id: UserId) -> bool:
    return logged.message.sender_id != user_id and _is_there(logged, user_id)
