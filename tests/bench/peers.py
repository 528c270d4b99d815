"""The users of a run: as little code per message as a socket can take, so that the machine works for the stack."""

import asyncio
from collections.abc import Callable, Iterator
from time import perf_counter

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from tests.bench.ledger import Ledger


class _Data(msgspec.Struct):
    status: str = ""
    stage: str = ""
    client_id: str = ""
    conversation_id: str = ""
    seq: int = 0
    code: str = ""


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Frame(msgspec.Struct):
    type: str
    id: str | None = None
    data: _Data = msgspec.field(default_factory=_Data)
    error: _Error | None = None


_DECODER = msgspec.json.Decoder(_Frame)


class Clocks:
    """When each message was due, by its number, and the window that counts."""

    def __init__(self) -> None:
        self.due_at: list[float] = []
        self.start = float("inf")  # of the window
        self.end = float("inf")
        self.latencies: list[float] = []  # of messages due in the window
        self.delivered = 0  # within the window

    def number(self, due_at: float) -> int:
        """Give the next message its number."""
        self.due_at.append(due_at)
        return len(self.due_at) - 1

    def arrived(self, number: int, now: float) -> None:
        """Take the time of an arrival."""
        due_at = self.due_at[number]
        if self.start <= due_at < self.end:
            self.latencies.append(now - due_at)
        if self.start <= now < self.end:
            self.delivered += 1


class Peer(WSListener):
    """One user's socket."""

    def __init__(self, token: str, *, echo: bool) -> None:
        self._hello = msgspec.json.encode({"type": "hello", "id": "hello", "data": {"token": token, "echo": echo}})
        self._transport: WSTransport | None = None
        self.answered = asyncio.Event()  # welcomed, or closed
        self.closed: str | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.send(WSMsgType.TEXT, self._hello)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            read = _DECODER.decode(frame.get_payload_as_memoryview())
            if read.id == "hello":
                if read.error is not None:
                    self.closed = f"{read.error.code}: {read.error.message}"
                self.answered.set()
            else:
                self.on_frame(read)
        elif frame.msg_type is WSMsgType.CLOSE:
            self.closed = f"{frame.get_close_code()} {frame.get_close_reason()}"

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed = self.closed or "lost"
        self.answered.set()

    def on_frame(self, frame: _Frame) -> None:
        raise NotImplementedError

    def write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, frame)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.disconnect(graceful=False)


class Sender(Peer):
    """Sends to one recipient, and keeps the books of what it was told."""

    def __init__(self, token: str, to: str, content: str, ledger: Ledger, clocks: Clocks, refusals: list[str]) -> None:
        super().__init__(token, echo=False)
        before, after = msgspec.json.encode({"to": to, "content": content, "client_id": "\0"}).split(b'"\\u0000"')
        self._before = b'","data":' + before
        self._after = after + b"}"
        self._ledger = ledger
        self._clocks = clocks
        self._refusals = refusals
        self.on_answer: Callable[[Sender], None] = _nothing

    def send(self, due_at: float) -> None:
        number = b"%d" % self._clocks.number(due_at)
        self._ledger.sent += 1
        self.write(b'{"type":"send","id":"' + number + self._before + b'"' + number + b'"' + self._after)

    def on_frame(self, frame: _Frame) -> None:
        data = frame.data
        if frame.type == "reply":
            if data.status == "stored":
                self._ledger.stored[int(data.client_id)] = data.seq
            self.on_answer(self)
        elif frame.type == "error" or (frame.type == "receipt" and data.stage == "failed"):
            self._ledger.refused += 1
            self._refusals.append(frame.error.code if frame.error is not None else data.code)
            self.on_answer(self)
        elif frame.type == "receipt" and data.stage == "stored":
            self._ledger.stored[int(data.client_id)] = data.seq


def _nothing(sender: Sender) -> None:
    pass


class Recipient(Peer):
    """Keeps the books of what it is pushed, and acknowledges up to the last."""

    def __init__(self, token: str, ledger: Ledger, clocks: Clocks) -> None:
        super().__init__(token, echo=False)
        self._ledger = ledger
        self._clocks = clocks
        self._conversation_id = b""
        self._seq = 0
        self._acknowledged = 0

    def on_frame(self, frame: _Frame) -> None:
        if frame.type == "message":
            data = frame.data
            number = int(data.client_id)
            self._clocks.arrived(number, perf_counter())
            self._ledger.receive(number, data.seq)
            if data.seq > self._seq:
                self._seq = data.seq
                self._conversation_id = data.conversation_id.encode()

    def acknowledge(self) -> None:
        """Say that everything so far is delivered and read, as a client does now and then."""
        if self._seq > self._acknowledged:
            self._acknowledged = self._seq
            for frame in self._acknowledgements():
                self.write(frame)

    def _acknowledgements(self) -> Iterator[bytes]:
        for stage in (b"delivered", b"read"):
            yield b'{"type":"ack","data":{"conversation_id":"%s","seq":%d,"stage":"%s"}}' % (
                self._conversation_id,
                self._seq,
                stage,
            )
