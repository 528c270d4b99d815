"""What each member may be told, reckoned by hand from the log as it grows."""

from dataclasses import dataclass
from math import inf

from history.reading import ChangeKind, Logged, LoggedChange, LoggedMessage, Record
from shared.commands import HistoryRule
from tests.slice.model import PAGED, Frame


@dataclass
class Window:
    """One stay of a member: messages from a seq on, entries after one version and up to another."""

    first_seq: int
    since: int
    until: float = inf

    def shows(self, seq: int | None, version: int) -> bool:
        """Tell whether an entry is in it; `seq` is of the message that it is about, if it is about one."""
        return self.since < version <= self.until and (seq is None or seq >= self.first_seq)


class Chronicle:
    """Who was a member when, where each message has its place, and who has hidden it since."""

    def __init__(self) -> None:
        self._windows: dict[str, dict[str, list[Window]]] = {}
        self._places: dict[tuple[str, int], int] = {}  # the version of each message's own entry
        self._hidings: dict[tuple[str, int, str], int] = {}
        self._private: dict[tuple[str, int], str] = {}  # entries that one user alone is told

    def note(self, record: Record, entry: Logged) -> None:
        """Take the next entry of a log, and its conversation as it was before it."""
        if record.id not in self._windows:
            self._windows[record.id] = {user: [Window(1, 0)] for user in record.member_ids or ()}
        if isinstance(entry, LoggedMessage):
            self._places[record.id, entry.message.seq] = entry.version
        elif entry.kind is ChangeKind.HIDDEN:
            user = str(entry.actor_id)
            self._private[record.id, entry.version] = user
            self._hidings[record.id, entry.message_seq, user] = entry.version
        elif entry.kind is ChangeKind.MEMBER_ADDED:
            self._join(record, entry)
        elif entry.kind is ChangeKind.MEMBER_REMOVED:
            self._windows[record.id][entry.user_ids[0]][-1].until = entry.version

    def _join(self, record: Record, entry: LoggedChange) -> None:
        full = record.history is HistoryRule.FULL
        for user in entry.user_ids:
            stays = self._windows[record.id].setdefault(user, [])
            if not stays or stays[-1].until < entry.version:  # not one who only gets another role by it
                stays.append(Window(1, 0) if full else Window(entry.after_seq + 1, entry.version - 1))

    def allows(self, user: str, frame: Frame) -> bool:
        """Tell whether a user may at some time have been told an entry, or a message of a page."""
        data = frame["data"]
        room, seq, version = data["conversation_id"], data.get("seq"), data["version"]
        if frame["type"] in ("message", PAGED):
            place = self._places[room, seq]
            return (frame["type"] == PAGED or version == place) and self._shows(user, room, seq, place)
        if self._private.get((room, version), user) != user or version > self._hidings.get((room, seq, user), inf):
            return False
        return self._shows(user, room, seq, version)

    def _shows(self, user: str, room: str, seq: int | None, version: int) -> bool:
        return any(stay.shows(seq, version) for stay in self._windows[room].get(user, ()))
