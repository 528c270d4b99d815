"""Show results to people, and append them to a file for programs."""

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from tests.bench.cpu import OTHERS
from tests.bench.load import Result

_PARTS = ("gateway", "history", "delivery", "presence", "rabbitmq", "mongodb", "generator")


def show(results: Sequence[Result]) -> None:
    """Print the tables."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(_outcome(results))
    console.print(_cpu(results))
    for result in results:
        for code, count in result.refusals.items():
            console.print(f"{result.plan.name}: {count} refused with {code}")
        if result.disconnects:
            console.print(f"{result.plan.name}: {len(result.disconnects)} sockets closed: {result.disconnects[0]}")


def append(path: Path, results: Sequence[Result]) -> None:
    """Add a JSON line for each result."""
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with path.open("ab") as file:
        for result in results:
            line = {"at": now, "machine": machine, "clean": result.clean, **asdict(result)}
            file.write(msgspec.json.encode(line) + b"\n")


def _outcome(results: Sequence[Result]) -> Table:
    table = Table("run", title="End to end, due time to the recipient's socket")
    for name in ("msg/s", "p50 ms", "p95", "p99", "max", "sent", "lost", "twice", "disorder", "refused", "no answer"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        verdict = result.verdict
        times = (result.p50_ms, result.p95_ms, result.p99_ms, result.max_ms)
        wrong = (verdict.lost, verdict.repeated, verdict.out_of_order, verdict.refused, verdict.unanswered)
        table.add_row(
            result.plan.name,
            f"{result.delivered_per_s:,.0f}",
            *(f"{time:.1f}" for time in times),
            f"{verdict.sent:,}",
            *(f"[red]{count}[/]" if count else "0" for count in wrong),
        )
    return table


def _cpu(results: Sequence[Result]) -> Table:
    parts = [part for part in _PARTS if any(part in result.cpu_cores for result in results)]
    table = Table("run", title="CPU: µs a message (cores)")
    for name in (*parts, "all", OTHERS):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        cells = [
            f"{result.cpu_us_per_message.get(part, 0.0):.0f} ({result.cpu_cores.get(part, 0.0):.2f})" for part in parts
        ]
        every = f"{sum(result.cpu_us_per_message[part] for part in parts):.0f}"
        cores = sum(result.cpu_cores[part] for part in parts)
        table.add_row(result.plan.name, *cells, f"{every} ({cores:.2f})", f"({result.cpu_cores[OTHERS]:.2f})")
    return table
