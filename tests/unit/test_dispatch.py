import asyncio
from collections.abc import Mapping, Sequence

import pytest

from shared.broker.api import Failures, Handler, Headers, Received, Refusal
from shared.broker.dispatch import Batch, Dispatcher, judge
from shared.broker.memory import MemoryBroker
from shared.broker.retry import FIRST_ERROR_HEADER
from shared.broker.topology import DELAY_HEADER, Queue, RetryLadder, Route, Topology
from shared.commands import Acknowledge, SendMessage, Stage
from shared.envelope import Envelope, decode_batch
from shared.errors import (
    BrokerUnavailable,
    Failed,
    FailureKind,
    Malformed,
    NotAMember,
    StoreUnavailable,
    WarrenError,
)
from shared.ids import ConversationId, MessageId, UserId
from tests.fakes.clock import START, FakeClock

LADDER = RetryLadder(delays_s=(1, 10))
QUEUE = Queue("work.0", family="work", ladder=LADDER)


def command(name: str, attempt: int = 1) -> Received:
    body = SendMessage(
        message_id=MessageId(name),
        conversation_id=ConversationId("room"),
        sender_id=UserId("alice"),
        sender_name="Alice",
        client_id=name,
    )
    return Received(Envelope(id=name, trace_id="t", occurred_at=START, body=body, attempt=attempt))


def receipt(name: str) -> Received:
    body = Acknowledge(conversation_id=ConversationId("room"), user_id=UserId("bob"), stage=Stage.READ, seq=1)
    return Received(Envelope(id=name, trace_id="t", occurred_at=START, body=body))


class Outbox(MemoryBroker):
    """Keeps what is published; fails the first calls as told."""

    def __init__(self, *errors: WarrenError) -> None:
        super().__init__(FakeClock())
        self.sent: list[tuple[Route, bytes, Headers]] = []
        self._errors = list(errors)

    async def publish(self, route: Route, body: bytes, *, headers: Headers | None = None) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.sent.append((route, body, headers or {}))


class Bench:
    """A dispatcher with everything around it recorded."""

    def __init__(self, handlers: Mapping[type, Handler], queue: Queue = QUEUE, broker: Outbox | None = None) -> None:
        self.broker = broker or Outbox()
        self.refusals: list[Refusal] = []
        self.pauses: list[float] = []
        self._dispatcher = Dispatcher(
            self.broker,
            queue,
            handlers,
            clock=FakeClock(),
            new_id=lambda: "dead-1",
            refuse=self._refuse,
            pause=self._pause,
        )

    async def handle(self, *items: Received, first_errors: Mapping[str, str] | None = None) -> None:
        await self._dispatcher.handle(Batch(items, first_errors=first_errors or {}))

    @property
    def routes(self) -> list[tuple[str, str]]:
        return [(route.exchange.name, route.key) for route, _, _ in self.broker.sent]

    async def _refuse(self, refusals: Sequence[Refusal]) -> None:
        self.refusals.extend(refusals)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


class Calls:
    """A handler that keeps the ids of each call and answers with `failures`, or raises where given an error."""

    def __init__(self, *answers: Failures | Exception) -> None:
        self.batches: list[list[str]] = []
        self._answers = list(answers)

    async def __call__(self, batch: Sequence[Received]) -> Failures:
        self.batches.append([item.envelope.id for item in batch])
        answer = self._answers.pop(0) if self._answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


# --- judge


def test_failures_are_sorted_by_what_they_deserve() -> None:
    items = [command("done"), command("no"), command("again"), command("over", attempt=3), command("bad")]
    failures = {
        "no": NotAMember("No."),
        "again": Failed("Later."),
        "over": Failed("Never."),
        "bad": Malformed("What?"),
    }
    batch = Batch(items, [(b"?", Malformed("Poison."))], {"over": "Failed: At first."})
    verdicts = judge(batch, failures, LADDER)
    ((key, envelopes),) = verdicts.retries.items()
    assert key == (1, "Failed: Later.")
    assert [(one.id, one.attempt, one.error) for one in envelopes] == [("again", 2, "Failed: Later.")]
    assert [(one.envelope.id, one.given_up) for one in verdicts.refusals] == [("no", False), ("over", True)]
    letters = [(one.reason, one.attempts, one.first_error, one.last_error) for one in verdicts.dead]
    assert letters == [
        (FailureKind.TRANSIENT, 3, "Failed: At first.", "Failed: Never."),
        (FailureKind.MALFORMED, 1, "Malformed: What?", "Malformed: What?"),
        (FailureKind.MALFORMED, 1, "Malformed: Poison.", "Malformed: Poison."),
    ]
    assert verdicts.dropped == []


def test_without_a_ladder_transient_and_malformed_items_are_dropped() -> None:
    failures = {"a": Failed("Later."), "b": Malformed("What?"), "c": NotAMember("No.")}
    verdicts = judge(Batch([command("a"), command("b"), command("c")], [(b"?", Malformed("x"))]), failures, None)
    assert [item.envelope.id for item, _ in verdicts.dropped] == ["a", "b"]
    assert [one.envelope.id for one in verdicts.refusals] == ["c"]
    assert (verdicts.dead, dict(verdicts.retries)) == ([], {})


# --- the dispatcher


async def test_handlers_run_in_the_order_they_are_listed_each_with_its_items_in_order() -> None:
    order: list[list[str]] = []

    async def store(batch: Sequence[Received]) -> Failures:
        order.append([item.envelope.id for item in batch])
        return {}

    async def read(batch: Sequence[Received]) -> Failures:
        order.append([item.envelope.id for item in batch])
        return {}

    bench = Bench({Acknowledge: read, SendMessage: store})
    await bench.handle(command("1"), receipt("2"), command("3"), receipt("4"))
    assert order == [["2", "4"], ["1", "3"]]


async def test_a_type_that_nothing_handles_is_malformed() -> None:
    bench = Bench({SendMessage: Calls()})
    await bench.handle(receipt("1"))
    assert bench.routes == [("warren.dead", "work")]
    assert bench.refusals == []


async def test_retries_of_one_cause_travel_as_one_message_to_the_queue_they_came_from() -> None:
    calls = Calls({"1": Failed("Later."), "2": Failed("Later."), "3": Failed("Other.")})
    bench = Bench({SendMessage: calls})
    await bench.handle(command("1"), command("2"), command("3"))
    assert bench.routes == [("warren.retry", "work.0")] * 2
    batches = [[one.id for one in decode_batch(body)[0]] for _, body, _ in bench.broker.sent]
    assert batches == [["1", "2"], ["3"]]


async def test_the_first_error_stays_with_an_item_on_its_way_up() -> None:
    bench = Bench({SendMessage: Calls({"1": Failed("Second.")})})
    await bench.handle(command("1", attempt=2), first_errors={"1": "Failed: First."})
    headers = bench.broker.sent[0][2]
    assert (headers[FIRST_ERROR_HEADER], headers[DELAY_HEADER]) == ("Failed: First.", 10)
    assert decode_batch(bench.broker.sent[0][1])[0][0].error == "Failed: Second."


async def test_a_bug_is_found_by_trying_the_items_alone() -> None:
    calls = Calls(ValueError("bug"), {}, ValueError("bug"), {})
    bench = Bench({SendMessage: calls})
    await bench.handle(command("1"), command("2"), command("3"))
    assert calls.batches == [["1", "2", "3"], ["1"], ["2"], ["3"]]
    retried = decode_batch(bench.broker.sent[0][1])[0]
    assert [(one.id, one.error) for one in retried] == [("2", "Failed: ValueError: bug")]
    assert len(bench.broker.sent) == 1


async def test_an_error_raised_for_one_item_counts_by_its_kind() -> None:
    bench = Bench({SendMessage: Calls(NotAMember("No."))})
    await bench.handle(command("1"))
    assert [one.envelope.id for one in bench.refusals] == ["1"]
    assert bench.broker.sent == []


async def test_an_outage_is_waited_out_longer_each_time_with_nothing_parked() -> None:
    calls = Calls(StoreUnavailable("Down."), StoreUnavailable("Down."), {"1": NotAMember("No.")})
    bench = Bench({SendMessage: calls})
    await bench.handle(command("1"), command("2"))
    assert calls.batches == [["1", "2"]] * 3
    assert bench.pauses == [0.1, 0.2]
    assert bench.broker.sent == []
    assert len(bench.refusals) == 1


async def test_only_the_items_that_met_the_outage_are_tried_again() -> None:
    calls = Calls({"1": NotAMember("No."), "2": StoreUnavailable("Down.")})
    bench = Bench({SendMessage: calls})
    await bench.handle(command("1"), command("2"), command("3"))
    assert calls.batches == [["1", "2", "3"], ["2"]]
    assert [one.envelope.id for one in bench.refusals] == ["1"]


async def test_an_item_is_held_until_its_place_on_the_ladder_is_confirmed() -> None:
    broker = Outbox(BrokerUnavailable("Down."), BrokerUnavailable("Down."))
    bench = Bench({SendMessage: Calls({"1": Failed("Later.")})}, broker=broker)
    await bench.handle(command("1"))
    assert bench.pauses == [0.1, 0.2]
    assert bench.routes == [("warren.retry", "work.0")]


async def test_a_refusal_that_fails_does_not_bring_the_batch_back() -> None:
    async def refuse(_: Sequence[Refusal]) -> None:
        raise BrokerUnavailable("Down.")

    async def pause(_: float) -> None:
        raise AssertionError("There is nothing to wait for.")

    dispatcher = Dispatcher(
        Outbox(),
        QUEUE,
        {SendMessage: Calls({"1": NotAMember("No.")})},
        clock=FakeClock(),
        new_id=lambda: "x",
        refuse=refuse,
        pause=pause,
    )
    await dispatcher.handle(Batch([command("1")]))


async def test_cancelling_a_handler_settles_nothing() -> None:
    async def hang(_: Sequence[Received]) -> Failures:
        await asyncio.Event().wait()
        return {}

    bench = Bench({SendMessage: hang})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await bench.handle(command("1"))
    assert bench.broker.sent == []


async def test_each_shard_of_the_real_topology_can_send_its_failures_somewhere() -> None:
    topology = Topology(shards=2)
    broker = MemoryBroker(FakeClock())
    await broker.declare(topology)
    for queue in topology.queues:
        if queue.ladder is not None:
            failures = {"1": Failed("Later."), "2": Malformed("What?")}
            dispatcher = Dispatcher(
                broker,
                queue,
                {SendMessage: Calls(failures)},
                clock=FakeClock(),
                new_id=lambda: "x",
                refuse=None,
                pause=lambda _: asyncio.sleep(0),
            )
            await dispatcher.handle(Batch([command("1"), command("2")]))
    assert [await broker.depth(queue) for queue in topology.dead_queues] == [2, 2, 1]
