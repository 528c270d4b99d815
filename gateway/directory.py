"""What clients call by a number or by a message's id: found once, and remembered."""

from collections import OrderedDict
from typing import Protocol, TypeAlias, TypeVar

from shared.history_api import MessagePlace
from shared.ids import ConversationId, MessageId, UserId, is_number

CAPACITY = 20_000
_Key: TypeAlias = tuple[UserId, str]
V = TypeVar("V")


class Finder(Protocol):
    """The part of `HistoryQueries` that finds."""

    async def conversation_numbered(self, user_id: UserId, number: int) -> ConversationId:
        """Find a conversation by its number. Raises: NotFound, Unavailable."""
        ...

    async def message_place(self, user_id: UserId, message: MessageId | int) -> MessagePlace:
        """Find a message by its id or its number. Raises: NotFound, Unavailable."""
        ...


class Directory:
    """Finds conversations and messages for the user who names them. What it has found never changes."""

    def __init__(self, history: Finder, *, capacity: int = CAPACITY) -> None:
        self._history = history
        self._capacity = capacity
        self._conversations: OrderedDict[_Key, ConversationId] = OrderedDict()
        self._messages: OrderedDict[_Key, MessagePlace] = OrderedDict()

    async def conversation(self, user_id: UserId, name: str) -> ConversationId:
        """Give the id of a conversation that is named by its id or by its number. Raises: NotFound, Unavailable."""
        if not is_number(name):
            return ConversationId(name)
        found = self._conversations.get((user_id, name))
        if found is None:
            found = await self._history.conversation_numbered(user_id, int(name))
            self._remember(self._conversations, (user_id, name), found)
        return found

    async def message(self, user_id: UserId, name: str) -> MessagePlace:
        """Find a message that is named by its id or by its number. Raises: NotFound, Unavailable."""
        found = self._messages.get((user_id, name))
        if found is None:
            message = int(name) if is_number(name) else MessageId(name)
            found = await self._history.message_place(user_id, message)
            self._remember(self._messages, (user_id, name), found)
        return found

    def _remember(self, known: OrderedDict[_Key, V], key: _Key, value: V) -> None:
        known[key] = value
        if len(known) > self._capacity:
            known.popitem(last=False)
