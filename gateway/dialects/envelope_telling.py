"""What clients of the envelope wire are told of an event, on a socket and as server-sent events."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from gateway.dialects import envelope_views as views
from gateway.dialects.base import Pushed
from shared.clock import rfc3339
from shared.commands import ConversationKind, Stage
from shared.events import (
    ConversationChange,
    ConversationChanged,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageStored,
    Notified,
    ReceiptAdvanced,
    TypingChanged,
)
from shared.ids import ConversationId, UserId
from shared.presence_api import Presence

MAX_READERS = 10_000
MAX_BODY_CHARS = 200  # of a notification: a glance
CHAT, NOTIFICATION, USER_STATUS, RECEIPT, TYPING = "chat", "notification", "userStatus", "receipt", "typing"
SYSTEM = "systemMessage"
_CONCERNS = {
    ConversationChange.CREATED: ("added", "You were added."),
    ConversationChange.MEMBER_ADDED: ("added", "You were added."),
    ConversationChange.MEMBER_REMOVED: ("removed", "You were removed."),
    ConversationChange.ROLE_CHANGED: ("role", "You have another role."),
}


class Saying(NamedTuple):
    """One thing to tell. `id`: of the frame, where it has one."""

    kind: str
    data: msgspec.Struct
    id: str | None = None


class Teller:
    """Tells one user of events. `name_of` gives what the client calls a conversation."""

    def __init__(self, name_of: Callable[[ConversationId], str] = str) -> None:
        self.user_id = UserId("")
        self._name_of = name_of
        self._read: OrderedDict[tuple[ConversationId, UserId], int] = OrderedDict()
        self._own_status = ("online", "")  # what clients take for theirs

    def sayings(self, event: Pushed, *, looks: bool = False) -> Sequence[Saying]:
        """Give what there is to tell; `looks`: the client has the event's conversation open."""
        match event:
            case MessageStored(message=message):
                mentioned = () if looks else self._mention(message)
                return (self.chat(message), *mentioned)
            case MessageEdited(message=message) | MessageDeleted(message=message):
                return (self.chat(message),)
            case ConversationChanged():
                return tuple(self._concern(event))
            case ReceiptAdvanced():
                return tuple(self._receipt(event))
            case TypingChanged():
                return (Saying(TYPING, views.typing_view(event, self._name_of(event.conversation_id))),)
            case Presence():
                return tuple(self._status(event))
            case Notified():
                return (self._notification(event),)
            case MessageFailed():
                return (Saying(RECEIPT, views.failed_view(event, self._name_of(event.conversation_id))),)
            case _:  # a reaction has no word here; what is stored late comes as a message, and nothing is left out
                return ()

    def _notification(self, event: Notified) -> Saying:
        data: dict[str, object] = {"kind": "server", **msgspec.json.decode(event.data)}
        note = views.NotificationView(
            id=event.id, title=event.title, body=event.body, data=data, created_at=rfc3339(event.at)
        )
        return Saying(NOTIFICATION, note, note.id)

    def chat(self, message: Message) -> Saying:
        """Tell of a message: to its sender by the sender's own id of it."""
        id_ = message.client_id if message.sender_id == self.user_id else message.id
        return Saying(CHAT, views.chat_view(message, self._name_of(message.conversation_id)), id_)

    def _status(self, presence: Presence) -> Iterator[Saying]:
        """Tell how a user is; of oneself only what is news: that one is there is none, nor that one's devices are."""
        if presence.user_id == self.user_id:
            before, self._own_status = self._own_status, (presence.status, presence.text)
            if before == self._own_status:
                return
        yield Saying(USER_STATUS, views.status_view(presence))

    def _mention(self, message: Message) -> Iterator[Saying]:
        if self.user_id in message.mentions and message.sender_id != self.user_id:
            note = views.NotificationView(
                id=message.id,
                title=message.sender_name,
                body=message.content[:MAX_BODY_CHARS],
                data={
                    "kind": "mention",
                    "channelId": self._name_of(message.conversation_id),
                    "messageId": message.id,
                    "userId": message.sender_id,
                },
                created_at=rfc3339(message.created_at),
            )
            yield Saying(NOTIFICATION, note, note.id)

    def _concern(self, event: ConversationChanged) -> Iterator[Saying]:
        concern = _CONCERNS.get(event.change)
        meant = event.change is ConversationChange.CREATED or self.user_id in event.user_ids
        own = event.actor_id == self.user_id or event.conversation.kind is ConversationKind.DIRECT
        if concern is None or own or not meant:
            return
        kind, body = concern
        note = views.NotificationView(
            id=f"{event.conversation_id}:{event.version}",
            title=event.conversation.name or "Conversation",
            body=body,
            data={"kind": kind, "channelId": self._name_of(event.conversation_id), "userId": event.actor_id},
            created_at=rfc3339(event.at),
        )
        yield Saying(NOTIFICATION, note, note.id)

    def _receipt(self, event: ReceiptAdvanced) -> Iterator[Saying]:
        """Tell of others' receipts; what is read is delivered, so that is not told any more."""
        if event.user_id == self.user_id:
            return
        key = (event.conversation_id, event.user_id)
        if event.stage is Stage.DELIVERED:
            if event.seq <= self._read.get(key, 0):
                return
        else:
            self._read[key] = max(event.seq, self._read.get(key, 0))
            self._read.move_to_end(key)
            if len(self._read) > MAX_READERS:
                self._read.popitem(last=False)
        yield Saying(RECEIPT, views.receipt_view(event, self._name_of(event.conversation_id)))
