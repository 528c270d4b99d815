"""Who is in a conversation: what events have said lately, else what history answers."""

from collections import OrderedDict
from typing import Protocol

from shared.clock import Clock
from shared.errors import NotFound
from shared.ids import ConversationId, UserId

ABSENT_S = 5.0  # a conversation that is not there may be made any time


class MemberQueries(Protocol):
    """The one of history's queries that delivery makes."""

    async def members(self, conversation_id: ConversationId) -> tuple[UserId, ...]:
        """Give a conversation's members. Raises: NotFound, Unavailable."""
        ...


class Members:
    """The members of the conversations used last.

    An entry is believed for `fresh_s`: another replica may have handled the event that changed it.
    """

    def __init__(self, history: MemberQueries, *, clock: Clock, capacity: int, fresh_s: float) -> None:
        self._history = history
        self._clock = clock
        self._capacity = capacity
        self._fresh_s = fresh_s
        self._known: OrderedDict[ConversationId, tuple[float, tuple[UserId, ...]]] = OrderedDict()

    def learn(self, conversation_id: ConversationId, members: tuple[UserId, ...]) -> None:
        """Note the members that an event named."""
        self._note(conversation_id, members, self._fresh_s)

    def _note(self, conversation_id: ConversationId, members: tuple[UserId, ...], fresh_s: float) -> None:
        self._known[conversation_id] = (self._clock.monotonic() + fresh_s, members)
        self._known.move_to_end(conversation_id)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)

    async def of(self, conversation_id: ConversationId) -> tuple[UserId, ...]:
        """Give the members; none where there is no such conversation. Raises: Unavailable."""
        known = self._known.get(conversation_id)
        if known is not None and known[0] > self._clock.monotonic():
            self._known.move_to_end(conversation_id)
            return known[1]
        try:
            members = await self._history.members(conversation_id)
        except NotFound:
            self._note(conversation_id, (), ABSENT_S)
            return ()
        self.learn(conversation_id, members)
        return members
