"""What operators do with users' data, in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from history.custody import Beginning, Move, Place, Reaction, Sent, Wording
from history.reading import ChangeKind, Logged, LoggedChange, LoggedMessage
from shared.ids import ConversationId, UserId
from tests.fakes.history_reads import FakeLogReader


class FakeCustody(FakeLogReader):
    """`Custody` over the conversations of the fake store."""

    def __init__(self) -> None:
        super().__init__()
        self._days: int | None = None
        self._leases: dict[str, tuple[str, datetime]] = {}

    async def places(self, user_id: UserId) -> list[Place]:
        self._check()
        return [
            Place(
                each,
                member.role,
                member.joined_at,
                member.left_at,
                member.watermark,
                tuple(Move(step.stage, step.seq, step.at) for step in self._steps.get((each, user), ())),
            )
            for (each, user), member in sorted(self._members.items())
            if user == user_id
        ]

    async def sent(self, conversation_id: ConversationId, user_id: UserId, *, after: str, limit: int) -> Sequence[Sent]:
        self._check()
        found = [
            logged
            for logged in self._conversations[conversation_id].messages
            if logged.message.sender_id == user_id and logged.message.client_id > after
        ]
        return [_sent(logged) for logged in sorted(found, key=lambda logged: logged.message.client_id)[:limit]]

    async def reactions_of(
        self, conversation_id: ConversationId, user_id: UserId, *, after: int, until: int
    ) -> Sequence[Reaction]:
        self._check()
        return [
            Reaction(logged.message.id, emoji)
            for logged in self._conversations[conversation_id].messages
            if after < logged.version <= until
            for emoji, users in logged.message.reactions.items()
            if user_id in users
        ]

    async def withdraw_reactions(
        self, conversation_id: ConversationId, user_id: UserId, *, after: int, until: int
    ) -> None:
        self._check()
        self._rewrite(
            conversation_id, lambda entry: _withdrawn(entry, user_id) if after < entry.version <= until else entry
        )

    async def blank_name(self, conversation_id: ConversationId, user_id: UserId) -> None:
        self._check()
        self._rewrite(conversation_id, lambda entry: _nameless(entry, user_id))

    def _rewrite(self, conversation_id: ConversationId, change: Callable[[Logged], Logged]) -> None:
        log = self._conversations[conversation_id].log
        log[:] = map(change, log)

    async def retention_days(self) -> int | None:
        self._check()
        return self._days

    async def set_retention_days(self, days: int | None) -> None:
        self._check()
        self._days = days

    async def take_lease(self, name: str, holder: str, *, at: datetime, until: datetime) -> bool:
        self._check()
        held = self._leases.get(name)
        if held is not None and held[0] != holder and held[1] > at:
            return False
        self._leases[name] = (holder, until)
        return True

    async def beginnings(self, after: ConversationId | None, limit: int) -> Sequence[Beginning]:
        self._check()
        ids = sorted(each for each in self._conversations if after is None or each > after)[:limit]
        logs = [(each, self._conversations[each].log) for each in ids]
        return [Beginning(each, log[0].at if log else None) for each, log in logs]

    async def remove_before(self, conversation_id: ConversationId, moment: datetime, limit: int) -> int:
        self._check()
        log = self._conversations[conversation_id].log
        old = [entry for entry in log[:-1] if entry.at < moment][:limit]
        del log[: len(old)]
        return len(old)


def _sent(logged: LoggedMessage) -> Sent:
    wordings = (Wording(edit.at, edit.content, edit.metadata, edit.mentions) for edit in logged.edits)
    return Sent(logged.message, tuple(wordings))


def _withdrawn(entry: Logged, user_id: UserId) -> Logged:
    if isinstance(entry, LoggedChange):
        of_user = entry.kind is ChangeKind.REACTION and entry.actor_id == user_id
        return replace(entry, removed=True) if of_user else entry
    left = {emoji: tuple(user for user in users if user != user_id) for emoji, users in entry.message.reactions.items()}
    reactions = {emoji: users for emoji, users in left.items() if users}
    return replace(entry, message=msgspec.structs.replace(entry.message, reactions=reactions))


def _nameless(entry: Logged, user_id: UserId) -> Logged:
    if isinstance(entry, LoggedChange) or entry.message.sender_id != user_id:
        return entry
    return replace(entry, message=msgspec.structs.replace(entry.message, sender_name=""))
