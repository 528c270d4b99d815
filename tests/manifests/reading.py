"""What the objects of an overlay say, found by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.manifests.rendering import Manifest

Labels = Mapping[str, str]
WORKLOADS = ("Deployment", "StatefulSet", "Job")
SERVICES = ("gateway", "history", "delivery", "presence")
UNITS = {"m": 1e-3, "": 1.0, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}


@dataclass(frozen=True)
class Workload:
    """A Deployment, StatefulSet or Job, and the pod it makes."""

    manifest: Manifest

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def spec(self) -> Manifest:
        return dict(self.manifest["spec"])

    @property
    def pod(self) -> Manifest:
        return dict(self.spec["template"]["spec"])

    @property
    def labels(self) -> Labels:
        return dict(self.spec["template"]["metadata"]["labels"])

    @property
    def runs_on(self) -> bool:
        """Whether it is to run for ever."""
        return self.kind != "Job"

    @property
    def module(self) -> str | None:
        """The module of Warren's that it runs."""
        command = self.pod["containers"][0].get("command", [])
        return str(command[2]) if command[:2] == ["python", "-m"] else None

    @property
    def service(self) -> str:
        return (self.module or "").removeprefix("services.")

    def containers(self) -> list[Manifest]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for each in self.containers() for port in each.get("ports", [])}


@dataclass(frozen=True)
class Overlay:
    """All objects of one overlay."""

    manifests: list[Manifest]
    name: str = field(default="", compare=False)

    def all(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest:
        """Give the object of this name, with or without the hash that a generator puts behind it."""
        found = [each for each in self.all(kind) if _bare(each["metadata"]["name"], name)]
        assert len(found) == 1, f"{len(found)} of {kind}/{name}"
        return found[0]

    def workloads(self) -> list[Workload]:
        return [Workload(manifest) for kind in WORKLOADS for manifest in self.all(kind)]

    def of_warren(self) -> list[Workload]:
        return [each for each in self.workloads() if each.module]

    def workload(self, name: str) -> Workload:
        return next(each for each in self.workloads() if each.name == name)

    def selected(self, selector: Manifest) -> list[Workload]:
        return [each for each in self.workloads() if matches(selector, each.labels)]

    def environment(self, workload: Workload) -> dict[str, str]:
        """Give the variables of a pod of Warren's; a secret's value is its key in capitals, or an address."""
        container = workload.pod["containers"][0]
        environ: dict[str, str] = {}
        for source in container.get("envFrom", []):
            environ |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in container.get("env", []):
            environ[variable["name"]] = variable.get("value", _secret(variable))
        return environ


def _bare(name: str, wanted: str) -> bool:
    return name == wanted or (name.rpartition("-")[0] == wanted and len(name.rpartition("-")[2]) == 10)


def _secret(variable: Manifest) -> str:
    key: str = variable["valueFrom"].get("secretKeyRef", {}).get("key", "")
    return {"amqp-url": "amqp://broker:5672/", "mongo-url": "mongodb://database:27017/"}.get(
        key, key.upper() + 32 * "x"
    )


def matches(selector: Manifest, labels: Labels) -> bool:
    """Say whether a label selector takes these labels; an empty one takes all."""
    wanted = selector.get("matchLabels", {}).items() <= dict(labels).items()
    return wanted and all(_takes(expression, labels) for expression in selector.get("matchExpressions", []))


def _takes(expression: Manifest, labels: Labels) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "Exists":
            return value is not None
        case other:
            raise NotImplementedError(other)


def quantity(text: Any) -> float:
    """Give the number that 250m, 1Gi or 2 stands for."""
    written = str(text)
    unit = written.lstrip("0123456789.")
    return float(written.removesuffix(unit)) * UNITS[unit]


def strings(value: Any) -> Iterator[str]:
    """Give every text in a manifest, however deep."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value
