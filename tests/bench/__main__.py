"""Load Warren and say what it did: `python -m tests.bench`, with `--help` for more.

Exit code 1: a message was lost, repeated, out of order, refused or not answered, or a socket was closed.
"""

import asyncio
import contextlib
import functools
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import httpx
import typer
import uvloop

from deploy.local.processes import LocalError
from tests.bench.cpu import CpuMeter
from tests.bench.load import Plan, Result, run
from tests.bench.report import append, show
from tests.bench.stack import run_stack


def main(
    pairs: Annotated[int, typer.Option(help="senders, each with a recipient of its own")] = 100,
    rate: Annotated[float, typer.Option(help="messages a second of the first run; 0 leaves it out")] = 1000,
    rate_seconds: Annotated[float, typer.Option(help="how long it is measured")] = 10,
    in_flight: Annotated[int, typer.Option(help="unanswered messages a sender keeps in the second run; 0 …")] = 10,
    seconds: Annotated[float, typer.Option(help="how long the second run is measured")] = 15,
    warm_up: Annotated[float, typer.Option(help="seconds before the measurement of each run")] = 3,
    content_bytes: Annotated[int, typer.Option(help="length of a message")] = 100,
    gateways: Annotated[int, typer.Option(help="gateways of the stack that is started")] = 1,
    url: Annotated[list[str] | None, typer.Option(help="host:port of a running gateway, instead of a stack")] = None,
    results: Annotated[Path | None, typer.Option(help="append a JSON line for each run to this file")] = None,
) -> None:
    """Load a stack with pairs of users."""
    plan = functools.partial(Plan, pairs=pairs, warm_up_s=warm_up, content_bytes=content_bytes)
    plans = []
    if rate:
        plans.append(plan(name=f"{rate:,.0f}/s", rate=rate, seconds=rate_seconds))
    if in_flight:
        plans.append(plan(name=f"{in_flight} in flight x {pairs}", in_flight=in_flight, seconds=seconds))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            done = runner.run(_run_all(plans, url or [], gateways))
    except (LocalError, ConnectionError) as error:
        sys.exit(str(error))
    show(done)
    if results is not None:
        append(results, done)
    if not all(result.clean for result in done):
        sys.exit(1)


async def _run_all(plans: list[Plan], addresses: list[str], count: int) -> list[Result]:
    async with _gateways(addresses, count) as gateways, httpx.AsyncClient() as http:
        cpu = CpuMeter(only_children=not addresses)
        print("Processes:", cpu.pids(), flush=True)

        async def mint(user_id: str) -> str:
            answer = await http.post(f"http://{gateways[0]}/api/auth/token", json={"user_id": user_id})
            if not answer.is_success:
                raise ConnectionError(f"No token for {user_id}: {answer.text}")
            return str(answer.json()["token"])

        results = []
        for plan in plans:
            print(f"Running {plan.name} for {plan.warm_up_s + plan.seconds:g} s …", flush=True)
            urls = [f"ws://{address}/v1/ws" for address in gateways]
            results.append(await run(plan, urls, mint, cpu, f"b{uuid.uuid4().hex[:8]}"))
        return results


@contextlib.asynccontextmanager
async def _gateways(addresses: list[str], count: int) -> AsyncIterator[list[str]]:
    if addresses:
        yield addresses
    else:
        print("Starting RabbitMQ, MongoDB and the services …", flush=True)
        async with run_stack(count) as started:
            yield started


if __name__ == "__main__":
    program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    program.command()(main)
    program()
