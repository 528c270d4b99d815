"""What presence counts."""

from prometheus_client import Counter

SESSIONS = Counter("warren_presence_sessions_total", "Sessions by what was heard of them.", ("what",))
for _what in ("opened", "closed"):
    SESSIONS.labels(_what)

GATEWAYS_GONE = Counter(
    "warren_presence_gateways_gone_total", "Gateways that stopped, or whose lease ran out.", ("why",)
)
for _why in ("stopped", "expired"):
    GATEWAYS_GONE.labels(_why)

CHANGES = Counter("warren_presence_changes_total", "Presence changes published, by the new status.", ("status",))
for _status in ("online", "offline"):
    CHANGES.labels(_status)
