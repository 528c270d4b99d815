"""The end of a gateway: nobody is let in any more, everybody is answered, and the others hear of it."""

import asyncio

import httpx

from shared.commands import Acknowledge
from shared.events import GatewayStopped
from tests.fakes.clock import settle
from tests.fakes.edge import Edge, gateway


def send_by_rest(edge: Edge, tasks: asyncio.TaskGroup) -> asyncio.Task[httpx.Response]:
    async def send() -> httpx.Response:
        headers = {"Authorization": f"Bearer {edge.token()}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(edge.app), base_url="http://gateway") as http:
            return await http.post("/v1/conversations/room/messages", json={"content": "hi"}, headers=headers)

    return tasks.create_task(send())


async def test_who_shakes_hands_when_the_drain_begins_is_sent_elsewhere() -> None:
    async with gateway() as edge:
        bob = edge.dial("")
        await settle()
        await edge.drain()
        bob.send_frame("hello", frame_id="1", token=edge.token())
        assert await bob.closed() == 3000
        assert bob.unread("welcome") == []


async def test_who_waits_for_history_when_the_drain_begins_is_sent_elsewhere() -> None:
    async with gateway() as edge:
        edge.history.gate.clear()
        bob = edge.dial(f"token={edge.token()}")
        await settle()
        await edge.drain()
        edge.history.gate.set()
        assert await bob.closed() == 3000


async def test_a_drain_answers_what_came_by_rest() -> None:
    async with gateway() as edge, asyncio.TaskGroup() as tasks:
        sending = send_by_rest(edge, tasks)
        assert len(await edge.posted()) == 1
        drain = tasks.create_task(edge.drain())
        await settle()
        await edge.clock.advance(6)
        assert (await sending).status_code == 202
        await drain


async def test_a_drain_that_is_cut_short_still_answers_and_says_goodbye() -> None:
    async with gateway(drain_s="0.1", close_s="60") as edge, asyncio.TaskGroup() as tasks:
        bob = await edge.connect()
        bob.send_frame("ack", conversation_id="room", seq=1, stage="read")
        await settle()
        bob.stall()
        bob.send_frame("ping")
        sending = send_by_rest(edge, tasks)
        await settle()
        await edge.drain()
        assert (await sending).status_code == 202
        assert Acknowledge in [type(envelope.body) for envelope in await edge.posted()]
        assert isinstance((await edge.announced())[-1], GatewayStopped)
        bob.resume()
