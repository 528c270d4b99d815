"""No message is lost, doubled or put out of order, whatever breaks."""

import asyncio

from pydantic import SecretStr

from shared.broker.rabbit import RabbitBroker
from shared.broker.topology import COMMANDS, Route
from shared.settings import BrokerSettings
from tests.e2e.ledger import accounts
from tests.e2e.stack import Stack
from tests.nodes import Mongo, Rabbit


async def crash(node: Rabbit | Mongo) -> None:
    """End a node without warning and start it again."""
    await asyncio.to_thread(node.kill)
    node.launch()
    await asyncio.to_thread(node.wait_ready)


async def test_five_thousand_messages_in_flight_over_dropping_connections(stack: Stack) -> None:
    async with accounts(stack, users=50) as ledger:
        await ledger.fill(burst=100, drops=True, naive=True)
        ledger.check_order_of_sending()
    assert sum(len(who.stored) for who in ledger.participants) == 5_000


async def test_every_service_is_killed_in_turn(stack: Stack) -> None:
    async def chaos() -> None:
        for name in (*stack.programs, "history"):  # last one whose losses no client's reconnecting would make good
            await stack.kill(name)

    async with accounts(stack, users=20) as ledger:
        await ledger.fill(burst=30, chaos=chaos)


async def test_broker_and_database_crash(stack: Stack, rabbit_node: Rabbit, mongo_node: Mongo) -> None:
    async def chaos() -> None:
        for node in (rabbit_node, mongo_node):
            await crash(node)
            await stack.ready()

    async with accounts(stack, users=20) as ledger:
        await ledger.fill(burst=5, chaos=chaos, naive=True)


async def test_a_poisoned_envelope_becomes_a_dead_letter_and_blocks_nobody(stack: Stack) -> None:
    poison = [b"\x00 no JSON", b'[{"id": "1", "body": {"@type": "Unheard"}}]']
    settings = BrokerSettings(amqp_url=SecretStr(stack.environ["WARREN_AMQP_URL"]))
    shards = range(settings.shards)
    async with RabbitBroker.open(settings) as broker:
        for shard in shards:
            for body in poison:
                await broker.publish(Route(COMMANDS, str(shard)), body)
    async with accounts(stack, users=20, dead=len(shards) * len(poison)) as ledger:
        await ledger.fill(burst=10)
    async with stack.admin("delivery") as delivery:
        letters = (await delivery.get("/admin/dead-letters")).raise_for_status().json()["dead_letters"]
        bodies = {(await delivery.get(f"/admin/dead-letters/{letter['id']}")).json()["body"] for letter in letters}
    assert {(letter["stage"], letter["reason"]) for letter in letters} == {("history.commands", "malformed")}
    assert {letter["origin"] for letter in letters} == {f"history.commands.{shard}" for shard in shards}
    assert "\x00 no JSON" in bodies


async def test_messages_are_accepted_while_the_database_is_away_and_stored_in_order(
    stack: Stack, mongo_node: Mongo
) -> None:
    async def chaos() -> None:
        await asyncio.to_thread(mongo_node.stop)
        try:
            await asyncio.sleep(20)
        finally:
            mongo_node.launch()
            await asyncio.to_thread(mongo_node.wait_ready)

    async with accounts(stack, users=10) as ledger:
        await ledger.fill(burst=20, chaos=chaos, naive=True)
        ledger.check_order_of_sending()
    assert all("accepted" in who.statuses for who in ledger.participants)
