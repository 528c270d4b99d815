"""Processes of history and delivery share the shards, take over a dead one's, and lose nothing on the way."""

import asyncio
from contextlib import AsyncExitStack

from deploy.local.readiness import ASK_EVERY_S
from tests.e2e.ledger import accounts
from tests.e2e.stack import Stack

SERVICES = ("history", "delivery")
SHARDS = 4
TAKEOVER_S = 10.0


async def consumed_by(stack: Stack, **wanted: int) -> None:
    """Wait until these processes consume so many shards each, no longer than a takeover may take."""
    consumed: dict[str, int] = {}
    try:
        async with asyncio.timeout(TAKEOVER_S):
            while True:
                consumed = {name: await stack.shards_open(name.replace("_", "-")) for name in wanted}
                if consumed == wanted:
                    return
                await asyncio.sleep(ASK_EVERY_S)
    except TimeoutError:
        raise AssertionError(f"shards are consumed by {consumed}, and not by {wanted}") from None


async def test_two_processes_share_the_shards_and_each_takes_over_when_the_other_is_killed(stack: Stack) -> None:
    async def chaos() -> None:
        async with AsyncExitStack() as crashing:
            for service in SERVICES:
                await crashing.enter_async_context(stack.replica(service))
            half = dict.fromkeys(("history", "history_2", "delivery", "delivery_2"), SHARDS // 2)
            await consumed_by(stack, **half)
            for service in SERVICES:
                await stack.kill(service)  # and it comes back
            await consumed_by(stack, **half)
        await consumed_by(stack, **dict.fromkeys(SERVICES, SHARDS))

    async with accounts(stack, users=20) as ledger:
        await ledger.fill(burst=5, chaos=chaos, naive=True)
        ledger.check_order_of_sending()
