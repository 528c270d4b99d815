"""Times that may not be there, as the wire shows them."""

from datetime import datetime

from shared.clock import rfc3339


def moment(time: datetime | None) -> str | None:
    """Write a time; null where there is none."""
    return None if time is None else rfc3339(time)
