"""`make run`: what it makes of the environment, and what it says."""

import asyncio

import pytest

from deploy.local.processes import LocalError, free_port
from deploy.local.run import PORTS, SERVICES, announce, banner, environment, read_ports
from deploy.local.settings import LocalSettings

NODES = {"WARREN_AMQP_URL": "amqp://here", "WARREN_MONGO_URL": "mongodb://here"}


def test_the_environment_wins_over_the_file_and_an_empty_value_is_none() -> None:
    environ = environment(
        {"WARREN_GATEWAY_PORT": "1", "WARREN_SHARDS": "2", "WARREN_MODE": ""},
        {"WARREN_GATEWAY_PORT": "", "WARREN_SHARDS": "3", "WARREN_HISTORY_ADMIN_PORT": ""},
    )
    names = ("WARREN_GATEWAY_PORT", "WARREN_SHARDS", "WARREN_MODE", "WARREN_HISTORY_ADMIN_PORT")
    assert [environ[name] for name in names] == ["1", "3", "development", "8103"]


@pytest.mark.parametrize(
    ("given", "is_open"),
    [
        ({}, "true"),
        ({"WARREN_GATEWAY_OPEN_DEVICES": "false"}, "false"),
        ({"WARREN_MODE": "production"}, None),
    ],
)
def test_devices_are_open_in_development_alone(given: dict[str, str], is_open: str | None) -> None:
    assert environment({}, {**NODES, **given}).get("WARREN_GATEWAY_OPEN_DEVICES") == is_open


@pytest.mark.parametrize("value", ["abc", "0", "65536", "-1"])
def test_a_value_that_is_no_port_is_named(value: str) -> None:
    with pytest.raises(LocalError, match="WARREN_PRESENCE_ADMIN_PORT"):
        read_ports({**PORTS, "WARREN_PRESENCE_ADMIN_PORT": value})


@pytest.mark.parametrize(
    ("port", "chat"),
    [
        ("8000", "make chat USER=bob TO=alice\n"),
        ("8765", "make chat USER=bob TO=alice URL=ws://127.0.0.1:8765/v1/ws\n"),
    ],
)
def test_the_banner_says_how_to_chat_on_this_port(port: str, chat: str) -> None:
    environ = environment({}, {**NODES, "WARREN_GATEWAY_PORT": port})
    assert chat in banner(LocalSettings.from_env({}), environ)


async def test_who_is_not_ready_in_time_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    ports = {f"WARREN_{name.upper()}_ADMIN_PORT": free_port() for name in SERVICES}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await announce(ports, "up", patience_s=0.05)
    assert capsys.readouterr().out == "Not ready after 0.05 s: history, presence, delivery, gateway. Still waiting …\n"
