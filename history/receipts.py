"""When a message reached whom: read off the trails of the members' watermarks."""

from collections.abc import Iterable, Sequence

from history.reading import Step, Trail
from shared.history_api import Receipt
from shared.ids import UserId

MAX_RECEIPTS = 500  # members, by user id, that are told of


def receipts(trails: Iterable[Trail], seq: int, *, sender_id: UserId) -> tuple[Receipt, ...]:
    """Tell of each member but the sender whether a message came to them; who joined after it has no part in it."""
    concerned = (trail for trail in trails if is_concerned(trail, seq) and trail.membership.user_id != sender_id)
    return tuple(_receipt(trail, seq) for trail in concerned)


def is_concerned(trail: Trail, seq: int) -> bool:
    """Tell whether a message is one of those that a member may read."""
    return trail.membership.first_seq <= seq


def reached(steps: Sequence[Step], seq: int, *, whole: bool) -> Step | None:
    """Give the move by which a watermark passed a seq; None where it has not, or where that is no longer known."""
    for place, step in enumerate(steps):
        if step.seq >= seq:
            return step if place or whole else None  # before the first one kept there may have been another
    return None


def _receipt(trail: Trail, seq: int) -> Receipt:
    mark = trail.membership.watermark
    delivered = reached(trail.delivered, seq, whole=trail.whole_delivered)
    read = reached(trail.read, seq, whole=trail.whole_read)
    return Receipt(
        user_id=mark.user_id,
        delivered=mark.delivered_seq >= seq,
        delivered_at=None if delivered is None else delivered.at,
        read=mark.read_seq >= seq,
        read_at=None if read is None else read.at,
    )
