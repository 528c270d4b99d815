"""Each policy of the overlays complains of what breaks it: of a manifest spoilt in one place."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.settings import DEVELOPMENT_SECRET
from tests.manifests import configuration, network, outside, pods, shape
from tests.manifests.reading import Overlay, matches, quantity
from tests.manifests.rendering import Manifest, manifests
from tests.unit.test_k8s_overlays import EVERYWHERE, IN_PRODUCTION, Policy

Spoil = Callable[[Overlay], object]


def pod(overlay: Overlay, name: str = "warren-history") -> Manifest:
    found: Manifest = overlay.workload(name).manifest["spec"]["template"]["spec"]
    return found


def container(overlay: Overlay, name: str = "warren-history") -> Manifest:
    found: Manifest = pod(overlay, name)["containers"][0]
    return found


def secret_volume(overlay: Overlay, name: str) -> Manifest:
    return next(each["secret"] for each in pod(overlay, name)["volumes"] if "secret" in each)


def config(overlay: Overlay) -> dict[str, str]:
    found: dict[str, str] = overlay.one("ConfigMap", "warren-config")["data"]
    return found


def spec(overlay: Overlay, kind: str, name: str) -> Manifest:
    found: Manifest = overlay.one(kind, name)["spec"]
    return found


def add_variable(overlay: Overlay, name: str, **value: Any) -> None:
    container(overlay)["env"].append({"name": name, **value})


def allow(overlay: Overlay, own: str, kind: str, **rule: Any) -> None:
    about = {"name": "more", "namespace": "warren"}
    rules = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": own}}, "policyTypes": [kind]}
    more = {"kind": "NetworkPolicy", "metadata": about, "spec": {**rules, kind.lower(): [rule]}}
    overlay.manifests.append(more)


def forget(overlay: Overlay, kind: str, name: str) -> None:
    overlay.manifests.remove(overlay.one(kind, name))


def annotate(overlay: Overlay, name: str, value: str) -> None:
    overlay.one("Ingress", "warren")["metadata"]["annotations"][f"haproxy.org/{name}"] = value


def path_of(overlay: Overlay, number: int) -> Manifest:
    found: Manifest = spec(overlay, "Ingress", "warren")["rules"][0]["http"]["paths"][number]["backend"]["service"]
    return found


def set_alert(overlay: Overlay, expr: str) -> None:
    outside.alerts(overlay)[0]["expr"] = expr


SPOILT: list[tuple[Policy, Spoil]] = [
    (pods.pods_are_restricted, lambda o: pod(o)["securityContext"].update(runAsUser=0)),
    (pods.pods_are_restricted, lambda o: pod(o)["securityContext"].pop("runAsNonRoot")),
    (pods.pods_are_restricted, lambda o: pod(o)["securityContext"].pop("seccompProfile")),
    (pods.pods_are_restricted, lambda o: pod(o).update(hostNetwork=True)),
    (pods.pods_are_restricted, lambda o: pod(o).update(volumes=[{"name": "x", "hostPath": {"path": "/"}}])),
    (pods.pods_are_restricted, lambda o: pod(o).pop("automountServiceAccountToken")),
    (pods.pods_are_restricted, lambda o: pod(o).pop("enableServiceLinks")),
    (pods.containers_are_restricted, lambda o: container(o)["securityContext"].update(readOnlyRootFilesystem=False)),
    (pods.containers_are_restricted, lambda o: container(o)["securityContext"].pop("allowPrivilegeEscalation")),
    (pods.containers_are_restricted, lambda o: container(o)["securityContext"]["capabilities"].update(add=["NET_RAW"])),
    (pods.containers_are_restricted, lambda o: pod(o, "warren-rabbitmq")["initContainers"][0].pop("securityContext")),
    (pods.containers_say_what_they_need, lambda o: container(o)["resources"]["limits"].pop("memory")),
    (pods.containers_say_what_they_need, lambda o: container(o)["resources"]["requests"].update(cpu="2")),
    (pods.images_are_pinned, lambda o: container(o).update(image="registry.example/warren")),
    (pods.images_are_pinned, lambda o: container(o).update(image="registry.example/warren:latest")),
    (pods.images_are_pinned, lambda o: container(o).update(image="registry.example/warren:0.0.9")),
    (pods.images_are_pinned, lambda o: container(o, "warren-mongodb").update(image="mongo:3.6")),
    (pods.users_are_those_of_the_image, lambda o: pod(o)["securityContext"].update(runAsUser=1000)),
    (pods.volumes_are_there, lambda o: pod(o, "warren-mongodb")["volumes"].pop()),
    (pods.volumes_are_there, lambda o: container(o, "warren-mongodb")["volumeMounts"].pop()),
    (pods.probes_ask_what_is_there, lambda o: container(o).pop("livenessProbe")),
    (pods.probes_ask_what_is_there, lambda o: container(o)["readinessProbe"]["httpGet"].update(path="/ready")),
    (pods.probes_ask_what_is_there, lambda o: container(o)["readinessProbe"]["httpGet"].update(port="http")),
    (pods.probes_are_patient, lambda o: container(o)["startupProbe"].update(failureThreshold=3)),
    (pods.probes_are_patient, lambda o: container(o)["readinessProbe"].update(timeoutSeconds=1)),
    (configuration.variables_exist, lambda o: config(o).update(WARREN_SHARD="4")),
    (configuration.variables_exist, lambda o: add_variable(o, "WARREN_JWT_SECRET", value="x")),
    (configuration.settings_are_accepted, lambda o: config(o).update(WARREN_SHARDS="none")),
    (configuration.settings_are_accepted, lambda o: config(o).update(WARREN_GATEWAY_DEV_TOKENS="true")),
    (configuration.modules_exist, lambda o: container(o).update(command=["python", "-m", "history.main"])),
    (configuration.addresses_resolve, lambda o: config(o).update(WARREN_HISTORY_URL="http://history:8103")),
    (configuration.addresses_resolve, lambda o: config(o).update(WARREN_PRESENCE_ADMIN_PORT="9102")),
    (configuration.gateways_name_themselves, lambda o: config(o).update(WARREN_GATEWAY_ID="gateway")),
    (configuration.gateways_name_themselves, lambda o: add_variable(o, "WARREN_GATEWAY_ID", value="x")),
    (configuration.secrets_come_by_reference, lambda o: add_variable(o, "WARREN_ADMIN_TOKEN", value="x")),
    (configuration.secrets_come_by_reference, lambda o: config(o).update(WARREN_MONGO_URL="mongodb://a:b@c")),
    (configuration.secret_keys_exist, lambda o: container(o)["env"][0]["valueFrom"]["secretKeyRef"].update(key="x")),
    (
        configuration.secret_keys_exist,
        lambda o: secret_volume(o, "warren-mongodb").update(secretName="x"),
    ),
    (configuration.pods_may_end_in_peace, lambda o: config(o).update(WARREN_GATEWAY_DRAIN_S="300")),
    (configuration.pods_may_end_in_peace, lambda o: pod(o, "warren-gateway").pop("terminationGracePeriodSeconds")),
    (configuration.pods_may_end_in_peace, lambda o: container(o).pop("lifecycle")),
    (configuration.production_holds_no_secret, lambda o: config(o).update(WARREN_MODE="development")),
    (
        configuration.production_holds_no_secret,
        lambda o: o.manifests.append({"kind": "Secret", "metadata": {"name": "x"}}),
    ),
    (configuration.production_holds_no_secret, lambda o: add_variable(o, "X", value=DEVELOPMENT_SECRET)),
    (configuration.production_wants_tokens, lambda o: config(o).update(WARREN_GATEWAY_OPEN_DEVICES="true")),
    (shape.everything_is_in_one_namespace, lambda o: o.manifests[-1]["metadata"].update(namespace="default")),
    (shape.everything_is_in_one_namespace, lambda o: o.manifests[-1]["metadata"].pop("labels")),
    (shape.workloads_select_their_own_pods, lambda o: spec(o, "Deployment", "warren-history").update(selector={})),
    (shape.services_lead_to_pods, lambda o: spec(o, "Service", "warren-history")["selector"].update(x="y")),
    (shape.services_lead_to_pods, lambda o: spec(o, "Service", "warren-history")["ports"][0].update(port=8000)),
    (shape.services_lead_to_pods, lambda o: spec(o, "Service", "warren-history")["ports"][0].update(targetPort="http")),
    (shape.stateful_sets_have_names, lambda o: spec(o, "Service", "warren-mongodb").pop("publishNotReadyAddresses")),
    (shape.stateful_sets_have_names, lambda o: spec(o, "Service", "warren-rabbitmq-nodes").pop("clusterIP")),
    (
        shape.stateful_sets_have_names,
        lambda o: spec(o, "StatefulSet", "warren-mongodb").pop("persistentVolumeClaimRetentionPolicy"),
    ),
    (shape.members_are_counted_right, lambda o: spec(o, "StatefulSet", "warren-mongodb").update(replicas=5)),
    (shape.members_are_counted_right, lambda o: spec(o, "StatefulSet", "warren-rabbitmq").update(replicas=2)),
    (shape.members_are_counted_right, lambda o: spec(o, "StatefulSet", "warren-rabbitmq").update(serviceName="x")),
    (shape.members_are_counted_right, lambda o: spec(o, "StatefulSet", "warren-mongodb").update(serviceName="x")),
    (shape.shards_suffice, lambda o: config(o).update(WARREN_SHARDS="1")),
    (shape.scalers_can_work, lambda o: spec(o, "Deployment", "warren-gateway").update(replicas=3)),
    (shape.scalers_can_work, lambda o: forget(o, "Deployment", "warren-gateway")),
    (shape.scalers_can_work, lambda o: spec(o, "HorizontalPodAutoscaler", "warren-gateway").update(minReplicas=1)),
    (
        shape.scalers_can_work,
        lambda o: spec(o, "HorizontalPodAutoscaler", "warren-gateway")["metrics"][1]["pods"]["metric"].update(name="x"),
    ),
    (
        shape.updates_keep_what_is_there,
        lambda o: spec(o, "Deployment", "warren-history")["strategy"]["rollingUpdate"].update(maxUnavailable=1),
    ),
    (shape.queues_have_three_replicas, lambda o: spec(o, "StatefulSet", "warren-rabbitmq").update(replicas=1)),
    (shape.disruptions_are_bounded, lambda o: forget(o, "PodDisruptionBudget", "warren-rabbitmq")),
    (shape.disruptions_are_bounded, lambda o: spec(o, "PodDisruptionBudget", "warren-history").update(selector={})),
    (
        shape.disruptions_are_bounded,
        lambda o: spec(o, "PodDisruptionBudget", "warren-history").update(maxUnavailable=0),
    ),
    (shape.disruptions_are_bounded, lambda o: spec(o, "Deployment", "warren-presence").update(replicas=1)),
    (shape.pods_are_spread, lambda o: pod(o).pop("topologySpreadConstraints")),
    (shape.pods_are_spread, lambda o: pod(o)["topologySpreadConstraints"][0].pop("matchLabelKeys")),
    (
        shape.pods_are_spread,
        lambda o: pod(o, "warren-mongodb")["topologySpreadConstraints"][1].update(whenUnsatisfiable="ScheduleAnyway"),
    ),
    (network.what_is_needed_is_let_through, lambda o: forget(o, "NetworkPolicy", "rabbitmq-clients")),
    (network.what_is_needed_is_let_through, lambda o: forget(o, "NetworkPolicy", "dns")),
    (network.what_is_needed_is_let_through, lambda o: forget(o, "NetworkPolicy", "presence")),
    (network.nothing_else_is_let_through, lambda o: forget(o, "NetworkPolicy", "deny-all")),
    (
        network.nothing_else_is_let_through,
        lambda o: allow(
            o, "warren-mongodb", "Ingress", **{"from": [{"namespaceSelector": {}}], "ports": [{"port": 27017}]}
        ),
    ),
    (
        network.nothing_else_is_let_through,
        lambda o: allow(o, "warren-gateway", "Egress", to=[{"namespaceSelector": {}}], ports=[{"port": 27017}]),
    ),
    (network.only_sockets_face_the_ingress, lambda o: forget(o, "NetworkPolicy", "ingress")),
    (network.only_sockets_face_the_ingress, lambda o: forget(o, "NetworkPolicy", "prometheus")),
    (outside.backends_exist, lambda o: path_of(o, 0).update(name="warren")),
    (outside.backends_exist, lambda o: path_of(o, 0).update(port={"name": "admin"})),
    (outside.everything_is_encrypted, lambda o: spec(o, "Ingress", "warren").pop("tls")),
    (outside.everything_is_encrypted, lambda o: annotate(o, "ssl-redirect", "false")),
    (outside.sockets_outlive_the_ingress, lambda o: annotate(o, "backend-config-snippet", "timeout tunnel 60s")),
    (outside.sockets_outlive_the_ingress, lambda o: annotate(o, "timeout-server", "30s")),
    (outside.polls_stay_with_their_gateway, lambda o: path_of(o, 1).update(name="warren-gateway")),
    (
        outside.polls_stay_with_their_gateway,
        lambda o: spec(o, "Service", "warren-gateway-sticky").update(selector={"app.kubernetes.io/name": "x"}),
    ),
    (outside.clients_are_told_apart, lambda o: config(o).pop("FORWARDED_ALLOW_IPS")),
    (outside.clients_are_told_apart, lambda o: annotate(o, "request-set-header", "X-Real-IP %[src]")),
    (outside.monitors_find_series, lambda o: forget(o, "ServiceMonitor", "warren-presence")),
    (
        outside.monitors_find_series,
        lambda o: spec(o, "ServiceMonitor", "warren-history")["endpoints"][0].update(path="/"),
    ),
    (
        outside.monitors_find_series,
        lambda o: spec(o, "ServiceMonitor", "warren-history")["endpoints"][0].update(port="x"),
    ),
    (outside.alerts_ask_for_what_there_is, lambda o: set_alert(o, "increase(warren_dead_total[5m]) > 0")),
    (outside.alerts_ask_for_what_there_is, lambda o: set_alert(o, 'warren_broker_consumed_total{outcome="died"} > 0')),
]


@pytest.mark.parametrize(("policy", "spoil"), SPOILT)
def test_a_spoilt_overlay_is_complained_of(policy: Policy, spoil: Spoil) -> None:
    overlay = Overlay(manifests("production"), "production")
    spoil(overlay)
    assert list(policy(overlay))


def test_every_policy_is_shown_to_complain() -> None:
    assert {policy for policy, _ in SPOILT} == {*EVERYWHERE, *IN_PRODUCTION}


def test_selectors_take_what_kubernetes_would_take() -> None:
    labels = {"app": "a", "tier": "b"}
    assert matches({}, labels)
    assert matches({"matchLabels": {"app": "a"}}, labels)
    assert not matches({"matchLabels": {"app": "a", "zone": "c"}}, labels)
    assert matches({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]}, labels)
    assert not matches({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}, labels)


def test_quantities_are_read_in_their_units() -> None:
    assert [quantity(each) for each in ("250m", "2", "1Ki", "1.5Gi")] == [0.25, 2, 1024, 1.5 * 2**30]
