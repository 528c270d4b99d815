"""What became of one message, step by step, for operators."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from history.paging import EPOCH
from history.reading import LoggedMessage, Step, Trail
from history.receipts import is_concerned, reached
from shared.ids import ConversationId, MessageId, UserId

HISTORY = "history"
_UUID7_TIME_BITS = 48  # of 128, the first ones: milliseconds since 1970 (RFC 9562 §5.7)


class TimelineStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened to a message, and the process that saw to it."""

    step: str  # accepted, stored, edited, deleted, pushed, delivered or read
    at: datetime
    process: str | None = None  # a gateway's id, or history
    user_id: UserId | None = None


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message, in the order of time. `user_id` of a step is who was reached."""

    message_id: MessageId
    conversation_id: ConversationId
    seq: int
    sender_id: UserId
    steps: tuple[TimelineStep, ...]


def timeline(logged: LoggedMessage, trails: Iterable[Trail]) -> Timeline:
    """Put together what is known of a message."""
    message = logged.message
    steps = [*_of_the_message(logged)]
    for trail in trails:
        if is_concerned(trail, message.seq) and trail.membership.user_id != message.sender_id:
            steps += _of_a_member(trail, message.seq)
    return Timeline(
        message_id=message.id,
        conversation_id=message.conversation_id,
        seq=message.seq,
        sender_id=message.sender_id,
        steps=tuple(sorted(steps, key=lambda step: step.at)),
    )


def _of_the_message(logged: LoggedMessage) -> Iterator[TimelineStep]:
    message = logged.message
    accepted_at = time_of(message.id)
    if accepted_at is not None:
        yield TimelineStep(step="accepted", at=accepted_at, process=logged.via)
    yield TimelineStep(step="stored", at=message.created_at, process=HISTORY)
    for edit in logged.edits:
        yield TimelineStep(step="edited", at=edit.at, process=HISTORY)
    if message.deleted_at is not None:
        yield TimelineStep(step="deleted", at=message.deleted_at, process=HISTORY)


def _of_a_member(trail: Trail, seq: int) -> Iterator[TimelineStep]:
    delivered = reached(trail.delivered, seq, whole=trail.whole_delivered)
    if delivered is not None:
        if delivered.pushed_at is not None:
            yield _step("pushed", delivered.pushed_at, delivered, trail)
        yield _step("delivered", delivered.at, delivered, trail)
    read = reached(trail.read, seq, whole=trail.whole_read)
    if read is not None:
        yield _step("read", read.at, read, trail)


def _step(name: str, at: datetime, step: Step, trail: Trail) -> TimelineStep:
    return TimelineStep(step=name, at=at, process=step.gateway_id, user_id=trail.membership.user_id)


def time_of(message_id: MessageId) -> datetime | None:
    """Give the time that a UUIDv7 was made at; None for an id of another form."""
    try:
        number = UUID(message_id)
    except ValueError:
        return None
    if number.version != 7:
        return None
    return EPOCH + timedelta(milliseconds=number.int >> (128 - _UUID7_TIME_BITS))
