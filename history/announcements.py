"""The events by which everyone learns of a change, as it is published when it was made."""

from typing import TypeVar

import msgspec

from history.reading import ChangeKind, LoggedChange, Record
from history.sight import tombstone
from history.views import state
from shared.events import (
    ConversationChange,
    ConversationChanged,
    Entry,
    LogEvent,
    Message,
    MessageDeleted,
    MessageEdited,
    ReactionChanged,
)
from shared.ids import UserId

EventT = TypeVar("EventT", bound=LogEvent)


def entry_of(change: LoggedChange, record: Record, message: Message | None) -> Entry:
    """Give the event of a change, without audience. `message` is the one that it changed, as it is after it."""
    match change.kind:
        case ChangeKind.EDITED | ChangeKind.DELETED:
            assert message is not None
            event = MessageEdited if change.kind is ChangeKind.EDITED else MessageDeleted
            now = msgspec.structs.replace(message, version=change.version)
            return event(message=now, at=change.at, previous_at=change.previous_at, audience=())
        case ChangeKind.HIDDEN:
            assert message is not None
            return MessageDeleted(
                message=tombstone(message, version=change.version, at=change.at),
                at=change.at,
                previous_at=change.previous_at,
                only_for=change.actor_id,
                audience=(),
            )
        case ChangeKind.REACTION:
            return _reaction(change)
        case _:
            return ConversationChanged(
                conversation_id=change.conversation_id,
                version=change.version,
                at=change.at,
                previous_at=change.previous_at,
                change=ConversationChange(change.kind.value),
                actor_id=change.actor_id,
                user_ids=change.user_ids,
                role=change.role,
                conversation=state(record),
                audience=(),
            )


def _reaction(change: LoggedChange) -> ReactionChanged:
    assert change.message_id is not None
    assert change.actor_id is not None
    return ReactionChanged(
        conversation_id=change.conversation_id,
        version=change.version,
        at=change.at,
        previous_at=change.previous_at,
        message_id=change.message_id,
        seq=change.message_seq,
        user_id=change.actor_id,
        emoji=change.emoji,
        removed=change.removed,
        audience=(),
    )


def addressed(event: EventT, record: Record, *, hidden_from: tuple[UserId, ...] = ()) -> EventT:
    """Say for whom an event is: every member of the conversation, and whoever it says was removed from it."""
    if record.member_ids is None:
        return msgspec.structs.replace(event, members_version=record.members_version, hidden_from=hidden_from)
    audience = record.member_ids
    if isinstance(event, ConversationChanged) and event.change is ConversationChange.MEMBER_REMOVED:
        audience = tuple(sorted({*audience, *event.user_ids}))
    return msgspec.structs.replace(event, audience=audience, hidden_from=hidden_from)
