"""What a client holds that follows docs/protocol.md: it applies frames, and checks what it was promised."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

Frame: TypeAlias = dict[str, Any]
ENTRIES = ("message", "message.updated", "message.deleted", "reaction", "conversation")
PAGED = "paged"  # a message of a page, beside the entries
# A message's status follows from the watermarks; its version depends on the way by which it came.
VOLATILE = ("status", "delivered_at", "read_at", "version")


class Fetch(NamedTuple):
    """A page of history to ask for."""

    room_id: str
    before: int | None


@dataclass
class Room:
    """One conversation, as far as it is held."""

    version: int = 0
    messages: dict[int, Frame] = field(default_factory=dict)
    state: Frame | None = None
    marks: dict[tuple[str, str], int] = field(default_factory=dict)
    removed: bool = False
    cut_off: bool = False  # pages were wanted and refused
    first_seq: int = 1  # as the last sync said
    unbroken: bool = True  # each message's seq must be the next one
    last_seq: int = 0  # of the last message told as an entry: a page may be newer than entries under way
    fetching: bool = False
    meanwhile: list[Frame] = field(default_factory=list)  # entries since pages were asked for, not all of them in those

    def view(self) -> dict[int, Frame]:
        """Give the messages as they are compared."""
        return {seq: _shown(message) for seq, message in self.messages.items()}


class Reader:
    """The state of one client: what it was told live, what a sync told it, and what pages of history it fetched.

    Raises: AssertionError where an entry comes twice, or out of order.
    """

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.since: str | None = None
        self.rooms: dict[str, Room] = {}
        self.syncing = False
        self.behind = False  # entries were left out: a sync is to be asked for, and what comes until its end held back
        self.told: list[Frame] = []  # everything, whatever became of it
        self._fresh: dict[str, int] = {}  # versions beyond `since`
        self._pushed: dict[str, int] = {}  # the last versions pushed on this connection
        self._held: list[Frame] = []  # entries pushed before the sync's end
        self._changes: list[Frame] = []

    # --- live

    def push(self, frame: Frame) -> list[Fetch]:
        """Take a pushed frame; gives what is to be fetched because of it."""
        data = frame["data"]
        match frame["type"]:
            case "receipt" if data["stage"] in ("delivered", "read"):
                self._mark(data["conversation_id"], data["user_id"], data["stage"], data["seq"])
            case "lagged":
                self.behind = True
            case type_ if type_ in ENTRIES:
                self.told.append(frame)
                self._check_order(frame)
                if self.syncing or self.behind:
                    self._held.append(frame)
                else:
                    return self._next(frame)
        return []

    def _check_order(self, frame: Frame) -> None:
        room_id, version = _place(frame)
        last = self._pushed.get(room_id, 0)
        assert version > last, f"{self.user_id} was told version {version} after {last}: {frame}"
        self._pushed[room_id] = version

    def _next(self, frame: Frame) -> list[Fetch]:
        room_id, version = _place(frame)
        room = self.rooms.setdefault(room_id, Room())
        if version <= room.version:  # had on an earlier connection: `since` alone need not say so
            return []
        fetches = self._apply(room_id, room, frame)
        if self._joins(frame) and not room.fetching:  # older messages are not pushed
            fetches.append(self._stale(room_id, None))
        return fetches

    # --- sync

    def start(self) -> Frame:
        """Begin to sync: gives what to ask. What is pushed until the end is held back."""
        self.syncing = True
        self.behind = False
        self._changes = []
        return {"since": self.since, "conversations": dict(self._fresh)}

    def lost(self) -> None:
        """The connection is gone: the next sync brings what was held, and pages are to be asked for again."""
        self.syncing = False
        self.behind = False
        self._held = []
        self._pushed = {}

    def sync(self, answer: Frame) -> Frame | list[Fetch]:
        """Take an answer: gives what to ask next, or at the end the pages to fetch."""
        self._changes.extend(answer["conversations"])
        for changes in answer["conversations"]:
            self.told.extend(changes["events"])
            self._told_paged(changes["conversation"]["last_message"])
        if answer["has_more"]:
            return {"since": answer["since"]}
        self.syncing = False
        self._fresh = {}
        self.since = answer["since"]  # not before: what comes before it is had only now
        fetches: list[Fetch] = []
        for changes in self._changes:
            fetches += self._merge(changes)
        if self.behind:  # anew, and what is held waits for that
            return fetches
        held, self._held = self._held, []
        for frame in held:
            fetches += self._next(frame)
        return fetches

    def _merge(self, changes: Frame) -> list[Fetch]:
        room_id, view = changes["conversation_id"], changes["conversation"]
        room = self.rooms.setdefault(room_id, Room())
        fetches: list[Fetch] = []
        if changes["limited"]:
            fetches.append(self._stale(room_id, changes["before"]))
            room.version = 0
        pushed = [
            frame for frame in self._held if _place(frame) <= (room_id, changes["version"]) and _in(frame, room_id)
        ]
        self._held = [frame for frame in self._held if frame not in pushed]
        events = [*changes["events"], *pushed]
        versions = [_place(event)[1] for event in events]
        assert len(set(versions)) == len(versions), f"{self.user_id} was told the same twice: {sorted(versions)}"
        for event in sorted(events, key=lambda event: _place(event)[1]):
            if _place(event)[1] > room.version:
                self._apply(room_id, room, event)
        room.version = max(room.version, changes["version"])  # which `since` covers
        room.state = _state(view)
        room.removed = view["role"] is None
        room.first_seq = view["first_seq"]
        for mark in view["watermarks"]:
            self._mark(room_id, mark["user_id"], "delivered", mark["delivered_seq"])
            self._mark(room_id, mark["user_id"], "read", mark["read_seq"])
        return fetches

    # --- pages

    def page(self, room_id: str, answer: Frame) -> list[Fetch]:
        """Take a page: gives the next one to fetch, if there is one. Entries that came meanwhile may not be in it."""
        room = self.rooms[room_id]
        self._told_paged(*answer["messages"])
        for message in answer["messages"]:
            room.messages.setdefault(message["seq"], dict(message))
        for frame in room.meanwhile:
            self._change_message(room, frame)
        if answer["has_more"] and answer["messages"]:
            return [Fetch(room_id, answer["messages"][0]["seq"])]
        self.no_page(room_id)
        return []

    def _told_paged(self, *messages: Frame | None) -> None:
        self.told.extend({"type": PAGED, "data": message} for message in messages if message is not None)

    def no_page(self, room_id: str, *, refused: bool = False) -> None:
        """Take note that there is no further page."""
        room = self.rooms[room_id]
        room.cut_off = room.cut_off or refused
        room.fetching = False
        room.meanwhile.clear()

    def unfinished(self) -> list[Fetch]:
        """Give the fetches to start anew after a lost connection."""
        return [self._fetch(room_id, None) for room_id, room in self.rooms.items() if room.fetching]

    # --- entries

    def _apply(self, room_id: str, room: Room, frame: Frame) -> list[Fetch]:
        data = frame["data"]
        self._had(room_id, room, _place(frame)[1])
        if room.fetching:
            room.meanwhile.append(frame)
        if frame["type"] == "message":
            self._add(room, data)
        elif frame["type"] == "conversation":
            self._change_room(room, data)
        else:
            self._change_message(room, frame)
        return []

    def _add(self, room: Room, message: Frame) -> None:
        seq = message["seq"]
        if room.unbroken and room.last_seq:
            assert seq == room.last_seq + 1, f"{self.user_id} was told seq {seq} after {room.last_seq}"
        room.last_seq = seq
        room.unbroken = not room.fetching
        room.messages[seq] = dict(message)

    def _change_message(self, room: Room, frame: Frame) -> None:
        data = frame["data"]
        message = room.messages.get(data.get("seq"))
        if message is None or frame["type"] not in ENTRIES[1:4]:
            return
        if frame["type"] == "reaction":
            users = set(message["reactions"].get(data["emoji"], ()))
            users = users - {data["user_id"]} if data["removed"] else users | {data["user_id"]}
            message["reactions"] = {**message["reactions"], data["emoji"]: sorted(users)}
        else:
            room.messages[data["seq"]] = dict(data)

    def _change_room(self, room: Room, data: Frame) -> None:
        room.state = _state(data["conversation"])
        if self.user_id in data["user_ids"]:
            room.unbroken = False  # another window may begin
            if data["change"] == "member_removed":
                room.removed = True
            elif data["change"] == "member_added":
                room.removed = False

    def _joins(self, frame: Frame) -> bool:
        data = frame["data"]
        return frame["type"] == "conversation" and data["change"] == "member_added" and self.user_id in data["user_ids"]

    def _had(self, room_id: str, room: Room, version: int) -> None:
        if version > room.version:
            room.version = version
            self._fresh[room_id] = version

    def _mark(self, room_id: str, user_id: str, stage: str, seq: int) -> None:
        marks = self.rooms.setdefault(room_id, Room()).marks
        if seq > marks.get((user_id, stage), 0):
            marks[user_id, stage] = seq

    def _stale(self, room_id: str, before: int | None) -> Fetch:
        """Drop what is held of a conversation before a seq: it may have changed."""
        room = self.rooms.setdefault(room_id, Room())
        room.messages = {seq: message for seq, message in room.messages.items() if before and seq >= before}
        return self._fetch(room_id, before)

    def _fetch(self, room_id: str, before: int | None) -> Fetch:
        room = self.rooms[room_id]
        room.fetching = True
        room.unbroken = False
        room.meanwhile = []
        return Fetch(room_id, before)


def _place(frame: Frame) -> tuple[str, int]:
    return frame["data"]["conversation_id"], frame["data"]["version"]


def _in(frame: Frame, room_id: str) -> bool:
    return bool(frame["data"]["conversation_id"] == room_id)


def _state(view: Frame) -> Frame:
    names = ("id", "kind", "name", "metadata", "parent_id", "history", "join", "member_count")
    return {**{name: view[name] for name in names}, "members": sorted(view["members"])}


def _shown(message: Frame) -> Frame:
    shown = {name: value for name, value in message.items() if name not in VOLATILE}
    shown["reactions"] = {emoji: sorted(users) for emoji, users in message["reactions"].items() if users}
    return shown
