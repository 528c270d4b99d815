"""Prometheus series of the gateway; labels come from closed sets."""

from prometheus_client import Counter, Gauge, Histogram

SESSIONS = Gauge("warren_gateway_sessions", "Open sessions.")
OPENED = Counter("warren_gateway_sessions_opened_total", "Sessions that were authenticated.")
CLOSED = Counter("warren_gateway_sessions_closed_total", "Sessions that ended, by who ended them.", ("by",))
FRAMES_IN = Counter("warren_gateway_frames_received_total", "Frames read from sockets.")
FRAMES_OUT = Counter("warren_gateway_frames_sent_total", "Frames written to sockets.")
BAD_FRAMES = Counter("warren_gateway_bad_frames_total", "Frames answered with an error because of what they say.")
ANSWERS = Counter("warren_gateway_answers_total", "What became of commands that want an answer.", ("outcome",))
ANSWER_SECONDS = Histogram(
    "warren_gateway_answer_seconds",
    "From taking a command to its answer; the oldest of each batch of answers.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
PENDING = Gauge("warren_gateway_pending", "Commands without an answer yet.")
DROPPED = Counter("warren_gateway_dropped_total", "Pushes dropped because a client reads slowly.", ("what",))
LAGS = Counter("warren_gateway_lags_total", "Sessions that fell behind and are to be caught up.")
GAPS = Counter("warren_gateway_gaps_total", "Events before which something was missing.")
CATCH_UPS = Counter("warren_gateway_catch_ups_total", "Sessions caught up from history.", ("outcome",))
ACKS = Counter("warren_gateway_acks_total", "Acknowledgements of clients, before and after merging.", ("stage",))
CRASHES = Counter("warren_gateway_session_crashes_total", "Sessions ended by a bug here.")

CLOSED_BY = ("client", "server")
OUTCOMES = ("stored", "created", "changed", "accepted", "refused", "unavailable", "late")
DROPS = ("ephemeral", "lagging")

for _by in CLOSED_BY:
    CLOSED.labels(_by)
for _outcome in OUTCOMES:
    ANSWERS.labels(_outcome)
for _what in DROPS:
    DROPPED.labels(_what)
for _outcome in ("done", "unavailable"):
    CATCH_UPS.labels(_outcome)
for _stage in ("taken", "posted"):
    ACKS.labels(_stage)
