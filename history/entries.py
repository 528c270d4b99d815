"""Entries of the log as the events that tell one reader of them, as things are now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from history.announcements import entry_of
from history.reading import ChangeKind, Logged, LoggedChange, LoggedMessage, Record
from history.sight import Sight
from history.views import nameless
from shared.events import Entry, MessageStored
from shared.ids import MessageId


@dataclass(frozen=True, slots=True)
class Telling:
    """How entries of one conversation are told to a reader: with the conversation and the messages they are about."""

    sight: Sight
    record: Record | None  # None where the entries are messages alone
    messages: Mapping[MessageId, LoggedMessage]

    def event(self, entry: Logged) -> Entry | None:
        """Give the event of an entry; None where the reader may not see what it says."""
        if isinstance(entry, LoggedMessage):
            return self._message(entry)
        if self.record is None:
            return None
        if entry.message_id is None:
            return entry_of(entry, self.record if self.sight.until is None else nameless(self.record), None)
        logged = self.messages.get(entry.message_id)
        if logged is None or not self.sight.shows(entry, logged):
            return None
        message = self.sight.message(logged)
        if entry.kind is ChangeKind.REACTION and message.deleted_at is not None:
            return None
        return entry_of(entry, self.record, message)

    def _message(self, logged: LoggedMessage) -> Entry | None:
        if logged.message.seq < self.sight.first_seq:
            return None
        message = replace(self.sight.message(logged), version=logged.version)
        return MessageStored(message=message, audience=(), previous_at=logged.previous_at)


def messages_wanted(entries: Sequence[Logged]) -> set[MessageId]:
    """Name the messages that changes among the entries are of."""
    return {entry.message_id for entry in entries if isinstance(entry, LoggedChange) and entry.message_id is not None}
