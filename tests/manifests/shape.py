"""Policies of how objects fit together: selectors, replicas, members, disruptions. Each gives its complaints."""

import re
from collections.abc import Iterator

import yaml

from shared.settings import BrokerSettings
from tests.manifests.metrics import GAUGES
from tests.manifests.reading import Overlay, Workload, matches
from tests.manifests.rendering import K8S, Manifest

SHARDED = ("warren-history", "warren-delivery")


def everything_is_in_one_namespace(overlay: Overlay) -> Iterator[str]:
    """All of it is in `warren`, and a label says what it is part of."""
    for manifest in overlay.manifests:
        about = manifest["metadata"]
        if manifest["kind"] != "Namespace" and about.get("namespace") != "warren":
            yield f"{manifest['kind']}/{about['name']} is in another namespace"
        if about.get("labels", {}).get("app.kubernetes.io/part-of") != "warren":
            yield f"{manifest['kind']}/{about['name']} does not say that it is part of warren"


def workloads_select_their_own_pods(overlay: Overlay) -> Iterator[str]:
    """A workload's selector takes its own pods and nobody else's."""
    for workload in overlay.workloads():
        if workload.kind != "Job":
            found = [each.name for each in overlay.selected(workload.spec["selector"])]
            if found != [workload.name]:
                yield f"{workload.name} selects {found}"


def services_lead_to_pods(overlay: Overlay) -> Iterator[str]:
    """Every Service leads to the pods of one workload, and to ports that these have."""
    for service in overlay.all("Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        pods = overlay.selected({"matchLabels": spec["selector"]})
        if len(pods) != 1:
            yield f"Service {name} leads to {[each.name for each in pods]}"
        for port in spec["ports"]:
            if any(port["targetPort"] not in pod.ports() for pod in pods):
                yield f"Service {name}: no port {port['targetPort']}"
            elif any(pod.ports()[port["targetPort"]] != port["port"] for pod in pods):
                yield f"Service {name}: {port['name']} has another number than in the pod"


def stateful_sets_have_names(overlay: Overlay) -> Iterator[str]:
    """Their pods are found by name before they are ready, and keep their volumes."""
    for workload in overlay.workloads():
        if workload.kind == "StatefulSet":
            spec = overlay.one("Service", workload.spec["serviceName"])["spec"]
            if spec.get("clusterIP") != "None" or not spec.get("publishNotReadyAddresses"):
                yield f"{workload.name}: its pods cannot find each other"
            if workload.spec.get("persistentVolumeClaimRetentionPolicy") != {
                "whenDeleted": "Retain",
                "whenScaled": "Retain",
            }:
                yield f"{workload.name} loses its data when it is scaled"


def members_are_counted_right(overlay: Overlay) -> Iterator[str]:
    """The replica set is made of as many members as there are pods; RabbitMQ's are found by the name of the Service."""
    mongodb, rabbitmq = (overlay.workload(f"warren-{each}") for each in ("mongodb", "rabbitmq"))
    job = overlay.workload("warren-mongodb-initiate")
    told = {each["name"]: each.get("value") for each in job.pod["containers"][0]["env"]}
    if told["MEMBERS"] != str(mongodb.spec["replicas"]):
        yield f"a replica set of {told['MEMBERS']} in {mongodb.spec['replicas']} pods"
    if mongodb.spec["replicas"] % 2 == 0 or rabbitmq.spec["replicas"] % 2 == 0:
        yield "an even number has no better majority than one less"
    script = overlay.one("ConfigMap", "warren-mongodb-scripts")["data"]["initiate.js"]
    if f"{mongodb.name}-${{n}}.{mongodb.spec['serviceName']}.${{POD_NAMESPACE}}.svc:27017" not in script:
        yield "the replica set is made of names that lead nowhere"
    suffix = f".{rabbitmq.spec['serviceName']}.$(POD_NAMESPACE)"
    names = {each["name"]: each.get("value", "") for each in rabbitmq.pod["containers"][0]["env"]}
    if names["K8S_HOSTNAME_SUFFIX"] != suffix or names["RABBITMQ_NODENAME"] != f"rabbit@$(POD_NAME){suffix}":
        yield "RabbitMQ's nodes have names that lead nowhere"


def queues_have_three_replicas(overlay: Overlay) -> Iterator[str]:
    """The broker brings every quorum queue to as many members as it has nodes."""
    conf = re.search(r"target_group_size = (\d+)", _rabbitmq_conf(overlay))
    replicas = overlay.workload("warren-rabbitmq").spec["replicas"]
    if conf is None or int(conf[1]) != replicas or replicas < 3:
        yield f"quorum queues of {conf and conf[1]} on {replicas} nodes"


def _rabbitmq_conf(overlay: Overlay) -> str:
    return str(overlay.one("ConfigMap", "warren-rabbitmq")["data"]["rabbitmq.conf"])


def shards_suffice(overlay: Overlay) -> Iterator[str]:
    """No more replicas of history and delivery than shards: the rest would be idle."""
    for workload in overlay.workloads():
        if workload.name in SHARDED and most_replicas(overlay, workload) > shards_of(overlay):
            yield f"{workload.name}: {most_replicas(overlay, workload)} replicas of {shards_of(overlay)} shards"


def shards_of(overlay: Overlay) -> int:
    """Give the number of shards, by the settings."""
    return BrokerSettings.from_env(overlay.one("ConfigMap", "warren-config")["data"]).shards


def most_replicas(overlay: Overlay, workload: Workload) -> int:
    """Give how many pods there may be, save while an update rolls out."""
    scaler = scaler_of(overlay, workload)
    return int(scaler["spec"]["maxReplicas"] if scaler else workload.spec.get("replicas", 1))


def scaler_of(overlay: Overlay, workload: Workload) -> Manifest | None:
    """Give the autoscaler of a workload."""
    for scaler in overlay.all("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) == (workload.kind, workload.name):
            return scaler
    return None


def scalers_can_work(overlay: Overlay) -> Iterator[str]:
    """An autoscaler's target exists and says no number itself; its metric is a gauge of the target's."""
    for scaler in overlay.all("HorizontalPodAutoscaler"):
        name, spec = scaler["metadata"]["name"], scaler["spec"]
        targets = [each for each in overlay.workloads() if scaler_of(overlay, each) is scaler]
        if not targets:
            yield f"autoscaler {name} has nothing to scale"
        if any("replicas" in each.spec for each in targets):
            yield f"autoscaler {name} and its Deployment both say how many"
        if spec["minReplicas"] < 2:
            yield f"autoscaler {name} may leave one"
        for metric in spec["metrics"]:
            wanted = metric.get("pods", {}).get("metric", {}).get("name")
            if wanted and wanted not in GAUGES:
                yield f"autoscaler {name}: no gauge is named {wanted}"


def disruptions_are_bounded(overlay: Overlay) -> Iterator[str]:
    """Every workload that runs on has a budget that lets one pod go at a time, and only its own."""
    for workload in overlay.workloads():
        budgets = [each for each in overlay.all("PodDisruptionBudget") if _is_for(each, workload)]
        if workload.runs_on and [each["spec"].get("maxUnavailable") for each in budgets] != [1]:
            yield f"{workload.name} may lose more than one pod to a drained node, or none"
        if workload.runs_on and overlay.name == "production" and _fewest(overlay, workload) < 2:
            yield f"{workload.name} has one pod"
    for budget in overlay.all("PodDisruptionBudget"):
        if len(overlay.selected(budget["spec"]["selector"])) != 1:
            yield f"budget {budget['metadata']['name']} is for no workload, or for several"


def _is_for(budget: Manifest, workload: Workload) -> bool:
    return matches(budget["spec"]["selector"], workload.labels)


def _fewest(overlay: Overlay, workload: Workload) -> int:
    scaler = scaler_of(overlay, workload)
    return int(scaler["spec"]["minReplicas"] if scaler else workload.spec.get("replicas", 1))


def pods_are_spread(overlay: Overlay) -> Iterator[str]:
    """Every workload is spread over zones and nodes, each by itself; members of a majority never share a node."""
    for workload in overlay.workloads():
        rules = {each["topologyKey"]: each for each in workload.pod.get("topologySpreadConstraints", [])}
        wanted = {"topology.kubernetes.io/zone", "kubernetes.io/hostname"} if workload.runs_on else set()
        if set(rules) != wanted:
            yield f"{workload.name} is spread over {sorted(rules)}"
        for rule in rules.values():
            if not matches(rule["labelSelector"], workload.labels) or not _counts_its_own(rule, workload):
                yield f"{workload.name}: its spread counts other pods than its own"
        where = rules.get("kubernetes.io/hostname", {}).get("whenUnsatisfiable")
        if workload.kind == "StatefulSet" and where != "DoNotSchedule":
            yield f"{workload.name}: two members may be on one node"


def _counts_its_own(rule: Manifest, workload: Workload) -> bool:
    keys = rule.get("matchLabelKeys", [])
    return "app.kubernetes.io/name" in keys and "app.kubernetes.io/name" in workload.labels


def updates_keep_what_is_there(overlay: Overlay) -> Iterator[str]:
    """A new pod is ready before an old one goes."""
    for workload in overlay.workloads():
        rolling = workload.spec.get("strategy", {}).get("rollingUpdate", {})
        if workload.kind == "Deployment" and rolling.get("maxUnavailable") != 0:
            yield f"{workload.name} takes a pod away before there is a new one"


def no_file_is_left_out() -> Iterator[str]:
    """Every YAML file is named by the kustomization beside it."""
    for path in K8S.rglob("*"):
        if path.is_file() and path.name != "kustomization.yaml":
            text = (path.parent / "kustomization.yaml").read_text()
            if path.name not in _words(yaml.safe_load(text)):
                yield f"{path.relative_to(K8S)} is named nowhere"


def _words(value: object) -> set[str]:
    return set(re.findall(r"[\w.-]+", str(value)))


PROBLEMS_OF_SHAPE = (
    everything_is_in_one_namespace,
    workloads_select_their_own_pods,
    services_lead_to_pods,
    stateful_sets_have_names,
    members_are_counted_right,
    shards_suffice,
    scalers_can_work,
    updates_keep_what_is_there,
)
PROBLEMS_OF_PRODUCTION = (queues_have_three_replicas, disruptions_are_bounded, pods_are_spread)
