"""The member lists of rooms too large to name their members in each event, kept current by the events themselves."""

from collections import OrderedDict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from shared.events import ConversationChange, ConversationChanged, Entry
from shared.history_api import MemberList
from shared.ids import ConversationId, UserId

MAX_LISTED = 500_000  # user ids in all lists together: some 80 MB


class Roster:
    """All members of one conversation, as of `version` and as of every later version up to `through`."""

    __slots__ = ("_since", "_through", "_version", "until")

    def __init__(self, members: MemberList, *, until: float) -> None:
        self.until = until  # on the monotonic clock: how long it counts without an event that confirms it
        self._since = members.since
        self._version = members.version
        self._through = members.version

    def __len__(self) -> int:
        """Count the members."""
        return len(self._since)

    @property
    def members(self) -> AbstractSet[UserId]:
        """Name the members."""
        return self._since.keys()

    def follow(self, event: Entry) -> bool:
        """Come up to the entry; False where it changes the members, or others did, and that cannot be told from it.

        The log has no gaps: a change of the members that comes right after what is known can be applied as it is.
        """
        assert event.members_version is not None
        if event.members_version > self._version:
            if event.version != self._through + 1 or not isinstance(event, ConversationChanged):
                return False
            if not self._change(event):
                return False
        self._through = max(self._through, event.version)
        return True

    def _change(self, event: ConversationChanged) -> bool:
        match event.change:
            case ConversationChange.MEMBER_ADDED:
                for user_id in event.user_ids:
                    self._since.setdefault(user_id, event.version - 1)  # what was before is not delivered any more
            case ConversationChange.MEMBER_REMOVED:
                for user_id in event.user_ids:
                    self._since.pop(user_id, None)
            case _:
                return False
        self._version = event.version
        return True

    def recipients(self, event: Entry, online: Iterable[UserId]) -> list[UserId]:
        """Give those of the users for whom the entry is: the members since before it, and who it removes."""
        since = self._since
        version = event.version
        recipients = [user_id for user_id in online if since.get(user_id, version) < version]
        if isinstance(event, ConversationChanged) and event.change is ConversationChange.MEMBER_REMOVED:
            recipients += [user_id for user_id in event.user_ids if since.get(user_id, version) >= version]
        return recipients


class Rosters:
    """The rosters used last, bounded by the members they hold in all."""

    def __init__(self, *, max_listed: int = MAX_LISTED) -> None:
        self._max_listed = max_listed
        self._rosters: OrderedDict[ConversationId, Roster] = OrderedDict()

    def get(self, conversation_id: ConversationId) -> Roster | None:
        """Give a roster, if it is here."""
        roster = self._rosters.get(conversation_id)
        if roster is not None:
            self._rosters.move_to_end(conversation_id)
        return roster

    def put(self, conversation_id: ConversationId, roster: Roster) -> None:
        """Keep a roster, in place of others that were not used for longest."""
        self._rosters[conversation_id] = roster
        self._rosters.move_to_end(conversation_id)
        listed = sum(map(len, self._rosters.values()))
        while listed > self._max_listed and len(self._rosters) > 1:
            listed -= len(self._rosters.popitem(last=False)[1])

    def drop(self, conversation_id: ConversationId) -> None:
        """Forget a roster."""
        self._rosters.pop(conversation_id, None)
