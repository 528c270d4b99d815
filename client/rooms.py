"""What a client knows of its user's conversations: names, members, and how much is unread. Pure."""

from dataclasses import dataclass, field

from client.events import ConversationChanged, Event, MessageDeleted, MessageReceived, ReceiptAdvanced
from client.wire import Conversation, Message, Room, Stage


@dataclass(slots=True)
class _Unread:
    """Messages of others after `read_seq`: a count of those up to `counted_to`, and the later ones by seq."""

    read_seq: int = 0
    counted: int = 0
    counted_to: int = 0
    counted_version: int = 0
    later: set[int] = field(default_factory=set)

    def total(self) -> int:
        return self.counted + len(self.later)

    def know(self, conversation: Conversation, read_seq: int) -> None:
        """Take the server's count; what was read since then counts no more."""
        if conversation.last_version < self.counted_version:
            return
        self.counted = conversation.unread
        self.counted_to = conversation.last_seq
        self.counted_version = conversation.last_version
        self.later = {seq for seq in self.later if seq > self.counted_to}
        known, self.read_seq = self.read_seq, max(self.read_seq, read_seq)
        if known > read_seq:
            self._recount()

    def read(self, seq: int) -> None:
        if seq > self.read_seq:
            self.read_seq = seq
            self._recount()

    def received(self, seq: int) -> None:
        if seq > max(self.counted_to, self.read_seq):
            self.later.add(seq)

    def deleted(self, message: Message) -> None:
        if message.seq in self.later:
            self.later.remove(message.seq)
        elif self.read_seq < message.seq <= self.counted_to and message.version > self.counted_version:
            self.counted = max(self.counted - 1, 0)

    def _recount(self) -> None:
        self.later = {each for each in self.later if each > self.read_seq}
        self.counted = min(self.counted, max(self.counted_to - self.read_seq, 0))


class Rooms:
    """The conversations that the client has heard of, from the server's lists and from events.

    Unread counts are exact for what came as events; after a read receipt inside what only a list counted, they are at
    most what is left, until the next list.
    """

    def __init__(self) -> None:
        self.user_id = ""
        self._rooms: dict[str, Room] = {}
        self._unread: dict[str, _Unread] = {}

    def get(self, conversation_id: str) -> Room | None:
        """Give what is known of a conversation; None: nothing, or the user is not in it any more."""
        return self._rooms.get(conversation_id)

    def unread(self, conversation_id: str) -> int:
        """Count the messages of others that the user has not read on any device."""
        unread = self._unread.get(conversation_id)
        return unread.total() if unread is not None else 0

    def know(self, conversation: Conversation) -> None:
        """Take a conversation as the server shows it to the user."""
        if conversation.role is None and self.user_id not in conversation.members:
            self._forget(conversation.id)
            return
        self._rooms[conversation.id] = conversation
        own = (mark.read_seq for mark in conversation.watermarks if mark.user_id == self.user_id)
        self._of(conversation.id).know(conversation, max(own, default=0))

    def apply(self, event: Event) -> None:
        """Take what has happened."""
        match event:
            case MessageReceived(message):
                if message.sender_id != self.user_id and message.deleted_at is None:
                    self._of(message.conversation_id).received(message.seq)
            case MessageDeleted(message):
                if message.sender_id != self.user_id:
                    self._of(message.conversation_id).deleted(message)
            case ReceiptAdvanced(user_id=self.user_id, stage=Stage.READ):
                self._of(event.conversation_id).read(event.seq)
            case ConversationChanged():
                self._changed(event)
            case _:
                pass

    def _changed(self, event: ConversationChanged) -> None:
        if event.change == "member_removed" and self.user_id in event.user_ids:
            self._forget(event.conversation_id)
        else:
            self._rooms[event.conversation_id] = event.conversation

    def _forget(self, conversation_id: str) -> None:
        self._rooms.pop(conversation_id, None)
        self._unread.pop(conversation_id, None)

    def _of(self, conversation_id: str) -> _Unread:
        return self._unread.setdefault(conversation_id, _Unread())
