"""What became of the messages that came in: which were had before, and which receipts the server does not know yet."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeAlias

MAX_REMEMBERED = 10_000
ReceiptKey: TypeAlias = tuple[str, str]  # event, message id


class Arrival(Enum):
    """What an incoming message is to this client."""

    NEW = auto()
    UNDERWAY = auto()  # its callback has not returned
    REPEAT = auto()


class Received:
    """The ids of the messages that came last; the server pushes one again until it is acknowledged. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._finished: OrderedDict[str, bool] = OrderedDict()

    def take(self, message_id: str) -> Arrival:
        """Judge a message that came, and remember it."""
        with self._lock:
            finished = self._finished.get(message_id)
            if finished is not None:
                return Arrival.REPEAT if finished else Arrival.UNDERWAY
            self._finished[message_id] = False
            if len(self._finished) > MAX_REMEMBERED:
                self._finished.popitem(last=False)
            return Arrival.NEW

    def finish(self, message_id: str) -> None:
        """Note that the program has it."""
        with self._lock:
            self._finished[message_id] = True

    def forget(self, message_id: str) -> None:
        """Note that the program does not have it: it is new when it comes again."""
        with self._lock:
            self._finished.pop(message_id, None)

    def forget_underway(self) -> None:
        """Note that the callbacks that were to come will not."""
        with self._lock:
            self._finished = OrderedDict((key, True) for key, finished in self._finished.items() if finished)


class Receipts:
    """Receipts to tell, in order, until the server has confirmed them. Thread-safe; beyond a limit the oldest go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unconfirmed: OrderedDict[ReceiptKey, dict[str, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._unconfirmed)

    def add(self, event: str, receipt: dict[str, Any]) -> ReceiptKey:
        """Keep a receipt until `confirm`."""
        key = (event, str(receipt["message_id"]))
        with self._lock:
            self._unconfirmed[key] = receipt
            if len(self._unconfirmed) > MAX_REMEMBERED:
                self._unconfirmed.popitem(last=False)  # a later receipt covers it
        return key

    def confirm(self, key: ReceiptKey) -> None:
        """Note that the server knows it."""
        with self._lock:
            self._unconfirmed.pop(key, None)

    def unconfirmed(self) -> list[tuple[ReceiptKey, dict[str, Any]]]:
        """List them in order."""
        with self._lock:
            return list(self._unconfirmed.items())


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What one user has had and acknowledged; it outlives the connections."""

    received: Received = field(default_factory=Received)
    receipts: Receipts = field(default_factory=Receipts)


def receipt_of(message_id: int | str, user_id: int | str) -> dict[str, Any]:
    """Write a receipt: the server counts messages with integers."""
    text = str(message_id)
    return {"message_id": int(text) if text.isdecimal() else text, "user_id": user_id}
