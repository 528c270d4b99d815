"""What events and answers look like in Warren's own protocol: the data of its frames."""

from collections.abc import Sequence
from typing import assert_never

from gateway.dialects import native_views as views
from gateway.dialects.base import Lagged, StoredLate
from gateway.views import conversation_state_view, conversation_view, message_view
from shared.clock import rfc3339
from shared.events import (
    ConversationChanged,
    Entry,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageStored,
    Notified,
    ReactionChanged,
    ReceiptAdvanced,
    TypingChanged,
)
from shared.history_api import Changes, SyncAnswer, Watermark


def entry_view(entry: Entry, watermarks: Sequence[Watermark] = ()) -> views.EventView:
    """Show an entry of a conversation's log, as the frame that carries it names it."""
    match entry:
        case MessageStored(message=message):
            return views.MessageEvent(data=message_view(message, watermarks))
        case MessageEdited(message=message):
            return views.UpdatedEvent(data=message_view(message, watermarks))
        case MessageDeleted(message=message):
            return views.DeletedEvent(data=message_view(message, watermarks))
        case ReactionChanged():
            return views.ReactionEvent(data=_reaction(entry))
        case ConversationChanged():
            return views.ConversationEvent(data=_conversation_change(entry))
    assert_never(entry)


def _reaction(event: ReactionChanged) -> views.ReactionView:
    return views.ReactionView(
        message_id=event.message_id,
        conversation_id=event.conversation_id,
        seq=event.seq,
        version=event.version,
        user_id=event.user_id,
        emoji=event.emoji,
        removed=event.removed,
        at=rfc3339(event.at),
    )


def _conversation_change(event: ConversationChanged) -> views.ConversationChangeView:
    return views.ConversationChangeView(
        change=event.change,
        conversation_id=event.conversation_id,
        version=event.version,
        at=rfc3339(event.at),
        actor_id=event.actor_id,
        user_ids=event.user_ids,
        role=event.role,
        conversation=conversation_state_view(event.conversation),
    )


def receipt_view(event: ReceiptAdvanced | MessageFailed | StoredLate) -> views.ReceiptView:
    """Show how far something came."""
    match event:
        case ReceiptAdvanced():
            return views.ReceiptView(
                conversation_id=event.conversation_id,
                user_id=event.user_id,
                stage=event.stage.value,
                seq=event.seq,
                at=rfc3339(event.at),
            )
        case MessageFailed():
            return views.ReceiptView(
                conversation_id=event.conversation_id,
                user_id=event.sender_id,
                stage="failed",
                at=rfc3339(event.at),
                message_id=event.message_id,
                client_id=event.client_id,
                code=event.error.code,
                message=event.error.message,
            )
        case StoredLate(stored=stored):
            return views.ReceiptView(
                conversation_id=stored.conversation_id,
                user_id=event.sender_id,
                stage="stored",
                at=rfc3339(event.at),
                seq=stored.seq,
                message_id=stored.message_id,
                client_id=stored.client_id,
                version=stored.version,
                number=stored.number,
            )
    assert_never(event)


def typing_view(event: TypingChanged) -> views.TypingView:
    """Show who is typing."""
    return views.TypingView(
        conversation_id=event.conversation_id, user_id=event.user_id, name=event.name, active=event.active
    )


def notification_view(event: Notified) -> views.NotificationView:
    """Show what the operator tells."""
    return views.NotificationView(
        id=event.id, title=event.title, body=event.body, data=event.data, created_at=rfc3339(event.at)
    )


def lagged_view(event: Lagged) -> views.LaggedView:
    """Show what is to be fetched."""
    return views.LaggedView(conversation_id=event.conversation_id, from_seq=event.from_seq, before=event.before)


def sync_view(answer: SyncAnswer) -> views.SyncView:
    """Show what changed since a position."""
    conversations = [_changes_view(changes) for changes in answer.conversations]
    return views.SyncView(conversations=conversations, since=answer.since, has_more=answer.has_more)


def _changes_view(changes: Changes) -> views.ChangesView:
    conversation = changes.conversation
    return views.ChangesView(
        conversation_id=conversation.id,
        version=changes.version,
        conversation=conversation_view(conversation),
        events=[entry_view(event, conversation.watermarks) for event in changes.events],
        limited=changes.limited,
        before=changes.before,
    )
