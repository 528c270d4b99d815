"""Run one load: connect pairs of users, warm up, measure, wait for the rest, close the books."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from picows import ws_connect

from tests.bench.cpu import CpuMeter
from tests.bench.ledger import Ledger, Verdict, total
from tests.bench.peers import Clocks, Peer, Recipient, Sender

ACK_EVERY_S = 0.1
TICK_S = 0.005
CONNECTING_AT_ONCE = 20
PATIENCE_S = 15.0  # without progress, what is missing is lost
WELCOME_DEADLINE_S = 20.0

MintToken = Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run. Either `rate` (messages a second, whatever comes back) or `in_flight` (a sender's unanswered)."""

    name: str
    pairs: int
    seconds: float
    warm_up_s: float
    content_bytes: int
    rate: float | None = None
    in_flight: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of it. Latency: from when the message was due to the recipient's socket, in milliseconds."""

    plan: Plan
    seconds: float
    delivered_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    verdict: Verdict
    cpu_us_per_message: dict[str, float]
    cpu_cores: dict[str, float]
    refusals: dict[str, int]
    disconnects: list[str]

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, repeated, out of order, refused or disconnected."""
        return self.verdict.clean and not self.disconnects


@dataclass(slots=True)
class _Pairs:
    clocks: Clocks
    ledgers: list[Ledger] = field(default_factory=list)
    senders: list[Sender] = field(default_factory=list)
    recipients: list[Recipient] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def peers(self) -> list[Peer]:
        return [*self.senders, *self.recipients]


async def run(plan: Plan, urls: Sequence[str], mint: MintToken, cpu: CpuMeter, run_id: str) -> Result:
    """Carry out a plan with users of its own."""
    pairs = await _connect(plan, urls, mint, run_id)
    async with asyncio.TaskGroup() as tasks:
        acknowledging = tasks.create_task(_acknowledge(pairs.recipients), name="bench.acknowledge")
        sending = tasks.create_task(_send(plan, pairs), name="bench.send")
        clocks = pairs.clocks
        await asyncio.sleep(plan.warm_up_s)
        clocks.start, before = perf_counter(), cpu.read()
        await asyncio.sleep(plan.seconds)
        clocks.end, after = perf_counter(), cpu.read()
        sending.cancel()
        for sender in pairs.senders:
            sender.on_answer = _stop
        disconnects = [peer.closed for peer in pairs.peers if peer.closed is not None]
        await _settle(pairs.ledgers)
        acknowledging.cancel()
    for peer in pairs.peers:
        peer.close()
    return _result(plan, pairs, disconnects, {name: after[name] - before.get(name, 0.0) for name in after})


async def _connect(plan: Plan, urls: Sequence[str], mint: MintToken, run_id: str) -> _Pairs:
    pairs = _Pairs(Clocks())
    content = "x" * plan.content_bytes
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def connect(number: int) -> None:
        async with gate:
            ledger, to = Ledger(), f"{run_id}-r{number}"
            sender = Sender(await mint(f"{run_id}-s{number}"), to, content, ledger, pairs.clocks, pairs.refusals)
            recipient = Recipient(await mint(to), ledger, pairs.clocks)
            pairs.ledgers.append(ledger)
            pairs.senders.append(sender)
            pairs.recipients.append(recipient)
            await ws_connect(lambda: recipient, urls[(number + 1) % len(urls)])
            await ws_connect(lambda: sender, urls[number % len(urls)])

    async with asyncio.TaskGroup() as tasks:
        for number in range(plan.pairs):
            tasks.create_task(connect(number), name=f"bench.connect.{number}")
    async with asyncio.timeout(WELCOME_DEADLINE_S):
        for peer in pairs.peers:
            await peer.answered.wait()
    refused = [peer.closed for peer in pairs.peers if peer.closed is not None]
    if refused:
        raise ConnectionError(f"{len(refused)} of {2 * plan.pairs} users could not connect: {refused[0]}")
    return pairs


async def _send(plan: Plan, pairs: _Pairs) -> None:
    if plan.rate is not None:
        await _send_at_rate(plan.rate, pairs.senders)
    else:
        for _ in range(plan.in_flight or 1):
            for sender in pairs.senders:
                sender.on_answer = _send_next
                sender.send(perf_counter())


async def _send_at_rate(rate: float, senders: Sequence[Sender]) -> None:
    """Send each message at its time; a late one counts from when it was due, so a stall shows in every latency."""
    start, sent, turns = perf_counter(), 0, itertools.cycle(senders)
    while True:
        due = int((perf_counter() - start) * rate)
        for number in range(sent, due):
            next(turns).send(start + number / rate)
        sent = due
        await asyncio.sleep(TICK_S)


def _send_next(sender: Sender) -> None:
    sender.send(perf_counter())


def _stop(sender: Sender) -> None:
    pass


async def _acknowledge(recipients: Sequence[Recipient]) -> None:
    while True:
        await asyncio.sleep(ACK_EVERY_S)
        for recipient in recipients:
            recipient.acknowledge()


async def _settle(ledgers: Sequence[Ledger]) -> None:
    """Wait until everything has arrived, or nothing does any more."""
    last, since = -1, perf_counter()
    while not all(ledger.settled for ledger in ledgers) and perf_counter() - since < PATIENCE_S:
        progress = sum(len(ledger.stored) + len(ledger.received) + ledger.refused for ledger in ledgers)
        if progress != last:
            last, since = progress, perf_counter()
        await asyncio.sleep(0.05)


def _result(plan: Plan, pairs: _Pairs, disconnects: list[str], cpu_s: dict[str, float]) -> Result:
    clocks = pairs.clocks
    seconds = clocks.end - clocks.start
    latencies = sorted(clocks.latencies)
    delivered = max(clocks.delivered, 1)

    def percentile(share: float) -> float:
        return 1000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else float("nan")

    return Result(
        plan=plan,
        seconds=seconds,
        delivered_per_s=clocks.delivered / seconds,
        p50_ms=percentile(0.50),
        p95_ms=percentile(0.95),
        p99_ms=percentile(0.99),
        max_ms=percentile(1.0),
        verdict=total([ledger.verdict() for ledger in pairs.ledgers]),
        cpu_us_per_message={name: 1e6 * used_s / delivered for name, used_s in cpu_s.items()},
        cpu_cores={name: used_s / seconds for name, used_s in cpu_s.items()},
        refusals=dict(Counter(pairs.refusals)),
        disconnects=disconnects,
    )
