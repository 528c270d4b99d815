"""The Prometheus series that the services have, by what their modules define."""

import importlib

from prometheus_client import REGISTRY

MODULES = (
    "shared.metrics",
    "shared.broker.metrics",
    *(f"{each}.metrics" for each in ("gateway", "history", "delivery", "presence")),
)
for _module in MODULES:
    importlib.import_module(_module)

_FAMILIES = [family for family in REGISTRY.collect() if family.name.startswith("warren_")]
GAUGES = {family.name for family in _FAMILIES if family.type == "gauge"}
SERIES = {sample.name for family in _FAMILIES for sample in family.samples} | {
    f"{family.name}_bucket" for family in _FAMILIES if family.type == "histogram"
}
LABELS = {
    (sample.name, label, value)
    for family in _FAMILIES
    for sample in family.samples
    for label, value in sample.labels.items()
}
