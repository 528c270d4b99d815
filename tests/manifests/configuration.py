"""Policies of configuration: the services' own settings classes read it and judge. Each gives its complaints."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

from pydantic import ValidationError

from delivery.settings import DeliverySettings
from deploy.local import env_example
from gateway.settings import GatewaySettings
from history.settings import HistorySettings
from presence.settings import PresenceSettings
from shared.broker.rabbit import CLOSE_DEADLINE_S
from shared.settings import DEVELOPMENT_SECRET, InitSettings, ProcessSettings, Settings
from tests.manifests.reading import SERVICES, Overlay, Workload, strings
from tests.manifests.rendering import ROOT, Manifest

READ_BY: dict[str, type[ProcessSettings]] = {
    "gateway": GatewaySettings,
    "history": HistorySettings,
    "delivery": DeliverySettings,
    "presence": PresenceSettings,
    "init": InitSettings,
}
READ_BY_UVICORN = {"FORWARDED_ALLOW_IPS"}
DOCUMENT = ROOT / "docs" / "deploy.md"


def names_of(settings: type[Settings]) -> dict[str, bool]:
    """Give the variables that a settings class reads, and whether each is a secret."""
    prefix = settings.model_config["env_prefix"]
    fields = settings.model_fields.items()
    return {f"{prefix}{name}".upper(): "SecretStr" in str(info.annotation) for name, info in fields}


ALL_NAMES = {name: secret for _, group in env_example.GROUPS for name, secret in names_of(group).items()}


def variables_exist(overlay: Overlay) -> Iterator[str]:
    """Every variable is one that some service reads; what a container alone is given, that service reads."""
    for name in overlay.one("ConfigMap", "warren-config")["data"]:
        if name not in ALL_NAMES.keys() | READ_BY_UVICORN:
            yield f"warren-config: no setting is named {name}"
    for workload in overlay.of_warren():
        groups = [info.annotation for info in READ_BY[workload.service].model_fields.values()]
        read = {name for group in groups if isinstance(group, type) for name in names_of(group)}
        for variable in workload.pod["containers"][0].get("env", []):
            if variable["name"] not in read:
                yield f"{workload.name} does not read {variable['name']}"


def settings_are_accepted(overlay: Overlay) -> Iterator[str]:
    """The services' own classes read the environment of their pods without complaint."""
    for workload in overlay.of_warren():
        try:
            READ_BY[workload.service].from_env(overlay.environment(workload))
        except ValidationError as error:
            yield f"{workload.name}: {error}"


def modules_exist(overlay: Overlay) -> Iterator[str]:
    """What a container runs is there."""
    for workload in overlay.of_warren():
        if find_spec(workload.module or "") is None:
            yield f"{workload.name} runs {workload.module}, which is not there"


def addresses_resolve(overlay: Overlay) -> Iterator[str]:
    """Ports are those the settings say, and the query APIs' addresses are those of their Services."""
    for workload in overlay.of_warren():
        if workload.service in SERVICES and workload.ports() != ports_of(overlay, workload):
            yield f"{workload.name} listens on {ports_of(overlay, workload)}, not {workload.ports()}"
    for name in ("history", "presence"):
        address = urlsplit(overlay.one("ConfigMap", "warren-config")["data"][f"WARREN_{name.upper()}_URL"])
        service = overlay.one("Service", f"warren-{name}")
        if (address.hostname, address.port) not in _addresses(service):
            yield f"{name} is not at {address.geturl()}"


def ports_of(overlay: Overlay, workload: Workload) -> dict[str, int]:
    """Give the ports on which a service listens, by its settings."""
    settings = READ_BY[workload.service].from_env(overlay.environment(workload))
    if isinstance(settings, GatewaySettings):
        return {"http": settings.sockets.port, "admin": settings.sockets.admin_port}
    return {"admin": getattr(settings, workload.service).admin_port}


def _addresses(service: Manifest) -> list[tuple[str, int]]:
    return [(service["metadata"]["name"], port["port"]) for port in service["spec"]["ports"]]


def gateways_name_themselves(overlay: Overlay) -> Iterator[str]:
    """A fixed id would bring a restarted gateway to the queue of its former self, and two replicas to one."""
    for text in strings(overlay.manifests):
        if text == "WARREN_GATEWAY_ID":
            yield "gateways are given an id; by themselves they take the pod's name and what is new with each start"
    if "WARREN_GATEWAY_ID" in overlay.one("ConfigMap", "warren-config")["data"]:
        yield "all gateways are given one id"


def secrets_come_by_reference(overlay: Overlay) -> Iterator[str]:
    """No secret stands in a pod or a ConfigMap."""
    for config in overlay.all("ConfigMap"):
        for name in config.get("data", {}):
            if ALL_NAMES.get(name):
                yield f"{config['metadata']['name']} holds the secret {name}"
    for workload in overlay.workloads():
        for container in workload.containers():
            for variable in container.get("env", []):
                if "value" in variable and (ALL_NAMES.get(variable["name"]) or "PASS" in variable["name"]):
                    yield f"{workload.name} says the secret {variable['name']}"


def production_holds_no_secret(overlay: Overlay) -> Iterator[str]:
    """Secrets are made on the cluster, by nobody's file."""
    for secret in overlay.all("Secret"):
        yield f"the secret {secret['metadata']['name']} stands in the manifests"
    for text in strings(overlay.manifests):
        if DEVELOPMENT_SECRET in text:
            yield "the development secret stands in the manifests"
    if overlay.one("ConfigMap", "warren-config")["data"]["WARREN_MODE"] != "production":
        yield "it is not in production mode"


def production_wants_tokens(overlay: Overlay) -> Iterator[str]:
    """Nobody is believed without a token."""
    settings = GatewaySettings.from_env(overlay.environment(overlay.workload("warren-gateway")))
    if settings.sockets.open_devices:
        yield "who names a device is believed"


def secret_keys_exist(overlay: Overlay) -> Iterator[str]:
    """Every key that is referred to is in a generated Secret, or among those that docs/deploy.md has you make."""
    made = {each["metadata"]["name"]: set(each["data"]) for each in overlay.all("Secret")} or documented_secrets()
    for workload in overlay.workloads():
        for name, key in _references(workload):
            if key not in made.get(name, ()):
                yield f"{workload.name} wants {key} of {name}"


def documented_secrets() -> dict[str, set[str]]:
    """Give the keys of each Secret that docs/deploy.md makes with kubectl."""
    commands = re.findall(r"create secret generic (\S+)((?:\\\n|.)*)", DOCUMENT.read_text())
    return {name: set(re.findall(r"--from-(?:literal|file)=([\w-]+)=", rest)) for name, rest in commands}


def _references(workload: Workload) -> Iterator[tuple[str, str]]:
    for container in workload.containers():
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                yield reference["name"], reference["key"]
    for volume in workload.pod.get("volumes", []):
        for item in volume.get("secret", {}).get("items", []):
            yield volume["secret"]["secretName"], item["key"]


def pods_may_end_in_peace(overlay: Overlay) -> Iterator[str]:
    """Kubernetes waits for longer than what happens before SIGTERM, the drain and the goodbyes take together."""
    for workload in overlay.of_warren():
        if workload.runs_on:
            hook = workload.pod["containers"][0].get("lifecycle", {}).get("preStop", {})
            pause = hook.get("sleep", {}).get("seconds", 0)
            took = pause + drain_of(overlay, workload) + 2 * CLOSE_DEADLINE_S
            if workload.pod.get("terminationGracePeriodSeconds", 30) < took:
                yield f"{workload.name} is killed before it has drained: {took:g} s"
            if pause < 3:
                yield f"{workload.name} ends while others still send to it"


def drain_of(overlay: Overlay, workload: Workload) -> float:
    """Give the drain time of a service, by its settings."""
    settings = READ_BY[workload.service].from_env(overlay.environment(workload))
    part = settings.sockets if isinstance(settings, GatewaySettings) else getattr(settings, workload.service)
    return float(part.drain_s)


PROBLEMS_OF_CONFIGURATION = (
    variables_exist,
    settings_are_accepted,
    modules_exist,
    addresses_resolve,
    gateways_name_themselves,
    secrets_come_by_reference,
    secret_keys_exist,
    pods_may_end_in_peace,
)
