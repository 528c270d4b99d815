"""The dead letters through delivery's admin API: looked into, sent back, thrown away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from delivery import wiring
from delivery.dead_letters import DEADLINE_S, MAX_LISTED
from delivery.settings import DeliverySettings
from shared.admin import build_admin_app
from shared.broker.api import Delivery, Failures, Received
from shared.broker.dispatch import Batch, Dispatcher
from shared.broker.memory import MemoryBroker
from shared.broker.topology import Queue, Topology, retry_queue
from shared.commands import Acknowledge, Stage
from shared.envelope import Envelope, decode_batch
from shared.errors import Failed, Malformed
from shared.ids import ConversationId, UserId, new_id
from tests.fakes.clock import START, FakeClock
from tests.fakes.member_queries import FakeMemberQueries

TOPOLOGY = Topology(shards=2)
COMMANDS = TOPOLOGY.history_commands[1]
EVENTS = TOPOLOGY.delivery_events[0]
SETTINGS = DeliverySettings.from_env(
    {
        "WARREN_SHARDS": "2",
        "WARREN_MODE": "development",
        "WARREN_PUBLISH_PACE_S": "0",
        "WARREN_ADMIN_TOKEN": "admin",
        "WARREN_INTERNAL_TOKEN": "internal",
    }
)


class SlowBroker(MemoryBroker):
    """Gives a message only after others have had a turn, as a broker on a network does, and counts the asking."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.gets = 0
        self.get_takes_s = 0.0
        self._slow = clock

    async def get(self, queue: Queue) -> Delivery | None:
        self.gets += 1
        await self._slow.advance(self.get_takes_s)
        await asyncio.sleep(0)
        return await super().get(queue)


class Morgue:
    """A broker with dead letters, and an operator at delivery's admin API."""

    def __init__(self, operator: httpx.AsyncClient, broker: SlowBroker, clock: FakeClock) -> None:
        self.operator = operator
        self.broker = broker
        self._clock = clock

    async def die(self, queue: Queue, *, readable: bool = True) -> None:
        """Let the production dispatcher give an item of the queue up."""
        dispatcher = Dispatcher(
            self.broker,
            queue,
            {Acknowledge: fail_all},
            clock=self._clock,
            new_id=new_id,
            refuse=None,
            pause=self._clock.sleep,
        )
        if readable:
            batch = Batch([Received(given_up())], first_errors={"e1": "Failed: at first"})
        else:
            batch = Batch((), [(b"\xff not JSON", Malformed("Not JSON."))])
        await dispatcher.handle(batch)

    async def letters(self, **query: str | int) -> list[dict[str, Any]]:
        answer = await self.operator.get("/admin/dead-letters", params=query)
        assert answer.status_code == 200, answer.text
        letters: list[dict[str, Any]] = answer.json()["dead_letters"]
        return letters


def given_up() -> Envelope:
    body = Acknowledge(conversation_id=ConversationId("room"), user_id=UserId("alice"), stage=Stage.READ, seq=1)
    return Envelope(id="e1", trace_id="t1", occurred_at=START, body=body, attempt=4, error="Failed: before")


async def fail_all(batch: Sequence[Received], /) -> Failures:
    return {received.envelope.id: Failed("at last") for received in batch}


@pytest.fixture
async def morgue() -> AsyncIterator[Morgue]:
    clock = FakeClock()
    broker = SlowBroker(clock)
    await broker.declare(TOPOLOGY)
    service = wiring.build(SETTINGS, broker=broker, history=FakeMemberQueries(), clock=clock, new_id=new_id)
    app = build_admin_app(service, SETTINGS.admin, asyncio.Event())
    headers = {"Authorization": "Bearer admin"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://delivery", headers=headers) as operator:
        yield Morgue(operator, broker, clock)


async def test_a_dead_letter_says_where_and_why_it_died(morgue: Morgue) -> None:
    await morgue.die(COMMANDS)
    (letter,) = await morgue.letters()
    assert letter.pop("id")
    assert letter == {
        "stage": "history.commands",
        "origin": "history.commands.1",
        "reason": "transient",
        "attempts": 4,
        "first_error": "Failed: at first",
        "last_error": "Failed: at last",
        "died_at": "2026-01-01T12:00:00.000Z",
    }


async def test_looking_takes_nothing_away(morgue: Morgue) -> None:
    for _ in range(3):
        await morgue.die(COMMANDS)
    first = await morgue.letters()
    assert await morgue.letters() == first
    assert len(first) == 3


async def test_letters_come_in_pages_the_latest_first(morgue: Morgue) -> None:
    for _ in range(5):
        await morgue.die(COMMANDS)
    ids = [letter["id"] for letter in await morgue.letters()]
    assert ids == sorted(ids, reverse=True)
    answer = (await morgue.operator.get("/admin/dead-letters", params={"limit": 2})).json()
    assert [letter["id"] for letter in answer["dead_letters"]] == ids[:2]
    rest = {"limit": 3, "cursor": answer["next_cursor"]}
    answer = (await morgue.operator.get("/admin/dead-letters", params=rest)).json()
    assert [letter["id"] for letter in answer["dead_letters"]] == ids[2:]
    assert answer["next_cursor"] is None


async def test_of_a_full_queue_only_the_oldest_are_looked_at(morgue: Morgue) -> None:
    for _ in range(MAX_LISTED):
        await morgue.die(COMMANDS)
    listed: dict[str, str | int] = {"stage": "history.commands", "limit": 1}
    full = (await morgue.operator.get("/admin/dead-letters", params=listed)).json()
    await morgue.die(COMMANDS)
    overfull = (await morgue.operator.get("/admin/dead-letters", params=listed)).json()
    assert (full["truncated"], overfull["truncated"]) == (False, True)
    assert full["dead_letters"] == overfull["dead_letters"]
    assert morgue.broker.gets == 2 * MAX_LISTED


async def test_a_letter_is_looked_for_no_further_than_its_place(morgue: Morgue) -> None:
    for _ in range(5):
        await morgue.die(COMMANDS)
    before = await morgue.letters()
    morgue.broker.gets = 0
    assert (await morgue.operator.get(f"/admin/dead-letters/{before[-2]['id']}")).status_code == 200
    assert morgue.broker.gets == 2
    assert await morgue.letters() == before


async def test_what_takes_too_long_is_given_up_and_everything_goes_back(morgue: Morgue) -> None:
    for _ in range(3):
        await morgue.die(COMMANDS)
    before = await morgue.letters()
    morgue.broker.get_takes_s = DEADLINE_S
    for method, path in (("GET", ""), ("GET", "/nothing"), ("DELETE", "/nothing"), ("POST", "/nothing/replay")):
        answer = await morgue.operator.request(method, f"/admin/dead-letters{path}")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    morgue.broker.get_takes_s = 0
    assert await morgue.letters() == before


@pytest.mark.parametrize("query", ["stage=nowhere", "cursor=x"])
async def test_a_query_that_makes_no_sense_is_invalid(morgue: Morgue, query: str) -> None:
    answer = await morgue.operator.get(f"/admin/dead-letters?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


async def test_a_stage_that_is_not_there_is_not_replayed(morgue: Morgue) -> None:
    answer = await morgue.operator.post("/admin/dead-letters/replay", json={"stage": "nowhere"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


async def test_letters_are_chosen_by_stage_and_reason(morgue: Morgue) -> None:
    await morgue.die(COMMANDS)
    await morgue.die(EVENTS)
    await morgue.die(EVENTS, readable=False)
    assert len(await morgue.letters(stage="delivery.events")) == 2
    assert len(await morgue.letters(reason="malformed")) == 1
    (letter,) = await morgue.letters(stage="delivery.events", reason="transient")
    assert letter["origin"] == "delivery.events.0"


async def test_a_letter_can_be_read(morgue: Morgue) -> None:
    await morgue.die(COMMANDS)
    (letter,) = await morgue.letters()
    answer = (await morgue.operator.get(f"/admin/dead-letters/{letter['id']}")).json()
    assert answer["letter"] == letter
    assert '"user_id":"alice"' in answer["body"]


async def test_a_replayed_letter_returns_to_its_queue_alone_as_a_first_attempt(morgue: Morgue) -> None:
    await morgue.die(COMMANDS)
    await morgue.die(COMMANDS)
    chosen, other = await morgue.letters()
    with capture_logs() as logs:
        answer = await morgue.operator.post(f"/admin/dead-letters/{chosen['id']}/replay")
    assert answer.status_code == 204
    assert [(log["event"], log["dead_id"]) for log in logs] == [("dead_letter_replayed", chosen["id"])]
    assert await morgue.letters() == [other]
    delivery = await morgue.broker.get(COMMANDS)
    assert delivery is not None
    (envelope,) = decode_batch(delivery.body)[0]
    assert (envelope.attempt, envelope.error, envelope.id) == (1, None, "e1")
    assert envelope.body == given_up().body
    assert await morgue.broker.depth(TOPOLOGY.history_commands[0]) == 0


async def test_all_letters_that_are_meant_are_replayed_but_for_the_unreadable(morgue: Morgue) -> None:
    await morgue.die(COMMANDS)
    await morgue.die(EVENTS)
    await morgue.die(EVENTS, readable=False)
    answer = await morgue.operator.post("/admin/dead-letters/replay", json={"stage": "delivery.events"})
    assert answer.json() == {"replayed": 1}
    assert {letter["reason"] for letter in await morgue.letters(stage="delivery.events")} == {"malformed"}
    assert (await morgue.operator.post("/admin/dead-letters/replay", json={})).json() == {"replayed": 1}


async def test_what_cannot_be_read_is_not_replayed(morgue: Morgue) -> None:
    await morgue.die(EVENTS, readable=False)
    (letter,) = await morgue.letters()
    answer = await morgue.operator.post(f"/admin/dead-letters/{letter['id']}/replay")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert await morgue.letters() == [letter]


async def test_a_letter_of_a_queue_that_is_no_more_is_not_replayed(morgue: Morgue) -> None:
    await morgue.die(Topology(shards=9).history_commands[8])
    (letter,) = await morgue.letters()
    answer = await morgue.operator.post(f"/admin/dead-letters/{letter['id']}/replay")
    assert answer.status_code == 409
    assert await morgue.letters() == [letter]


async def test_a_discarded_letter_is_gone_and_the_log_says_so(morgue: Morgue) -> None:
    await morgue.die(COMMANDS)
    (letter,) = await morgue.letters()
    with capture_logs() as logs:
        answer = await morgue.operator.delete(f"/admin/dead-letters/{letter['id']}")
    assert answer.status_code == 204
    assert [(log["event"], log["dead_id"]) for log in logs] == [("dead_letter_discarded", letter["id"])]
    assert await morgue.letters() == []


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/replay"), ("DELETE", "")])
async def test_a_letter_that_is_not_there_is_not_found(morgue: Morgue, method: str, path: str) -> None:
    answer = await morgue.operator.request(method, f"/admin/dead-letters/nothing{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_two_who_look_at_once_both_see_everything(morgue: Morgue) -> None:
    await morgue.die(COMMANDS)
    async with asyncio.TaskGroup() as tasks:
        looks = [tasks.create_task(morgue.letters()) for _ in range(2)]
    assert [len(look.result()) for look in looks] == [1, 1]


async def test_the_ladder_shows_how_many_wait_on_each_rung(morgue: Morgue) -> None:
    await morgue.die(COMMANDS)
    answer = (await morgue.operator.get("/admin/retries")).json()
    assert answer["history.commands.dead"] == 1
    assert answer[retry_queue("delivery.events", 10).name] == 0


async def test_an_unknown_user_has_no_routes(morgue: Morgue) -> None:
    answer = await morgue.operator.get("/admin/routes/alice")
    assert answer.json() == {"user_id": "alice", "gateways": {}}
