"""Policies of what faces outwards: the ingress, and what Prometheus is told. Each gives its complaints."""

import re
from collections.abc import Iterator

from gateway.rest.event_stream import COMMENT_S
from gateway.settings import SocketSettings
from gateway.socket_io import server
from tests.manifests.metrics import LABELS, SERIES
from tests.manifests.reading import Overlay, matches
from tests.manifests.rendering import Manifest

STICKY = sorted({path.rstrip("/") for path in server.PATHS})
CLIENT = "X-Forwarded-For %[src]"  # HAProxy's word for the address from which a request came to it
SECONDS = {"s": 1, "m": 60, "h": 3600}
SOURCES = {"/metrics", "/metrics/detailed"}


def backends_exist(overlay: Overlay) -> Iterator[str]:
    """Every path of an Ingress leads to a Service and a port that are there, and none to an admin port."""
    for ingress in overlay.all("Ingress"):
        for path in paths_of(ingress):
            backend = path["backend"]["service"]
            services = [each for each in overlay.all("Service") if each["metadata"]["name"] == backend["name"]]
            ports = [port["name"] for each in services for port in each["spec"]["ports"]]
            if backend["port"]["name"] not in ports or backend["port"]["name"] != "http":
                yield f"{path['path']} leads to {backend}"


def paths_of(ingress: Manifest) -> list[Manifest]:
    """Give all paths of an Ingress."""
    return [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]


def everything_is_encrypted(overlay: Overlay) -> Iterator[str]:
    """There is a certificate for every host, and plain HTTP is sent there."""
    for ingress in overlay.all("Ingress"):
        covered = {host for each in ingress["spec"].get("tls", []) for host in each["hosts"]}
        hosts = {rule.get("host") for rule in ingress["spec"]["rules"]}
        if hosts - covered:
            yield f"no certificate for {hosts - covered}"
        if ingress["metadata"]["annotations"].get("haproxy.org/ssl-redirect") != "true":
            yield "plain HTTP is answered"


def sockets_outlive_the_ingress(overlay: Overlay) -> Iterator[str]:
    """A socket that only answers pings, and an event stream that only has comments, are not cut."""
    settings = SocketSettings.from_env(overlay.one("ConfigMap", "warren-config")["data"])
    for ingress in overlay.all("Ingress"):
        annotations = ingress["metadata"]["annotations"]
        tunnel = re.search(r"timeout tunnel (\w+)", annotations.get("haproxy.org/backend-config-snippet", ""))
        if tunnel is None or seconds(tunnel[1]) <= 2 * max(settings.heartbeat_s, settings.silence_s):
            yield "sockets are cut before Warren finds them silent"
        if seconds(annotations.get("haproxy.org/timeout-server", "0s")) <= 2 * max(COMMENT_S, settings.heartbeat_s):
            yield "event streams are cut between two comments"


def seconds(text: str) -> int:
    """Give the seconds that 90s, 5m or 1h stands for."""
    return int(text[:-1]) * SECONDS[text[-1]]


def polls_stay_with_their_gateway(overlay: Overlay) -> Iterator[str]:
    """Paths whose sessions are several requests go to one gateway, by the client's address."""
    for ingress in overlay.all("Ingress"):
        found = {path["path"]: path["backend"]["service"]["name"] for path in paths_of(ingress)}
        for path in STICKY:
            services = [each for each in overlay.all("Service") if each["metadata"]["name"] == found.get(path)]
            if [each["metadata"].get("annotations", {}).get("haproxy.org/load-balance") for each in services] != [
                "source"
            ]:
                yield f"{path}: a session's requests go to any gateway"
            elif services[0]["spec"]["selector"] != overlay.one("Service", "warren-gateway")["spec"]["selector"]:
                yield f"{path} leads to other pods"


def clients_are_told_apart(overlay: Overlay) -> Iterator[str]:
    """Gateways count by the address that the ingress saw, and not by one that a client made up."""
    if overlay.one("ConfigMap", "warren-config")["data"].get("FORWARDED_ALLOW_IPS") != "*":
        yield "all clients have the address of the ingress"
    for ingress in overlay.all("Ingress"):
        if ingress["metadata"]["annotations"].get("haproxy.org/request-set-header") != CLIENT:
            yield "a client has the address that it says it has"


def monitors_find_series(overlay: Overlay) -> Iterator[str]:
    """Each ServiceMonitor leads to a Service, by a port of its and a path that answers; no service is left out."""
    watched: set[str] = set()
    for monitor in overlay.all("ServiceMonitor"):
        name, spec = monitor["metadata"]["name"], monitor["spec"]
        services = [each for each in overlay.all("Service") if matches(spec["selector"], _labels(each))]
        watched |= {each["metadata"]["name"] for each in services}
        if len(services) != 1:
            yield f"monitor {name} watches {len(services)} Services"
        for endpoint in spec["endpoints"]:
            if any(endpoint["port"] not in [port["name"] for port in each["spec"]["ports"]] for each in services):
                yield f"monitor {name}: no port {endpoint['port']}"
            if endpoint["path"] not in SOURCES:
                yield f"monitor {name}: no path {endpoint['path']}"
    for workload in overlay.workloads():
        if workload.runs_on and {"admin", "prometheus"} & set(workload.ports()) and workload.name not in watched:
            yield f"{workload.name} is not watched"


def _labels(service: Manifest) -> dict[str, str]:
    return dict(service["metadata"].get("labels", {}))


def alerts_ask_for_what_there_is(overlay: Overlay) -> Iterator[str]:
    """Every series of an alert, and every value of a label that it asks for, is one that the services have."""
    for rule in alerts(overlay):
        for series, selector in re.findall(r"\b(warren_\w+)(?:\{([^}]*)\})?", rule["expr"]):
            if series not in SERIES:
                yield f"{rule['alert']}: no series is named {series}"
            for label, values in re.findall(r'(\w+)=~?"([^"]*)"', selector):
                for value in values.split("|"):
                    if (series, label, value) not in LABELS:
                        yield f"{rule['alert']}: {series} has no {label}={value}"


def alerts(overlay: Overlay) -> list[Manifest]:
    """Give all alerting rules."""
    groups = [group for each in overlay.all("PrometheusRule") for group in each["spec"]["groups"]]
    return [rule for group in groups for rule in group["rules"]]


PROBLEMS_OF_OUTSIDE = (
    backends_exist,
    everything_is_encrypted,
    sockets_outlive_the_ingress,
    polls_stay_with_their_gateway,
    clients_are_told_apart,
    monitors_find_series,
    alerts_ask_for_what_there_is,
)
