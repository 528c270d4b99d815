"""Who is in a conversation: what events have said lately, else what history answers."""

from collections import OrderedDict
from collections.abc import Set as AbstractSet
from typing import Protocol

from delivery.rosters import Roster, Rosters
from shared.clock import Clock
from shared.errors import Failed, NotFound
from shared.events import Entry
from shared.history_api import MemberList
from shared.ids import ConversationId, UserId

ABSENT_S = 5.0  # a conversation that is not there may be made any time
MAX_NAMED = 500  # members that an event names; the lists of larger rooms are kept as rosters


class MemberQueries(Protocol):
    """The one of history's queries that delivery makes."""

    async def members(self, conversation_id: ConversationId) -> MemberList:
        """Give a conversation's members. Raises: NotFound, Unavailable."""
        ...


class Members:
    """The members of the conversations used last.

    What was learned is believed for `fresh_s`: another replica may have handled the event that changed it. For an entry
    of a large room it is not a matter of time: the entry says which version of the members it needs.
    """

    def __init__(self, history: MemberQueries, *, clock: Clock, capacity: int, fresh_s: float) -> None:
        self._history = history
        self._clock = clock
        self._capacity = capacity
        self._fresh_s = fresh_s
        self._known: OrderedDict[ConversationId, tuple[float, tuple[UserId, ...]]] = OrderedDict()
        self._rosters = Rosters()

    def learn(self, conversation_id: ConversationId, members: tuple[UserId, ...]) -> None:
        """Note the members that an event named."""
        self._note(conversation_id, members, self._fresh_s)

    async def at(self, event: Entry) -> Roster | None:
        """Give the roster for an entry that names no members; None where there is no such conversation any more.

        History is asked only where the roster at hand cannot be brought up to the entry.
        Raises: Unavailable, Failed (history is behind its own event).
        """
        conversation_id = event.conversation_id
        roster = self._rosters.get(conversation_id)
        if roster is None or not roster.follow(event):
            try:
                roster = await self._ask(conversation_id)
            except NotFound:
                self._rosters.drop(conversation_id)
                return None
            if not roster.follow(event):
                raise Failed("History's member list is older than the event.", conversation_id=conversation_id)
            self._rosters.put(conversation_id, roster)
        roster.until = self._clock.monotonic() + self._fresh_s
        self._known.pop(conversation_id, None)
        return roster

    async def of(self, conversation_id: ConversationId) -> AbstractSet[UserId]:
        """Give the members; none where there is no such conversation. Raises: Unavailable."""
        now = self._clock.monotonic()
        known = self._known.get(conversation_id)
        if known is not None and known[0] > now:
            self._known.move_to_end(conversation_id)
            return frozenset(known[1])
        roster = self._rosters.get(conversation_id)
        if roster is not None and roster.until > now:
            return roster.members
        try:
            roster = await self._ask(conversation_id)
        except NotFound:
            self._note(conversation_id, (), ABSENT_S)
            return frozenset()
        if len(roster) > MAX_NAMED:
            self._rosters.put(conversation_id, roster)
        else:
            self.learn(conversation_id, tuple(roster.members))
        return roster.members

    async def _ask(self, conversation_id: ConversationId) -> Roster:
        members = await self._history.members(conversation_id)
        return Roster(members, until=self._clock.monotonic() + self._fresh_s)

    def _note(self, conversation_id: ConversationId, members: tuple[UserId, ...], fresh_s: float) -> None:
        self._known[conversation_id] = (self._clock.monotonic() + fresh_s, members)
        self._known.move_to_end(conversation_id)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
