"""A service of nothing but parts that tell what happens to them; also a program, which tests start and signal."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared import process
from shared.clock import SystemClock
from shared.logging import configure_logging
from shared.service import PublicServer, Service
from shared.settings import AdminSettings, LogSettings, Settings

ADMIN = AdminSettings(admin_token=SecretStr("admin token"), internal_token=SecretStr("internal token"))


class FakeSettings(Settings):
    """What the program is told."""

    model_config = SettingsConfigDict(env_prefix="WARREN_FAKE_")

    admin_port: int = Field(0, ge=0)
    stubborn: bool = False


@dataclass
class FakeRunner:
    """A `Runner` that writes its starts and ends into a journal that it shares with the others."""

    name: str
    journal: list[str] = field(default_factory=list)
    error: Exception | None = None  # raised at its start
    stop_error: Exception | None = None  # raised when asked to stop
    ends_early: bool = False
    stubborn: bool = False  # stops no sooner than `gives_in` is set
    started: asyncio.Event = field(default_factory=asyncio.Event)
    asked_to_stop: asyncio.Event = field(default_factory=asyncio.Event)
    gives_in: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        self.journal.append(f"{self.name} runs")
        self.started.set()
        if self.error is not None:
            raise self.error
        if not self.ends_early:
            await self.stopping.wait()
        self.journal.append(f"{self.name} ended")

    async def stop(self) -> None:
        self.journal.append(f"{self.name} stops")
        self.asked_to_stop.set()
        if self.stop_error is not None:
            raise self.stop_error
        if self.stubborn:
            await self.gives_in.wait()
        self.stopping.set()


def service(
    *runners: FakeRunner, settings: BaseModel | None = None, public: PublicServer | None = None, drain_s: float = 10.0
) -> Service:
    """Give a service of these parts, ready at once."""

    async def ready() -> bool:
        return True

    async def stats() -> Mapping[str, object]:
        return {}

    return Service(
        name="fake",
        runners=runners,
        settings=settings or FakeSettings(),
        ready={"broker": ready},
        stats=stats,
        public=public,
        drain_s=drain_s,
    )


async def main(settings: FakeSettings) -> None:
    configure_logging(LogSettings(log_format="json"), service="fake")
    runner = FakeRunner("consumer", stubborn=settings.stubborn)
    async with asyncio.TaskGroup() as group:
        group.create_task(_announce(runner))
        await process.run(service(runner), admin=ADMIN, admin_port=settings.admin_port, clock=SystemClock())
    sys.stdout.write("\n".join(runner.journal) + "\nclosed\n")


async def _announce(runner: FakeRunner) -> None:
    await runner.started.wait()
    sys.stdout.write("running\n")
    sys.stdout.flush()


if __name__ == "__main__":
    process.main(main, FakeSettings.from_env, os.environ)  # noqa: TID251  # a program, like those in services/
