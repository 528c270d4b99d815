"""Whatever is pushed, lost, left out or hidden: what the timeline tells adds up to the present state, in order."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from client import wire
from client.entries import entry, place
from client.events import Event, MessageDeleted, MessageEdited, MessageReceived, ReactionChanged
from client.timeline import Timeline
from tests.fakes.native_server import message

CHANGES = ("edit", "delete", "react", "hidden")


class Server:
    """One conversation's log, and one session that is pushed its entries."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}  # by seq, as they are now
        self.thumbs: dict[int, bool] = {}
        self.log: list[tuple[str, int]] = []  # kind and the message's seq; the version is the place
        self.wire: list[dict[str, Any]] = []  # on its way to the client
        self.pushes = True
        self.pushed: set[int] = set()  # versions, on this connection

    def append(self, kind: str, seq: int) -> None:
        version = len(self.log) + 1
        match kind:
            case "message":
                seq = len(self.texts) + 1
                self.texts[seq], self.thumbs[seq] = f"text {version}", False
            case "edit" | "delete":
                self.texts[seq] = f"text {version}" if kind == "edit" else ""
            case "react":
                self.thumbs[seq] = not self.thumbs[seq]
        self.log.append((kind, seq))
        if self.pushes:
            self.pushed.add(version)
            if kind != "hidden":
                self.wire.append(self.frame(version))

    def frame(self, version: int) -> dict[str, Any]:
        """Write an entry, with the state of its message."""
        kind, seq = self.log[version - 1]
        if kind == "react":
            on = self.thumbs[seq]
            data = {"conversation_id": "c", "version": version, "message_id": f"m{seq}", "seq": seq, "user_id": "bob"}
            return {"type": "reaction", "data": {**data, "emoji": "👍", "removed": not on}}
        reactions = {"👍": ["bob"]} if self.thumbs[seq] else {}
        data = message(seq, version=version, content=self.texts[seq], reactions=reactions)
        return {"type": {"edit": "message.updated", "delete": "message.deleted"}.get(kind, "message"), "data": data}

    def answer(self, had: int) -> list[dict[str, Any]]:
        """Answer a sync, and push on from there."""
        end = len(self.log)
        missing = [version for version in range(had + 1, end + 1) if version not in self.pushed]
        events = [self.frame(version) for version in missing if self.log[version - 1][0] != "hidden"]
        self.pushes = True
        self.pushed.update(missing)
        conversation = {"id": "c", "last_seq": len(self.texts), "last_version": end}
        return [{"conversation": conversation, "version": end, "events": events}] if missing else []

    def drop(self, *, pushes: bool) -> None:
        """Lose the connection; the next is pushed what comes, or that only after its sync."""
        self.wire.clear()
        self.pushed.clear()
        self.pushes = pushes

    def repeat(self, back: int) -> None:
        """Push an entry again."""
        version = len(self.log) + 1 - back
        if version in self.pushed and self.log[version - 1][0] != "hidden":
            self.wire.append(self.frame(version))


class Client:
    """A timeline as `CatchUp` drives it, and what a program makes of the events."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.timeline.since = "0"
        self.texts: dict[int, str] = {}
        self.thumbs: dict[int, bool] = {}
        self.told: list[int] = []  # versions
        self.question: int | None = None

    def hear(self, frames: Sequence[dict[str, Any]]) -> None:
        for frame in frames:
            if frame["type"] == "lagged":
                self.timeline.fall_behind()
            elif (found := entry(wire.decode(msgspec.json.encode(frame)))) is not None:
                self.tell(self.timeline.take(found))

    def ask(self) -> None:
        if self.timeline.behind and self.question is None:
            self.timeline.asking()
            since, versions = self.timeline.position()
            self.question = max(int(since or 0), versions.get("c", 0))

    def answered(self, answer: list[dict[str, Any]], since: int) -> None:
        self.question = None
        for changes in msgspec.json.decode(msgspec.json.encode(answer), type=list[wire.Changes]):
            self.tell(self.timeline.apply(changes))
        self.timeline.synced(str(since))
        self.tell(self.timeline.caught_up())

    def tell(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case MessageReceived(message) | MessageEdited(message) | MessageDeleted(message):
                    self.texts[message.seq], self.thumbs[message.seq] = message.content, bool(message.reactions)
                    self.told.append(message.version)
                case ReactionChanged():
                    self.thumbs[event.seq] = not event.removed
                    self.told.append(place(event)[1])


def play(steps: list[tuple[str, int]]) -> tuple[Server, Client]:
    server, client = Server(), Client()
    for what, number in steps:
        match what:
            case "hear":
                frames, server.wire = server.wire[:number], server.wire[number:]
                client.hear(frames)
            case "lag" if server.pushes:
                server.pushes = False
                server.wire.append({"type": "lagged", "data": {}})
            case "drop":
                server.drop(pushes=number > 2)
                client.timeline.lost()
                client.question = None
            case "repeat":
                server.repeat(number)
            case "ask":
                client.ask()
            case "answer" if client.question is not None:
                answer = server.answer(client.question)
                since = len(server.log)
                client.hear(server.wire)  # it was pushed before the answer went out
                server.wire = []
                client.answered(answer, since)
            case "message":
                server.append("message", 0)
            case _ if what in CHANGES and server.texts:
                server.append(what, number % len(server.texts) + 1)
    return server, client


END = [("drop", 1), ("ask", 0), ("answer", 0)]
STEPS = ["message", "message", *CHANGES, "hear", "hear", "lag", "drop", "repeat", "ask", "answer", "answer"]
steps = st.lists(
    st.tuples(
        st.sampled_from(STEPS),
        st.integers(1, 4),
    ),
    max_size=60,
)


GAP_IN_WHAT_WAS_PUSHED = [("drop", 3), ("message", 1), ("hidden", 1), ("edit", 1), ("ask", 1), ("answer", 1)]


@settings(max_examples=400, deadline=None)
@given(steps)
@example(GAP_IN_WHAT_WAS_PUSHED)
def test_what_is_told_adds_up_to_the_present(steps: list[tuple[str, int]]) -> None:
    server, client = play([*steps, *END])
    assert not client.timeline.behind
    assert (client.texts, client.thumbs) == (server.texts, server.thumbs)


@settings(max_examples=400, deadline=None)
@given(steps)
def test_every_visible_entry_is_told_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    server, client = play([*steps, *END])
    assert client.told == [version for version, (kind, _) in enumerate(server.log, start=1) if kind != "hidden"]


@settings(max_examples=400, deadline=None)
@given(steps)
@example([("drop", 3), ("message", 1), ("hidden", 1), ("ask", 1), ("message", 1)])
def test_one_sync_is_enough_to_catch_up_with_what_is_on_its_way(steps: list[tuple[str, int]]) -> None:
    earlier = ("answer", 0)  # one asked before all that was heard may leave a gap
    _, client = play([*steps, earlier, ("hear", 100), ("ask", 0), ("answer", 0)])
    assert not client.timeline.behind
