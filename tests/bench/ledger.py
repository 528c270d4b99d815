"""What was promised and what came: every stored message, once, in order. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """The books of a run. All but the first three must be zero."""

    sent: int
    stored: int
    received: int
    unanswered: int  # sent, and neither stored nor refused
    refused: int
    lost: int  # stored, and never received
    repeated: int
    out_of_order: int  # not the successor of the one before, or not at the seq that the sender was told

    @property
    def clean(self) -> bool:
        """Whether every message that was sent arrived once, in order."""
        return not (self.unanswered or self.refused or self.lost or self.repeated or self.out_of_order)


class Ledger:
    """The books of one conversation with one sender and one recipient, who count from its first message."""

    __slots__ = ("_last_seq", "out_of_order", "received", "refused", "repeated", "sent", "stored")

    def __init__(self) -> None:
        self.sent = 0
        self.refused = 0
        self.repeated = 0
        self.out_of_order = 0
        self.stored: dict[int, int] = {}  # seq, by the message's number
        self.received: dict[int, int] = {}
        self._last_seq = 0

    def receive(self, number: int, seq: int) -> None:
        """Enter a message that the recipient was pushed."""
        if number in self.received:
            self.repeated += 1
            return
        self.received[number] = seq
        if seq != self._last_seq + 1:
            self.out_of_order += 1
        self._last_seq = max(self._last_seq, seq)

    @property
    def settled(self) -> bool:
        """Whether nothing more is to come."""
        return len(self.stored) + self.refused == self.sent and self.stored.keys() <= self.received.keys()

    def verdict(self) -> Verdict:
        """Close the books."""
        both = self.stored.keys() & self.received.keys()
        misplaced = sum(self.stored[number] != self.received[number] for number in both)
        return Verdict(
            sent=self.sent,
            stored=len(self.stored),
            received=len(self.received),
            unanswered=self.sent - self.refused - len(self.stored),
            refused=self.refused,
            lost=len(self.stored.keys() - self.received.keys()),
            repeated=self.repeated,
            out_of_order=self.out_of_order + misplaced,
        )


def total(verdicts: list[Verdict]) -> Verdict:
    """Add up the books of all conversations."""
    fields = Verdict.__dataclass_fields__
    return Verdict(**{name: sum(getattr(verdict, name) for verdict in verdicts) for name in fields})
