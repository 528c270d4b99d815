"""Policies of pods: what they may do and take, how they say that they are well. Each gives its complaints."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache

import yaml

from shared.admin import CHECK_TIMEOUT_S
from shared.broker.rabbit import START_DEADLINE_S
from tests.manifests.reading import Overlay, Workload, quantity
from tests.manifests.rendering import ROOT, Manifest

PROBE_PATHS = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
HOST = ("hostNetwork", "hostPID", "hostIPC")


def every_container(overlay: Overlay) -> Iterator[tuple[str, Workload, Manifest]]:
    """Give all containers, with what to call them."""
    for workload in overlay.workloads():
        for container in workload.containers():
            yield f"{workload.name}/{container['name']}", workload, container


def pods_are_restricted(overlay: Overlay) -> Iterator[str]:
    """Nobody is root or may become it, and nothing of the host is theirs: the restricted profile, and more."""
    for workload in overlay.workloads():
        pod, own = workload.pod, workload.pod.get("securityContext", {})
        if not own.get("runAsNonRoot") or own.get("runAsUser", 0) == 0 or own.get("runAsGroup", 0) == 0:
            yield f"{workload.name} may be root"
        if own.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{workload.name} may make any system call"
        if any(pod.get(each) for each in HOST) or any("hostPath" in each for each in pod.get("volumes", [])):
            yield f"{workload.name} reaches into the host"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{workload.name} has a token for the API of Kubernetes"
        if pod.get("enableServiceLinks") is not False:
            yield f"{workload.name} gets variables named after Services, as WARREN_GATEWAY_PORT"


def containers_are_restricted(overlay: Overlay) -> Iterator[str]:
    """No privileges, no capabilities, nothing to write to but volumes."""
    for name, _, container in every_container(overlay):
        if container.get("securityContext") != RESTRICTED_CONTAINER:
            yield f"{name}: securityContext is {container.get('securityContext')}"


def containers_say_what_they_need(overlay: Overlay) -> Iterator[str]:
    """Every container requests and is limited, in CPU and memory."""
    for name, _, container in every_container(overlay):
        resources = container.get("resources", {})
        for what in ("cpu", "memory"):
            request, limit = (resources.get(each, {}).get(what) for each in ("requests", "limits"))
            if request is None or limit is None:
                yield f"{name}: no request or no limit of {what}"
            elif quantity(request) > quantity(limit):
                yield f"{name}: requests more {what} than it may have"


def images_are_pinned(overlay: Overlay) -> Iterator[str]:
    """Warren's image has the project's version; the others are those that Compose runs."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, workload, container in every_container(overlay):
        repository, _, tag = container["image"].rpartition(":")
        if tag in ("", "latest") or not repository:
            yield f"{name}: {container['image']} may be any version"
        elif workload.module and (repository.rpartition("/")[2], tag) != ("warren", version):
            yield f"{name}: {container['image']} is not Warren {version}"
        elif not workload.module and container["image"] not in images_of_compose():
            yield f"{name}: Compose does not run {container['image']}"


@cache
def images_of_compose() -> frozenset[str]:
    """Give the default images of docker-compose.yml."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    return frozenset(re.sub(r"\$\{\w+:-(.*)\}", r"\1", each["image"]) for each in services if "image" in each)


def users_are_those_of_the_image(overlay: Overlay) -> Iterator[str]:
    """Warren's pods run as the user for whom the image was made."""
    users = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for workload in overlay.of_warren():
        context = workload.pod["securityContext"]
        if users[-1:] != [(str(context["runAsUser"]), str(context["runAsGroup"]))]:
            yield f"{workload.name} runs as another user than its image's"


def volumes_are_there(overlay: Overlay) -> Iterator[str]:
    """Every mount has its volume, and every volume is mounted."""
    for workload in overlay.workloads():
        there = {each["name"] for each in workload.pod.get("volumes", [])}
        there |= {each["metadata"]["name"] for each in workload.spec.get("volumeClaimTemplates", [])}
        used = {mount["name"] for each in workload.containers() for mount in each.get("volumeMounts", [])}
        for name in there ^ used:
            yield f"{workload.name}: volume {name} is not both there and mounted"


def probes_ask_what_is_there(overlay: Overlay) -> Iterator[str]:
    """What runs for ever has all three probes; Warren's ask the paths of the admin port."""
    for workload in overlay.workloads():
        container = workload.pod["containers"][0]
        for probe, path in PROBE_PATHS.items() if workload.runs_on else ():
            asked = container.get(probe, {})
            target = asked.get("httpGet") or asked.get("tcpSocket") or {}
            if not asked:
                yield f"{workload.name} has no {probe}"
            elif "port" in target and target["port"] not in workload.ports():
                yield f"{workload.name}: {probe} asks port {target['port']}"
            elif workload.module and target != {"path": path, "port": "admin"}:
                yield f"{workload.name}: {probe} asks {target}"


def probes_are_patient(overlay: Overlay) -> Iterator[str]:
    """A service that waits for its broker is not killed, and a readiness check has the time it may take."""
    for workload in overlay.of_warren():
        if workload.runs_on:
            container = workload.pod["containers"][0]
            startup, readiness = (container.get(each, {}) for each in ("startupProbe", "readinessProbe"))
            if startup.get("periodSeconds", 10) * startup.get("failureThreshold", 3) <= START_DEADLINE_S + 10:
                yield f"{workload.name} is killed while it waits for the broker"
            if readiness.get("timeoutSeconds", 1) <= 2 * CHECK_TIMEOUT_S:
                yield f"{workload.name}: its readiness checks may take longer than the probe waits"


PROBLEMS_OF_PODS = (
    pods_are_restricted,
    containers_are_restricted,
    containers_say_what_they_need,
    images_are_pinned,
    users_are_those_of_the_image,
    volumes_are_there,
    probes_ask_what_is_there,
    probes_are_patient,
)
