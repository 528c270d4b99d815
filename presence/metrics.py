"""What presence counts."""

from prometheus_client import Counter

from shared.events import SignOutReason

SESSIONS = Counter("warren_presence_sessions_total", "Sessions by what was heard of them.", ("what",))
for _what in ("opened", "closed"):
    SESSIONS.labels(_what)

GATEWAYS_GONE = Counter(
    "warren_presence_gateways_gone_total", "Gateways that stopped, or whose lease ran out.", ("why",)
)
for _why in ("stopped", "expired"):
    GATEWAYS_GONE.labels(_why)

CHANGES = Counter("warren_presence_changes_total", "Presence changes published, by the new status.", ("status",))
for _status in ("online", "away", "dnd", "offline"):
    CHANGES.labels(_status)

SIGNED_OUT = Counter("warren_presence_devices_signed_out_total", "Devices signed out, by the reason.", ("reason",))
for _reason in SignOutReason:
    SIGNED_OUT.labels(_reason)

PROFILES_CHANGED = Counter("warren_presence_profiles_changed_total", "Profile changes published.")
