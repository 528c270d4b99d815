"""What one member may see of a conversation: its window, and messages as they are to that member."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from msgspec.structs import replace as with_fields

from history.reading import MAX_EDITS, ChangeKind, Edit, Hiding, Logged, LoggedChange, LoggedMessage, Membership
from shared.commands import EMPTY_OBJECT
from shared.events import Message
from shared.ids import UserId


@dataclass(frozen=True, slots=True)
class Sight:
    """What a user may see: messages from `first_seq` on; who has left, everything as it was at `until`."""

    user_id: UserId
    joined_at: datetime
    first_seq: int = 1
    until: int | None = None

    @classmethod
    def of(cls, membership: Membership) -> Self:
        """Give what a member, or who was one, may see."""
        return cls(membership.user_id, membership.joined_at, membership.first_seq, membership.left_version)

    def hiding(self, logged: LoggedMessage) -> Hiding | None:
        """Tell when the user deleted a message for themselves."""
        return next((each for each in logged.hidings if each.user_id == self.user_id), None)

    def message(self, logged: LoggedMessage) -> Message:
        """Give a message as it is to the user."""
        if self.until is not None:
            logged = _as_of(self.until, logged)
        hiding = self.hiding(logged)
        if hiding is None:
            return logged.message
        return tombstone(logged.message, version=hiding.version, at=hiding.at)

    def last(self, logged: LoggedMessage | None) -> Message | None:
        """Give the last message of a conversation, if the user may see it."""
        if logged is None or logged.message.seq < self.first_seq or self.until is not None:
            return None
        return self.message(logged)

    def shows(self, change: LoggedChange, logged: LoggedMessage) -> bool:
        """Tell whether the user may see a change of a message; of one they hid, only that they did."""
        if logged.message.seq < self.first_seq:
            return False
        hiding = self.hiding(logged)
        if change.kind is ChangeKind.HIDDEN:
            return hiding is not None and hiding.version == change.version
        return hiding is None

    def clip(self, entries: Sequence[Logged]) -> Sequence[Logged]:
        """Leave out what came after the user was removed, where that became known only by these entries.

        From an earlier removal they are back, though the entry that says so may be on a later page.
        """
        inside, end = True, len(entries)
        for place, entry in enumerate(entries):
            if isinstance(entry, LoggedChange) and entry.at >= self.joined_at and self.user_id in entry.user_ids:
                if entry.kind is ChangeKind.MEMBER_REMOVED:
                    inside, end = False, place + 1
                elif entry.kind is ChangeKind.MEMBER_ADDED:
                    inside = True
        return entries if inside else entries[:end]


def _as_of(version: int, logged: LoggedMessage) -> LoggedMessage:
    """Give a message as it was at a version of the log; what is deleted since stays so."""
    message = logged.message
    if message.version <= version:
        return logged
    later = next((edit for edit in logged.edits if edit.version > version), None)
    message = with_fields(message, reactions={}) if later is None else _before(later, message, logged.edits)
    hidings = tuple(hiding for hiding in logged.hidings if hiding.version <= version)
    return replace(logged, message=message, hidings=hidings)


def _before(edit: Edit, message: Message, edits: Sequence[Edit]) -> Message:
    earlier = [each.at for each in edits if each.version < edit.version]
    forgotten = not earlier and len(edits) >= MAX_EDITS  # there may have been earlier ones
    return with_fields(
        message,
        content="" if forgotten else edit.content,
        metadata=EMPTY_OBJECT if forgotten else edit.metadata,
        mentions=() if forgotten else edit.mentions,
        reactions={},  # who had reacted by then is not kept
        edited_at=earlier[-1] if earlier else None,
    )


def tombstone(message: Message, *, version: int, at: datetime) -> Message:
    """Give what is left of a deleted message: its place, and whose it was."""
    return with_fields(
        message,
        version=version,
        content="",
        metadata=EMPTY_OBJECT,
        mentions=(),
        reactions={},
        edited_at=None,
        deleted_at=at,
    )
