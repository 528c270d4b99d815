"""What a service is made of: the values that its `wiring.build` returns and `shared.process.run` brings to life."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.types import ASGIApp


class Runner(Protocol):
    """A long-running part of a service: a consumer, a publisher, a ticker."""

    name: str

    async def run(self) -> None:
        """Run until `stop`; ending before that, or raising, ends the process with exit code 1."""
        ...

    async def stop(self) -> None:
        """Take nothing new, finish what is in flight, and let `run` return."""
        ...


@dataclass(frozen=True, slots=True)
class PublicServer:
    """An HTTP and WebSocket server besides the admin one; only the gateway has it."""

    app: ASGIApp
    host: str
    port: int
    ws_protocol: type[asyncio.Protocol] | str = "websockets-sansio"  # one of uvicorn's names, or a class of that kind
    ws_max_size: int = 64 * 1024  # bytes of one frame
    ws_ping_interval_s: float | None = None  # None: the sessions keep their own heartbeat
    ws_ping_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """What `wiring.build` returns: everything that `process.run` needs, with no I/O done yet.

    Drain order: readiness turns false and the public server takes no new connections · `runners` stop in the order of
    the list, each awaited (so list sources before the sinks they feed: consumers, then the publisher) · the HTTP
    servers stop · the caller closes broker and store.
    """

    name: str
    runners: tuple[Runner, ...]
    settings: BaseModel  # shown at /admin/config, secrets masked
    ready: Mapping[str, Callable[[], Awaitable[bool]]]  # named checks, e.g. {"broker": …, "store": …}
    stats: Callable[[], Awaitable[Mapping[str, object]]]  # shown at /admin/stats
    routers: tuple[APIRouter, ...] = ()  # the service's own admin routes; admin token required
    internal: tuple[APIRouter, ...] = ()  # the query API; internal token required
    public: PublicServer | None = None
    drain_s: float = 10.0
