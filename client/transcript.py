"""What a chat shows of one conversation: its messages in order, and how far our own have come. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from client.events import ReactionChanged, ReceiptAdvanced
from client.sending import Sent
from client.wire import Message, Stage, Watermark

TYPING_EXPIRES_S = 5.0
_QUOTED = 40  # characters of a message that is replied to


class Tick(Enum):
    """How far one of our messages has come, as shown after it."""

    PENDING = "…"
    ACCEPTED = "◌"
    STORED = "✓"
    DELIVERED = "✓✓"
    READ = "✓✓ read"
    FAILED = "✗"


_STATUS_TICKS = {"delivered": Tick.DELIVERED, "read": Tick.READ}


@dataclass(slots=True)
class Line:
    """One message as shown, or, without a sender, a note. `seq` None: it has no place yet."""

    sender: str
    text: str
    client_id: str = ""
    seq: int | None = None
    tick: Tick | None = None  # of our own messages alone
    message_id: str = ""
    answers: "Line | None" = None  # what it replies to
    edited: bool = False
    deleted: bool = False
    reactions: dict[str, list[str]] = field(default_factory=dict)

    @property
    def body(self) -> str:
        """What was said, with what became of it."""
        text = "(deleted)" if self.deleted else self.text
        quoted = f"↪ {_quote(self.answers)} · " if self.answers is not None else ""
        edited = " (edited)" if self.edited and not self.deleted else ""
        reactions = "".join(
            f" {emoji}{len(users) if len(users) > 1 else ''}" for emoji, users in self.reactions.items()
        )
        return f"{quoted}{text}{edited}{reactions}"


class Transcript:
    """The messages of one conversation. `others`: its other members, as far as they are known."""

    def __init__(self, user_id: str) -> None:
        self._user_id = user_id
        self._stored: dict[int, Line] = {}  # by seq, ascending
        self._pending: dict[str, Line] = {}  # by client_id
        self._notes: list[tuple[int, Line]] = []  # each with the seq it was written after
        self._delivered: dict[str, int] = {}  # by reader
        self._read: dict[str, int] = {}
        self._typing: dict[str, tuple[str, float]] = {}  # by user: name, until when
        self.others: frozenset[str] = frozenset()

    @property
    def lines(self) -> list[Line]:
        """Every line, oldest first; what has no place yet comes last."""
        return [*self._placed(), *self._pending.values()]

    @property
    def first_seq(self) -> int | None:
        """The oldest seq shown."""
        return next(iter(self._stored), None)

    def at(self, seq: int) -> Line | None:
        """Give the message with a seq, if it is shown."""
        return self._stored.get(seq)

    def last(self, *, own: bool = False) -> Line | None:
        """Give the newest message that is not deleted; `own`: of ours."""
        lines = (line for line in reversed(self._stored.values()) if not line.deleted)
        return next((line for line in lines if not own or line.tick is not None), None)

    def note(self, text: str) -> Line:
        """Write a remark after what is shown."""
        line = Line("", text)
        self._notes.append((next(reversed(self._stored), 0), line))
        return line

    def write(self, client_id: str, text: str, reply_to: Line | None = None) -> Line:
        """Show a message that we are about to send."""
        line = Line(self._user_id, text, client_id, tick=Tick.PENDING, answers=reply_to)
        self._pending[client_id] = line
        return line

    def sent(self, sent: Sent) -> None:
        """Take the server's answer to a message of ours."""
        line = self._pending.get(sent.client_id)
        if line is None:
            return
        if sent.seq is None:
            line.tick = Tick.ACCEPTED
        else:
            del self._pending[sent.client_id]
            line.tick = Tick.STORED
            line.message_id = sent.message_id
            self._place(line, sent.seq)

    def failed(self, client_id: str) -> None:
        """Show that a message of ours was refused or given up."""
        if client_id in self._pending:
            self._pending[client_id].tick = Tick.FAILED

    def received(self, message: Message) -> Line | None:
        """Show a message, ours from any device included; gives its line where it is new."""
        own = message.sender_id == self._user_id
        pending = self._pending.pop(message.client_id, None) if own else None
        if message.seq in self._stored:
            return None
        line = pending or Line(message.sender_name or message.sender_id, message.content, message.client_id)
        if own:
            line.tick = _STATUS_TICKS.get(message.status, Tick.STORED)
        else:
            self._typing.pop(message.sender_id, None)
        self._update(line, message)
        self._place(line, message.seq)
        return line if pending is None else None

    def changed(self, message: Message) -> Line | None:
        """Show a message as it is now; gives its line where it is shown and looks different."""
        line = self._stored.get(message.seq)
        if line is None:
            return None
        before = line.body
        self._update(line, message)
        return line if line.body != before else None

    def reacted(self, change: ReactionChanged) -> Line | None:
        """Show a reaction, or that it was taken back; gives its line where it looks different."""
        line = self._stored.get(change.seq)
        users = line.reactions.get(change.emoji, []) if line is not None else []
        if line is None or (change.user_id in users) is not change.removed:
            return None
        users = [user for user in users if user != change.user_id] + ([] if change.removed else [change.user_id])
        if users:
            line.reactions[change.emoji] = users
        else:
            del line.reactions[change.emoji]
        return line

    def advanced(self, receipt: ReceiptAdvanced) -> Line | None:
        """Take a reader's watermark; gives the newest line of ours that it moved on."""
        return self._marked(receipt.user_id, receipt.stage, receipt.seq)

    def marked(self, watermarks: tuple[Watermark, ...]) -> None:
        """Take the watermarks of a conversation as it is shown."""
        for mark in watermarks:
            self._marked(mark.user_id, Stage.DELIVERED, mark.delivered_seq)
            self._marked(mark.user_id, Stage.READ, mark.read_seq)

    def typing(self, user_id: str, name: str, *, active: bool, now: float) -> None:
        """Note that someone types, or has stopped."""
        self._typing.pop(user_id, None)
        if active and user_id != self._user_id:
            self._typing[user_id] = (name or user_id, now + TYPING_EXPIRES_S)

    def who_types(self, now: float) -> list[str]:
        """Name those who type now."""
        return [name for name, until in self._typing.values() if now < until]

    def _placed(self) -> Iterator[Line]:
        notes = iter(self._notes)
        after, note = next(notes, (0, None))
        for seq, line in self._stored.items():
            while note is not None and after < seq:
                yield note
                after, note = next(notes, (0, None))
            yield line
        while note is not None:
            yield note
            after, note = next(notes, (0, None))

    def _place(self, line: Line, seq: int) -> None:
        last = next(reversed(self._stored), 0)
        line.seq = seq
        self._stored[seq] = line
        if seq < last:
            self._stored = dict(sorted(self._stored.items()))
        self._retick(line, self._reached(self._delivered), self._reached(self._read))

    def _update(self, line: Line, message: Message) -> None:
        line.text = message.content
        line.message_id = message.id
        line.edited = message.edited_at is not None
        line.deleted = message.deleted_at is not None
        line.reactions = {emoji: list(users) for emoji, users in message.reactions.items() if users}
        if message.reply_to is not None and line.answers is None:
            shown = (each for each in self._stored.values() if each.message_id == message.reply_to)
            line.answers = next(shown, Line("", "an earlier message"))

    def _marked(self, user_id: str, stage: Stage, seq: int) -> Line | None:
        if user_id == self._user_id:
            return None
        for marks in (self._delivered, self._read) if stage is Stage.READ else (self._delivered,):
            marks[user_id] = max(marks.get(user_id, 0), seq)  # what is read was delivered
        delivered, read = self._reached(self._delivered), self._reached(self._read)
        moved = None
        for line in self._stored.values():
            before = line.tick
            self._retick(line, delivered, read)
            if line.tick is not before:
                moved = line
        return moved

    def _reached(self, marks: dict[str, int]) -> int:
        """Give the seq up to which everything has come this far with all the others."""
        return min((marks.get(user, 0) for user in self.others or marks), default=0)

    def _retick(self, line: Line, delivered: int, read: int) -> None:
        if line.tick is None or line.seq is None:
            return
        if line.seq <= read:
            line.tick = Tick.READ
        elif line.seq <= delivered and line.tick is not Tick.READ:
            line.tick = Tick.DELIVERED


def _quote(line: Line) -> str:
    text = "(deleted)" if line.deleted else " ".join(line.text.split())
    sender = f"{line.sender}: " if line.sender else ""
    return sender + (text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…")
