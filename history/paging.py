"""How much goes into one answer, and the cursors that say where the next one begins."""

import base64
import binascii
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from shared.errors import Invalid
from shared.history_api import MAX_PAGE

EPOCH = datetime.fromtimestamp(0, UTC)
MAX_PAGE_BYTES = 2**20  # of one kind of thing in an answer, as JSON


def fitting(sizes: Iterable[int]) -> tuple[int, int]:
    """Tell how many things of these sizes, from the first on, fit into an answer, at least one; and their bytes."""
    count = total = 0
    for size in sizes:
        if count and total + size > MAX_PAGE_BYTES:
            break
        count, total = count + 1, total + size
    return count, total


def page_size(limit: int) -> int:
    """Give the number of things that a page may have."""
    return max(1, min(limit, MAX_PAGE))


def write_cursor(text: str) -> str:
    """Make text opaque."""
    return base64.urlsafe_b64encode(text.encode()).decode()


def read_cursor(cursor: str) -> str:
    """Read an opaque text again. Raises: Invalid."""
    try:
        return base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Invalid("The cursor is not one of this server's.") from error


def write_moment(at: datetime, last: str) -> str:
    """Make a cursor of the time and the id of the last thing given."""
    return write_cursor(f"{(at - EPOCH) // timedelta(milliseconds=1)}/{last}")


def read_moment(cursor: str) -> tuple[datetime, str]:
    """Read a time and an id again. Raises: Invalid."""
    try:
        milliseconds, last = read_cursor(cursor).split("/")
        return EPOCH + timedelta(milliseconds=int(milliseconds)), last
    except (ValueError, OverflowError) as error:
        raise Invalid("The cursor is not one of this server's.") from error
