"""Prometheus series of the broker: publishing, consuming, retries, dead letters, outages."""

from prometheus_client import Counter, Gauge, Histogram

from shared.broker.topology import EXCHANGES, FAMILIES

PUBLISHED = Counter(
    "warren_broker_published_total", "Envelopes by what became of their batch.", ("exchange", "outcome")
)
PUBLISH_SECONDS = Histogram(
    "warren_broker_publish_seconds",
    "From the call to the broker's confirm, one AMQP message.",
    ("exchange",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
PUBLISH_WAITING = Gauge("warren_broker_publish_waiting", "Envelopes posted and not yet confirmed.")
CONSUMED = Counter("warren_broker_consumed_total", "Envelopes by what became of them.", ("family", "outcome"))
OUTAGES = Counter("warren_broker_held_total", "Waits of a consumer through an outage.", ("family",))

PUBLISH_OUTCOMES = ("confirmed", "unroutable", "queue_full", "unavailable")
CONSUME_OUTCOMES = ("done", "refused", "retried", "dead", "dropped")

for _exchange in EXCHANGES:
    PUBLISH_SECONDS.labels(_exchange.name)
    for _outcome in PUBLISH_OUTCOMES:
        PUBLISHED.labels(_exchange.name, _outcome)
for _family in FAMILIES:
    OUTAGES.labels(_family)
    for _outcome in CONSUME_OUTCOMES:
        CONSUMED.labels(_family, _outcome)
