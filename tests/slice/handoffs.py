"""A broker whose way from delivery to the gateways is not to be trusted."""

from collections import defaultdict, deque

from shared.broker.api import Headers
from shared.broker.memory import MemoryBroker
from shared.broker.topology import GATEWAYS, Route
from shared.clock import Clock
from shared.envelope import Envelope, decode_batch, encode, join
from shared.events import Handoff, LogEvent

REMEMBERED = 4


class Mishaps:
    """What is to happen to the next hand-offs of entries to one gateway."""

    def __init__(self) -> None:
        self.is_lossy = False
        self._next: deque[str] = deque()
        self._late: list[Envelope] = []
        self._sent: deque[Envelope] = deque(maxlen=REMEMBERED)

    def add(self, what: str, times: int) -> None:
        """Let the next hand-offs be lost, be late (they come after the one that follows), or repeat earlier ones."""
        self._next.extend([what] * times)

    def end(self) -> None:
        """Let no more of it happen; what is late now is lost."""
        self.is_lossy = self.is_lossy or bool(self._late)
        self._next.clear()
        self._late.clear()

    def befall(self, envelopes: list[Envelope]) -> list[Envelope]:
        """Give what arrives of a batch."""
        return [arriving for envelope in envelopes for arriving in self._arriving(envelope)]

    def _arriving(self, envelope: Envelope) -> list[Envelope]:
        if not (isinstance(envelope.body, Handoff) and isinstance(envelope.body.event, LogEvent)):
            return [envelope]
        what = self._next.popleft() if self._next else ""
        earlier = tuple(self._sent)
        self._sent.append(envelope)
        if what == "lose":
            self.is_lossy = True
            return []
        if what == "late":
            self._late.append(envelope)
            return []
        late, self._late = self._late, []
        return [envelope, *reversed(late), *(earlier if what == "repeat" else ())]


class CarelessBroker(MemoryBroker):
    """A `MemoryBroker` that loses, delays and repeats hand-offs when it is told to. A real one does so with a queue."""

    def __init__(self, clock: Clock, *, parent: "CarelessBroker | None" = None) -> None:
        super().__init__(clock, parent=parent)
        self.mishaps: defaultdict[str, Mishaps] = parent.mishaps if parent else defaultdict(Mishaps)  # by gateway

    def connect(self) -> "CarelessBroker":
        child = CarelessBroker(self._clock, parent=self)
        self._children.append(child)
        return child

    async def publish(self, route: Route, body: bytes, *, headers: Headers | None = None) -> None:
        if route.exchange == GATEWAYS:
            envelopes, _ = decode_batch(body)
            body = join([encode(envelope) for envelope in self.mishaps[route.key].befall(envelopes)])
        await super().publish(route, body, headers=headers)
