"""Write `.env.example` from the settings classes: every variable, what it means, its default."""

import sys
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from delivery.settings import HistoryClientSettings, RoutingSettings
from deploy.local.settings import LocalSettings
from gateway.settings import QuerySettings, SocketSettings
from history.settings import LedgerSettings
from presence.settings import TrackingSettings
from shared.settings import AdminSettings, AuthSettings, BrokerSettings, LogSettings, MongoSettings, Settings

GROUPS: tuple[tuple[str, type[Settings]], ...] = (
    ("RabbitMQ: all services", BrokerSettings),
    ("MongoDB: history, presence, init", MongoSettings),
    ("Tokens of users: gateway", AuthSettings),
    ("Admin and query APIs: all services", AdminSettings),
    ("Logs: all services", LogSettings),
    ("Gateway", SocketSettings),
    ("Gateway: its queries", QuerySettings),
    ("History", LedgerSettings),
    ("Delivery", RoutingSettings),
    ("Delivery: its queries", HistoryClientSettings),
    ("Presence", TrackingSettings),
    ("make run", LocalSettings),
)
HEAD = """\
# Warren's settings, with their defaults. `make run` and `make up` read a copy of this file named .env; the environment
# wins over it. Both set WARREN_MODE=development, WARREN_GATEWAY_DEV_TOKENS=true and secrets, where nothing else does;
# `make run` WARREN_GATEWAY_OPEN_DEVICES=true, too, and `make up` that in a .env that it makes itself.
# Made from the settings classes by `make env`.
"""


def render() -> str:
    """Give the text of `.env.example`."""
    text, seen = HEAD, set[str]()
    for title, settings in GROUPS:
        lines = {name: line for name, line in _lines(settings) if name not in seen}
        seen |= lines.keys()
        text += f"\n# --- {title}\n\n" + "\n".join(lines.values())
    return text


def _lines(settings: type[Settings]) -> Iterator[tuple[str, str]]:
    for field, info in settings.model_fields.items():
        name = f"{settings.model_config['env_prefix']}{field}".upper()
        says = f"# {info.description}\n" if info.description else ""
        yield name, f"{says}#{name}={_default(info)}\n"


def _default(info: FieldInfo) -> str:
    if info.is_required() or info.default is None:
        return ""
    value = info.default
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.stdout.write(render())
