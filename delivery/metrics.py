"""What delivery counts."""

from prometheus_client import Counter, Gauge, Histogram

HANDOFFS = Counter("warren_delivery_handoffs_total", "Hand-offs to gateways.", ("result",))
for _result in ("sent", "unroutable", "queue_full"):
    HANDOFFS.labels(_result)

ENTRIES = Counter("warren_delivery_entries_total", "Entries of the log handled, by who was there.", ("audience",))
for _audience in ("online", "offline"):
    ENTRIES.labels(_audience)

DROPPED_SIGNALS = Counter("warren_delivery_signals_dropped_total", "Typing signals not relayed.", ("reason",))
for _reason in ("not_a_member", "unavailable"):
    DROPPED_SIGNALS.labels(_reason)

LATENCY = Histogram(
    "warren_delivery_latency_seconds",
    "From the event to its confirmed hand-off; the oldest of each batch.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SESSIONS = Gauge("warren_delivery_routed_sessions", "Sessions in the routing table.")
GATEWAYS = Gauge("warren_delivery_routed_gateways", "Gateways in the routing table.")
