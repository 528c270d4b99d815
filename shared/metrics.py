"""Prometheus series that every process has, whatever its service."""

from prometheus_client import Gauge, Histogram

LOOP_LAG_SECONDS = Histogram(
    "warren_process_loop_lag_seconds",
    "How much later than asked the event loop wakes a sleeper: above 0.1 the process is short of CPU, or blocked.",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
)
DRAINING = Gauge("warren_process_draining", "1 while the process finishes its work before it ends.")
