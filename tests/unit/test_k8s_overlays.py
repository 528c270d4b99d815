"""The overlays for Kubernetes render, are what Kubernetes' own schemas ask for, and keep the policies."""

from collections.abc import Callable, Iterator
from pathlib import Path

import kubernetes_validate
import pytest

from tests.manifests.configuration import PROBLEMS_OF_CONFIGURATION, production_holds_no_secret, production_wants_tokens
from tests.manifests.network import PROBLEMS_OF_EDGES, PROBLEMS_OF_NETWORK
from tests.manifests.outside import PROBLEMS_OF_OUTSIDE
from tests.manifests.pods import PROBLEMS_OF_PODS
from tests.manifests.reading import Overlay
from tests.manifests.rendering import OVERLAYS, CannotRender, build, manifests
from tests.manifests.shape import PROBLEMS_OF_PRODUCTION, PROBLEMS_OF_SHAPE, no_file_is_left_out

Policy = Callable[[Overlay], Iterator[str]]
EVERYWHERE: tuple[Policy, ...] = (
    *PROBLEMS_OF_PODS,
    *PROBLEMS_OF_CONFIGURATION,
    *PROBLEMS_OF_SHAPE,
    *PROBLEMS_OF_NETWORK,
)
IN_PRODUCTION: tuple[Policy, ...] = (
    *PROBLEMS_OF_PRODUCTION,
    *PROBLEMS_OF_EDGES,
    *PROBLEMS_OF_OUTSIDE,
    production_holds_no_secret,
    production_wants_tokens,
)
OLDEST, NEWEST = "1.30", "1.37"  # preStop's sleep is there from 1.30 on
OF_THE_OPERATOR = "monitoring.coreos.com/v1"  # the Prometheus operator's, of which Kubernetes has no schema


@pytest.mark.parametrize(("overlay", "version"), [("local", NEWEST), ("production", NEWEST), ("production", OLDEST)])
def test_every_object_is_what_the_schemas_of_kubernetes_ask_for(overlay: str, version: str) -> None:
    judged = 0
    for manifest in manifests(overlay):
        if manifest["apiVersion"] != OF_THE_OPERATOR:
            kubernetes_validate.validate(manifest, version, strict=True)
            judged += 1
    assert judged > 20


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("policy", EVERYWHERE, ids=lambda policy: policy.__name__)
def test_both_overlays_keep_the_policy(policy: Policy, overlay: str) -> None:
    assert list(policy(Overlay(manifests(overlay), overlay))) == []


@pytest.mark.parametrize("policy", IN_PRODUCTION, ids=lambda policy: policy.__name__)
def test_production_keeps_the_policy(policy: Policy) -> None:
    assert list(policy(Overlay(manifests("production"), "production"))) == []


def test_a_kustomization_that_is_wrong_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]")
    with pytest.raises(CannotRender, match="missing"):
        build(tmp_path)


def test_every_file_is_part_of_something() -> None:
    assert list(no_file_is_left_out()) == []
