"""What one session of the service wire remembers, bounded: how its client names things, and what it was told."""

from collections import OrderedDict
from typing import Generic, TypeVar

from gateway.dialects.service_frames import Name
from gateway.dialects.service_sessions import Place, chosen_name
from shared.events import Message
from shared.ids import SEQ_BITS, ConversationId, MessageId, UserId, is_number

MAX_SESSIONS = 1000
MAX_MESSAGES = 10_000
MAX_TOKENS = 10

K = TypeVar("K")
V = TypeVar("V")


class _Latest(Generic[K, V]):
    """The values that were put last."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[K, V] = OrderedDict()

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def get(self, key: K) -> V | None:
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)

    def pop(self, key: K) -> V | None:
        return self._values.pop(key, None)

    def drop(self, value: V) -> None:
        for key in [key for key, each in self._values.items() if each == value]:
            del self._values[key]


class Known:
    """The memory of one session."""

    def __init__(self) -> None:
        self.agents: frozenset[UserId] = frozenset()
        self._places: _Latest[str, ConversationId] = _Latest(MAX_SESSIONS)
        self._peers: _Latest[ConversationId, UserId] = _Latest(MAX_SESSIONS)
        self._names: _Latest[ConversationId, Name] = _Latest(MAX_SESSIONS)  # the client's own
        self._called: _Latest[ConversationId, str] = _Latest(MAX_SESSIONS)  # others'
        self._pushed: _Latest[int, ConversationId] = _Latest(MAX_MESSAGES)
        self._sent: _Latest[str, None] = _Latest(MAX_MESSAGES)
        self._late: _Latest[MessageId, str] = _Latest(MAX_MESSAGES)
        self._tokens: _Latest[str, None] = _Latest(MAX_TOKENS)

    # --- sessions

    def found(self, name: Name, place: Place) -> None:
        """Take note of what the client's name of a session means; it is shown by the first of its names."""
        self._places.put(str(name), place.conversation_id)
        if place.conversation_id not in self._names:
            self._names.put(place.conversation_id, name)
        if place.to is not None:
            self._peers.put(place.conversation_id, place.to)

    def place(self, name: Name) -> Place | None:
        """Tell what a name means."""
        conversation_id = self._places.get(str(name))
        return None if conversation_id is None else Place(conversation_id, self._peers.get(conversation_id))

    def called(self, conversation_id: ConversationId, name: str) -> None:
        """Take note of how others call a session, for as long as the client has no name of its own for it."""
        self._called.put(conversation_id, name)

    def name(self, conversation_id: ConversationId) -> Name:
        """Name a session as the client does, or else as who made it."""
        name = self._names.get(conversation_id)
        if name is None:
            name = self._called.get(conversation_id)
        return chosen_name(conversation_id) if name is None else name

    def left(self, conversation_id: ConversationId) -> None:
        """Forget what a session was called."""
        self._places.drop(conversation_id)

    # --- messages

    def pushed(self, message: Message) -> None:
        """Take note of a message that the client is shown."""
        self._pushed.put(message.number, message.conversation_id)

    def pushed_place(self, name: Name) -> tuple[ConversationId, int] | None:
        """Give the conversation and the seq of a message that was pushed."""
        number = int(name) if isinstance(name, int) or is_number(name) else -1
        conversation_id = self._pushed.get(number)
        return None if conversation_id is None else (conversation_id, number & (1 << SEQ_BITS) - 1)

    def sent(self, client_id: str) -> None:
        """Take note of a message that the client sends on this socket."""
        self._sent.put(client_id, None)

    def was_sent(self, client_id: str) -> bool:
        """Tell whether a message was sent on this socket."""
        return client_id in self._sent

    def accepted(self, message_id: MessageId, ack: str) -> None:
        """Take note of an acknowledgement that waits until the message is stored."""
        self._late.put(message_id, ack)

    def late_ack(self, message_id: MessageId) -> str | None:
        """Give that acknowledgement, once."""
        return self._late.pop(message_id)

    # --- tokens

    def trusts(self, token: str | None) -> bool:
        """Tell whether a token is known to speak for the user, as none does."""
        return token is None or token in self._tokens

    def trust(self, token: str) -> None:
        """Take note of a token that speaks for the user."""
        self._tokens.put(token, None)
