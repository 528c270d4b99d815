"""What a chat shows of one conversation: its messages in order, and how far our own have come. Pure."""

from dataclasses import dataclass
from enum import Enum

from client.events import ReceiptAdvanced
from client.sending import Sent
from client.wire import Message, Stage

TYPING_EXPIRES_S = 5.0


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
    """One message as shown. `seq` None: it has no place yet."""

    sender: str
    text: str
    client_id: str
    seq: int | None = None
    tick: Tick | None = None  # of our own messages alone


class Transcript:
    """The messages of one conversation with one peer."""

    def __init__(self, user_id: str) -> None:
        self._user_id = user_id
        self._stored: dict[int, Line] = {}  # by seq, ascending
        self._pending: dict[str, Line] = {}  # by client_id
        self._delivered_seq = 0
        self._read_seq = 0
        self._typing: dict[str, tuple[str, float]] = {}  # by user: name, until when

    @property
    def lines(self) -> list[Line]:
        """Every line, oldest first; what has no place yet comes last."""
        return [*self._stored.values(), *self._pending.values()]

    @property
    def first_seq(self) -> int | None:
        """The oldest seq shown."""
        return next(iter(self._stored), None)

    def write(self, client_id: str, text: str) -> Line:
        """Show a message that we are about to send."""
        line = self._pending[client_id] = Line(self._user_id, text, client_id, tick=Tick.PENDING)
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
        self._place(line, message.seq)
        return line if pending is None else None

    def advanced(self, receipt: ReceiptAdvanced) -> Line | None:
        """Take a reader's watermark; gives the newest line of ours that it moved on."""
        if receipt.user_id == self._user_id:
            return None
        if receipt.stage is Stage.READ:
            self._read_seq = max(self._read_seq, receipt.seq)
        self._delivered_seq = max(self._delivered_seq, receipt.seq)  # what is read was delivered
        moved = None
        for line in self._stored.values():
            before = line.tick
            self._retick(line)
            if line.tick is not before:
                moved = line
        return moved

    def typing(self, user_id: str, name: str, *, active: bool, now: float) -> None:
        """Note that someone types, or has stopped."""
        self._typing.pop(user_id, None)
        if active and user_id != self._user_id:
            self._typing[user_id] = (name or user_id, now + TYPING_EXPIRES_S)

    def who_types(self, now: float) -> list[str]:
        """Name those who type now."""
        return [name for name, until in self._typing.values() if now < until]

    def _place(self, line: Line, seq: int) -> None:
        last = next(reversed(self._stored), 0)
        line.seq = seq
        self._stored[seq] = line
        if seq < last:
            self._stored = dict(sorted(self._stored.items()))
        self._retick(line)

    def _retick(self, line: Line) -> None:
        if line.tick is None or line.seq is None:
            return
        if line.seq <= self._read_seq:
            line.tick = Tick.READ
        elif line.seq <= self._delivered_seq and line.tick is not Tick.READ:
            line.tick = Tick.DELIVERED
