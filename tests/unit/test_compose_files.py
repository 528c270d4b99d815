"""What the Compose stack is told agrees with what the code knows."""

import importlib
import re
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from delivery.settings import RoutingSettings
from deploy.local import env_example
from gateway.settings import SocketSettings
from history.settings import LedgerSettings
from presence.settings import TrackingSettings
from services import health
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose"
FILE = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE)["services"]
OWN: dict[str, type[Settings]] = {
    "gateway": SocketSettings,
    "delivery": RoutingSettings,
    "presence": TrackingSettings,
    "history": LedgerSettings,
}
# Variables of the Compose file alone: they name what it builds and the file that it reads.
ITS_OWN = ("WARREN_COMPOSE_", "WARREN_IMAGE", "WARREN_PROXY_IMAGE", "WARREN_ENV_FILE")
PINS = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)


def default(service: str, field: str) -> object:
    return OWN[service].model_fields[field].default


def secrets(path: Path) -> dict[str, str]:
    subprocess.run(["sh", COMPOSE / "secrets.sh", path], check=True)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("service", OWN)
def test_the_health_check_knows_the_port_of_each_service(service: str) -> None:
    command = f"python\0-m\0services.{service}\0".encode()
    assert health.admin_port(command, {}) == default(service, "admin_port")
    assert health.admin_port(command, {f"WARREN_{service.upper()}_ADMIN_PORT": "9"}) == 9


def test_the_health_check_leaves_jobs_alone() -> None:
    assert health.main(b"python\0-m\0services.init\0", {}) == 0


def test_the_health_check_fails_where_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert health.main(b"services.history", {"WARREN_HISTORY_ADMIN_PORT": "1"}) == 1
    assert "port 1" in capsys.readouterr().out


@pytest.mark.parametrize("service", ["gateway-1", "gateway-2", "delivery", "presence", "history"])
def test_a_container_is_given_longer_than_its_service_drains(service: str) -> None:
    grace_s = int(SERVICES[service]["stop_grace_period"].removesuffix("s"))
    drain_s = default(service.partition("-")[0], "drain_s")
    assert isinstance(drain_s, float)
    assert grace_s > drain_s + float(str(SocketSettings.model_fields["close_s"].default))


def test_every_variable_is_a_setting() -> None:
    known = set(re.findall(r"^#(WARREN_\w+)=", env_example.render(), re.MULTILINE))
    used = set(re.findall(r"\bWARREN_\w+", FILE))
    assert {name for name in used if not name.startswith(ITS_OWN)} <= known


def test_a_clone_gets_every_secret_once_and_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("WARREN_ADMIN_TOKEN=mine\nWARREN_JWT_SECRET=\n")
    first, again = secrets(file), secrets(file)
    assert first == again
    assert first["WARREN_ADMIN_TOKEN"] == "mine"
    assert set(first) == set(re.findall(r"\$\{(\w+(?:TOKEN|SECRET|PASSWORD|KEY)):-", FILE))
    made = [value for name, value in first.items() if name != "WARREN_ADMIN_TOKEN"]
    assert len({value for value in made if re.fullmatch("[0-9a-f]{48}", value)}) == len(made)


def test_a_last_line_without_an_end_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WARREN_SHARDS=8")
    assert secrets(tmp_path / ".env")["WARREN_SHARDS"] == "8"


def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    secrets(tmp_path / ".env")
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


@pytest.mark.parametrize("image", ["RABBITMQ_IMAGE", "MONGO_IMAGE", "PYTHON_IMAGE", "PROXY_BASE"])
def test_images_can_be_had_from_elsewhere_and_none_is_the_latest(image: str) -> None:
    [name] = re.findall(rf"\$\{{{image}:-([^}}]+)\}}", FILE)
    assert re.search(r":[\w.-]*\d|:trixie-slim", name)


def test_the_image_has_what_the_tests_ran_on() -> None:
    everything = dict(PINS.findall((ROOT / "requirements.lock").read_text()))
    image = dict(PINS.findall((ROOT / "requirements-runtime.lock").read_text()))
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert image.items() <= everything.items(), "run `make lock`"
    assert {re.split(r"[\[<>=;]", line)[0] for line in wanted} <= image.keys(), "run `make lock`"


def test_prometheus_asks_every_admin_port() -> None:
    config = yaml.safe_load((COMPOSE / "prometheus/prometheus.yml").read_text())
    targets = {
        target for job in config["scrape_configs"] for each in job["static_configs"] for target in each["targets"]
    }
    services = {
        f"{name}:{default(name.partition('-')[0], 'admin_port')}" for name in SERVICES if name.partition("-")[0] in OWN
    }
    assert targets == services | {"rabbitmq:15692", "proxy:8404"}


@pytest.mark.parametrize("file", ["grafana/dashboards/warren.json", "prometheus/alerts.yml"])
def test_every_series_that_is_shown_exists(file: str) -> None:
    for module in (
        "gateway.metrics",
        "history.metrics",
        "delivery.metrics",
        "presence.metrics",
        "shared.broker.metrics",
    ):
        importlib.import_module(module)
    importlib.import_module("shared.metrics")
    there = {sample.name for metric in REGISTRY.collect() for sample in metric.samples}
    shown = set(re.findall(r"\b(?:warren|process)_\w+", (COMPOSE / file).read_text()))
    assert len(shown) > 3
    assert shown <= there


def test_what_is_durable_is_in_named_volumes() -> None:
    assert "rabbitmq:/var/lib/rabbitmq" in SERVICES["rabbitmq"]["volumes"]
    assert "mongo:/data/db" in SERVICES["mongo"]["volumes"]
