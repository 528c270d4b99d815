"""A command is answered exactly once, within five seconds, and what is learned later is told."""

import weakref
from dataclasses import dataclass, field

import pytest

from gateway.dialects.base import Accepted
from gateway.ingress import ANSWER_S, LATE_S, Command, Ingress, Outcome
from shared.broker.topology import RECEIPTS_ROUTE, Topology
from shared.commands import ConversationKind, CreateConversation, SendMessage
from shared.errors import BrokerUnavailable, ErrorBody
from shared.events import MessageFailed, Rejected, Stored
from shared.ids import GatewayId, MessageId
from tests.fakes.clock import START, FakeClock, settle
from tests.fakes.messages import ALICE, BOB, ROOM
from tests.fakes.publisher import FakePublisher

TOPOLOGY = Topology(shards=4)


@dataclass
class Asker:
    answers: list[tuple[Outcome, str | None]] = field(default_factory=list)
    later: list[Stored] = field(default_factory=list)

    def answered(self, command: Command, outcome: Outcome, reply_to: str | None) -> None:
        self.answers.append((outcome, reply_to))

    def stored_later(self, command: SendMessage, stored: Stored) -> None:
        self.later.append(stored)


class Desk:
    """An ingress with its surroundings."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.publisher = FakePublisher()
        self.asker = Asker()
        self.ingress = Ingress(
            self.publisher, TOPOLOGY, gateway_id=GatewayId("gw-1"), clock=self.clock, new_id=lambda: "envelope"
        )

    def send(self, n: int = 1) -> None:
        command = SendMessage(
            message_id=MessageId(f"m{n}"), conversation_id=ROOM, sender_id=ALICE, sender_name="Alice", client_id=f"c{n}"
        )
        self.ingress.submit(command, self.asker, reply_to=f"f{n}")

    async def passes(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.ingress.sweep()


@pytest.fixture
def desk() -> Desk:
    return Desk()


REFUSED = Rejected(error=ErrorBody(code="too_large", message="No."))


def place(n: int = 1) -> Stored:
    return Stored(
        message_id=MessageId(f"m{n}"),
        conversation_id=ROOM,
        client_id=f"c{n}",
        seq=n,
        version=n,
        number=n,
        created_at=START,
    )


def codes(desk: Desk) -> list[str]:
    return [outcome.code for outcome, _ in desk.asker.answers if isinstance(outcome, ErrorBody)]


async def test_a_command_goes_to_its_conversations_shard_and_names_the_gateway(desk: Desk) -> None:
    desk.send()
    [(route, envelope)] = desk.publisher.posted
    assert route == TOPOLOGY.commands_route(ROOM)
    assert (envelope.id, envelope.reply_to) == ("m1", "gw-1")


async def test_answers_find_who_asked_and_only_once(desk: Desk) -> None:
    desk.send(1)
    desk.send(2)
    refusal = Rejected(error=ErrorBody(code="not_a_member", message="No."))
    desk.ingress.answer([("m2", refusal), ("m1", place()), ("m1", place()), ("unknown", place())])
    await desk.passes(ANSWER_S)
    assert desk.asker.answers == [(refusal.error, "f2"), (place(), "f1")]
    assert (desk.asker.later, len(desk.ingress)) == ([], 0)


async def test_without_an_answer_in_time_a_confirmed_message_is_accepted(desk: Desk) -> None:
    desk.send()
    await desk.passes(ANSWER_S - 0.1)
    assert desk.asker.answers == []
    await desk.passes(0.1)
    assert desk.asker.answers == [(Accepted(message_id=MessageId("m1"), conversation_id=ROOM), "f1")]


async def test_the_place_of_an_accepted_message_is_learned_later(desk: Desk) -> None:
    desk.send()
    await desk.passes(ANSWER_S)
    desk.ingress.answer([("m1", place()), ("m1", place())])
    assert desk.asker.later == [place()]


async def test_that_an_accepted_message_is_refused_is_told_wherever_its_sender_is(desk: Desk) -> None:
    desk.send()
    await desk.passes(ANSWER_S)
    desk.ingress.answer([("m1", REFUSED), ("m1", REFUSED)])
    route, envelope = desk.publisher.posted[-1]
    assert (route, len(desk.publisher.posted)) == (RECEIPTS_ROUTE, 2)
    assert envelope.body == MessageFailed(
        conversation_id=ROOM,
        message_id=MessageId("m1"),
        client_id="c1",
        sender_id=ALICE,
        at=desk.clock.now(),
        error=REFUSED.error,
    )


@pytest.mark.parametrize("how", ["not posted", "not confirmed"])
async def test_a_refusal_that_could_not_be_told_is_asked_for_again(desk: Desk, how: str) -> None:
    desk.send()
    await desk.passes(ANSWER_S)
    desk.publisher.confirms, desk.publisher.full = False, how == "not posted"
    desk.ingress.answer([("m1", REFUSED)])
    desk.publisher.full = False
    desk.publisher.fail(BrokerUnavailable("The broker is away."))
    await settle()
    desk.ingress.post_again()
    assert isinstance(desk.publisher.bodies[-1], SendMessage)


async def test_when_the_queue_was_lost_confirmed_messages_without_an_answer_are_posted_again(desk: Desk) -> None:
    desk.send(1)
    await desk.passes(ANSWER_S)  # accepted
    desk.send(2)
    desk.send(3)
    desk.ingress.answer([("m2", place(2))])
    desk.publisher.confirms = False
    desk.send(4)
    before = len(desk.publisher.posted)
    desk.ingress.post_again()
    again = [envelope for _, envelope in desk.publisher.posted[before:]]
    assert [(envelope.id, envelope.reply_to) for envelope in again] == [("m1", "gw-1"), ("m3", "gw-1")]
    assert len(desk.asker.answers) == 2  # of m1 and m2: nobody is answered by this


@pytest.mark.parametrize("confirms", [True, False])
async def test_no_more_late_ones_are_kept_than_allowed_and_no_session(
    desk: Desk, confirms: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.ingress.MAX_LATE", 2)
    desk.publisher.confirms = confirms
    for n in (1, 2, 3):
        desk.send(n)
    desk.publisher.fail(BrokerUnavailable("The broker is away."))
    await settle()
    await desk.passes(ANSWER_S)
    gone = weakref.ref(desk.asker)
    desk.ingress.answer([(f"m{n}", place(n)) for n in (1, 2)])
    assert desk.asker.later == [place(2)]
    desk.asker = Asker()
    assert gone() is None
    desk.ingress.answer([("m3", place(3))])


async def test_a_late_answer_is_waited_for_ten_minutes(desk: Desk) -> None:
    desk.send()
    await desk.passes(ANSWER_S)
    await desk.passes(LATE_S)
    desk.ingress.answer([("m1", place())])
    assert desk.asker.later == []


async def test_what_the_broker_has_not_confirmed_in_time_is_unavailable(desk: Desk) -> None:
    desk.publisher.confirms = False
    desk.send()
    await desk.passes(ANSWER_S)
    assert codes(desk) == ["unavailable"]
    desk.ingress.answer([("m1", place())])  # it came through all the same
    assert desk.asker.later == [place()]


async def test_a_batch_that_cannot_be_published_is_answered_at_once(desk: Desk) -> None:
    desk.publisher.confirms = False
    desk.send(1)
    desk.send(2)
    desk.publisher.fail(BrokerUnavailable("The broker is away."))
    await settle()
    assert codes(desk) == ["unavailable", "unavailable"]
    await desk.passes(ANSWER_S)
    assert len(desk.asker.answers) == 2


async def test_a_full_publisher_refuses_at_once_with_a_time_to_come_back(desk: Desk) -> None:
    desk.publisher.full = True
    desk.send()
    [(outcome, reply_to)] = desk.asker.answers
    assert isinstance(outcome, ErrorBody)
    assert (outcome.code, reply_to) == ("unavailable", "f1")
    assert outcome.retry_after_ms


async def test_a_conversation_that_is_not_made_in_time_is_unavailable_not_accepted(desk: Desk) -> None:
    command = CreateConversation(
        conversation_id=ROOM, kind=ConversationKind.DIRECT, creator_id=ALICE, member_ids=(ALICE, BOB)
    )
    desk.ingress.submit(command, desk.asker)
    await desk.passes(ANSWER_S)
    assert codes(desk) == ["unavailable"]
