import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import APIRouter
from pydantic import BaseModel, SecretStr

from shared import admin
from shared.admin import build_admin_app
from shared.errors import StoreUnavailable
from shared.http import StructResponse
from shared.service import Service
from shared.settings import AdminSettings

ADMIN = {"Authorization": "Bearer admin token"}
INTERNAL = {"Authorization": "Bearer internal token"}


class Nested(BaseModel):
    broker_url: str = "amqp://guest:hunter2@rabbit:5672/"
    password: SecretStr = SecretStr("hunter2")
    hosts: list[str] = ["http://ops:hunter2@one", "two"]
    shards: int = 8


class AllSettings(BaseModel):
    nested: Nested = Nested()


@dataclass
class Running:
    """A service whose checks a test turns, and the client of its admin API."""

    drain: asyncio.Event = field(default_factory=asyncio.Event)
    broker_up: bool = True
    store_error: Exception | None = None

    async def broker(self) -> bool:
        return self.broker_up

    async def store(self) -> bool:
        if self.store_error is not None:
            raise self.store_error
        return True

    async def stats(self) -> Mapping[str, object]:
        return {"sessions": 3}

    def service(self) -> Service:
        own = APIRouter(prefix="/admin")
        internal = APIRouter(prefix="/internal")

        @own.get("/sessions")
        async def sessions() -> StructResponse:
            return StructResponse(["s1"])

        @internal.get("/unread")
        async def unread() -> StructResponse:
            return StructResponse({"room": 2})

        return Service(
            name="history",
            runners=(),
            settings=AllSettings(),
            ready={"broker": self.broker, "store": self.store},
            stats=self.stats,
            routers=(own,),
            internal=(internal,),
        )


@pytest.fixture
def running() -> Running:
    return Running()


@pytest.fixture
async def client(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    settings = AdminSettings(admin_token=SecretStr("admin token"), internal_token=SecretStr("internal token"))
    transport = httpx.ASGITransport(build_admin_app(running.service(), settings, running.drain))
    async with httpx.AsyncClient(transport=transport, base_url="http://warren") as client:
        yield client


async def test_probes_and_metrics_need_no_token(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "alive"}
    assert (await client.get("/readyz")).json() == {"status": "ready", "checks": ["broker", "store"]}
    metrics = await client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "python_info" in metrics.text


async def test_readiness_names_what_fails(client: httpx.AsyncClient, running: Running) -> None:
    running.broker_up = False
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["details"]) == (503, {"failing": "broker"})
    running.store_error = StoreUnavailable("down")
    answer = await client.get("/readyz")
    assert (answer.json()["code"], answer.json()["details"]) == ("unavailable", {"failing": "broker,store"})
    assert (await client.get("/healthz")).status_code == 200


async def test_a_check_that_hangs_is_one_that_fails(
    client: httpx.AsyncClient, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "CHECK_TIMEOUT_S", 0.01)
    monkeypatch.setattr(running, "broker", asyncio.Event().wait)
    service = running.service()
    settings = AdminSettings(admin_token=SecretStr("admin token"), internal_token=SecretStr("internal token"))
    transport = httpx.ASGITransport(build_admin_app(service, settings, running.drain))
    async with httpx.AsyncClient(transport=transport, base_url="http://warren") as other:
        answer = await other.get("/readyz")
    assert (answer.status_code, answer.json()["details"]) == (503, {"failing": "broker"})


async def test_draining_is_asked_for_once_and_turns_readiness_false(
    client: httpx.AsyncClient, running: Running
) -> None:
    assert (await client.post("/admin/drain")).status_code == 401
    assert not running.drain.is_set()
    answer = await client.post("/admin/drain", headers=ADMIN)
    assert (answer.status_code, answer.json()) == (202, {"status": "draining"})
    assert running.drain.is_set()
    assert (await client.get("/readyz")).status_code == 503


async def test_the_configuration_is_shown_without_secrets(client: httpx.AsyncClient) -> None:
    answer = await client.get("/admin/config", headers=ADMIN)
    assert answer.json() == {
        "nested": {
            "broker_url": "amqp://guest:***@rabbit:5672/",
            "password": "**********",
            "hosts": ["http://ops:***@one", "two"],
            "shards": 8,
        }
    }


async def test_statistics_are_the_services_own(client: httpx.AsyncClient) -> None:
    assert (await client.get("/admin/stats", headers=ADMIN)).json() == {"sessions": 3}


@pytest.mark.parametrize(
    ("path", "right", "wrong"),
    [
        ("/admin/config", ADMIN, INTERNAL),
        ("/admin/stats", ADMIN, INTERNAL),
        ("/admin/sessions", ADMIN, INTERNAL),
        ("/internal/unread", INTERNAL, ADMIN),
    ],
)
async def test_each_api_takes_its_own_token_alone(
    client: httpx.AsyncClient, path: str, right: dict[str, str], wrong: dict[str, str]
) -> None:
    assert (await client.get(path, headers=right)).status_code == 200
    assert (await client.get(path, headers=wrong)).status_code == 401
    assert (await client.get(path)).status_code == 401


async def test_the_api_describes_itself(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    assert schema["info"]["title"] == "Warren history: admin and internal API"
    assert {"/healthz", "/readyz", "/metrics", "/admin/config", "/admin/stats", "/admin/drain"} <= set(schema["paths"])
    assert (await client.get("/docs")).status_code == 200
