"""Who may talk to whom, worked out of the NetworkPolicies as a cluster would."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.manifests.reading import Labels, Overlay, matches
from tests.manifests.rendering import Manifest

WARREN = ("warren-gateway", "warren-history", "warren-delivery", "warren-presence", "warren-init")
NAMESPACE = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Peer:
    """One end of a connection."""

    name: str
    labels: tuple[tuple[str, str], ...]
    namespace: str = "warren"

    def label_map(self) -> Labels:
        return dict(self.labels)


@dataclass(frozen=True)
class Network:
    """The policies of the namespace, asked for one connection at a time."""

    overlay: Overlay

    def pod(self, name: str) -> Peer:
        return Peer(name, tuple(self.overlay.workload(name).labels.items()))

    def lets_out(self, source: Peer, target: Peer, port: int) -> bool:
        return self._lets("Egress", "egress", "to", source, target, port)

    def lets_in(self, source: Peer, target: Peer, port: int) -> bool:
        return self._lets("Ingress", "ingress", "from", target, source, port)

    def lets(self, source: Peer, target: Peer, port: int) -> bool:
        return self.lets_out(source, target, port) and self.lets_in(source, target, port)

    def _lets(self, kind: str, rules: str, ends: str, own: Peer, other: Peer, port: int) -> bool:
        specs = [each["spec"] for each in self.overlay.all("NetworkPolicy")]
        specs = [
            each for each in specs if kind in each["policyTypes"] and matches(each["podSelector"], own.label_map())
        ]
        if not specs:
            return True
        served = own if kind == "Ingress" else other
        return any(
            any(_is(end, other) for end in rule.get(ends, [])) and self._has(rule, served, port)
            for spec in specs
            for rule in spec.get(rules, [])
        )

    def _has(self, rule: Manifest, served: Peer, port: int) -> bool:
        named = next((each.ports() for each in self.overlay.workloads() if each.name == served.name), {})
        for each in rule["ports"]:
            first = named.get(each["port"], -1) if isinstance(each["port"], str) else each["port"]
            if first <= port <= each.get("endPort", first):
                return True
        return False


def _is(end: Manifest, peer: Peer) -> bool:
    if "namespaceSelector" in end:
        near = matches(end["namespaceSelector"], {NAMESPACE: peer.namespace})
    else:
        near = peer.namespace == "warren"
    return near and matches(end.get("podSelector", {}), peer.label_map())


def outsider(name: str, namespace: str) -> Peer:
    """Give a pod of another namespace, by its usual label."""
    return Peer(name, (("app.kubernetes.io/name", name),), namespace)


NEEDED = (
    *((each, "warren-rabbitmq", 5672) for each in WARREN),
    *((each, "warren-mongodb", 27017) for each in ("warren-history", "warren-presence", "warren-init")),
    ("warren-mongodb-initiate", "warren-mongodb", 27017),
    ("warren-mongodb", "warren-mongodb", 27017),
    *(("warren-rabbitmq", "warren-rabbitmq", port) for port in (4369, 25672, 35672, 35682)),
    ("warren-gateway", "warren-history", 8103),
    ("warren-gateway", "warren-presence", 8102),
    ("warren-delivery", "warren-history", 8103),
)


def every_port(overlay: Overlay) -> Iterator[tuple[str, str, int]]:
    """Give every connection that could be made between two of the namespace's pods."""
    for source in overlay.workloads():
        for target in overlay.workloads():
            for port in target.ports().values():
                yield source.name, target.name, port


def what_is_needed_is_let_through(overlay: Overlay) -> Iterator[str]:
    """Every connection that Warren, its broker and its database make is let out and in; names are resolved."""
    network = Network(overlay)
    for source, target, port in NEEDED:
        if not network.lets(network.pod(source), network.pod(target), port):
            yield f"{source} does not reach {target}:{port}"
    for workload in overlay.workloads():
        if not network.lets_out(network.pod(workload.name), outsider("coredns", "kube-system"), 53):
            yield f"{workload.name} finds no name"


def nothing_else_is_let_through(overlay: Overlay) -> Iterator[str]:
    """Whatever nobody needs is refused, between the pods and from elsewhere."""
    network = Network(overlay)
    stranger, newcomer = outsider("stranger", "elsewhere"), Peer("newcomer", ())
    if network.lets_in(stranger, newcomer, 80) or network.lets_out(newcomer, stranger, 80):
        yield "a pod of which no policy knows talks to anybody"
    for source, target, port in every_port(overlay):
        needed = (source, target, port) in NEEDED
        if not needed and network.lets(network.pod(source), network.pod(target), port):
            yield f"{source} reaches {target}:{port} for nothing"
        if network.lets_in(stranger, network.pod(target), port):
            yield f"anybody reaches {target}:{port}"
        if network.lets_out(network.pod(source), stranger, port):
            yield f"{source} reaches anybody"


def only_sockets_face_the_ingress(overlay: Overlay) -> Iterator[str]:
    """The ingress reaches the gateways' public port and no other; Prometheus reaches where series are."""
    network = Network(overlay)
    ingress, prometheus = outsider("haproxy", "haproxy-controller"), outsider("prometheus", "monitoring")
    for workload in overlay.workloads():
        for name, port in workload.ports().items():
            pod = network.pod(workload.name)
            if network.lets_in(ingress, pod, port) != ((workload.name, name) == ("warren-gateway", "http")):
                yield f"ingress → {workload.name}:{name}"
            if network.lets_in(prometheus, pod, port) != (name in ("admin", "prometheus")):
                yield f"Prometheus → {workload.name}:{name}"


PROBLEMS_OF_NETWORK = (what_is_needed_is_let_through, nothing_else_is_let_through)
PROBLEMS_OF_EDGES = (only_sockets_face_the_ingress,)
