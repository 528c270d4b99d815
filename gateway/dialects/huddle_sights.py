"""Which channels one client shows, and who of their members it was told to be here."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.dialects.world import SocketWorld
from shared.errors import TooLarge, WarrenError
from shared.history_api import Conversation
from shared.ids import ConversationId, UserId
from shared.presence_api import MAX_USERS, Presence

MAX_SHOWN = 20  # channels; those opened longest ago are forgotten


@dataclass(frozen=True, slots=True)
class Sight:
    """A user is here or gone, in a channel; without one, altogether."""

    user_id: UserId
    here: bool
    channel: int | None = None


@dataclass(slots=True)
class _Shown:
    """A channel that the client shows."""

    number: int
    others: set[UserId]
    here: set[UserId] = field(default_factory=set)  # those that the client was told of


class Sights:
    """The presence of one client's channels. What it gives is new to the client, and told by the caller."""

    def __init__(self) -> None:
        self._shown: OrderedDict[ConversationId, _Shown] = OrderedDict()

    def __contains__(self, conversation_id: ConversationId) -> bool:
        return conversation_id in self._shown

    def sees(self, user_id: UserId) -> bool | None:
        """Tell whether a user is here; None: they are in no channel that is shown."""
        rooms = [shown for shown in self._shown.values() if user_id in shown.others]
        return any(user_id in shown.here for shown in rooms) if rooms else None

    async def show(self, world: SocketWorld, conversation: Conversation) -> Sequence[Sight]:
        """Show a channel: gives who is here of it. In rooms of more than 500 members nobody is. Raises: Unavailable."""
        self.hide(world, conversation.id)
        others = set(conversation.member_ids) - {world.caller.user_id}
        while self._shown and (len(self._shown) >= MAX_SHOWN or len(self._watched() | others) > MAX_USERS):
            self.hide(world, next(iter(self._shown)))
        # In its place before presence answers: whoever comes or goes meanwhile is told at once.
        shown = self._shown[conversation.id] = _Shown(conversation.number, others)
        try:
            return await self._look(world, shown, others)
        except WarrenError:
            if self._shown.get(conversation.id) is shown:
                del self._shown[conversation.id]
            raise

    def hide(self, world: SocketWorld, conversation_id: ConversationId) -> None:
        """Show a channel no more."""
        shown = self._shown.pop(conversation_id, None)
        if shown is not None:
            self._unwatch(world, shown.others)

    async def joined(self, world: SocketWorld, conversation_id: ConversationId, users: set[UserId]) -> Sequence[Sight]:
        """Take note of new members of a channel; those that are too many are not looked for. Raises: Unavailable."""
        shown = self._shown.get(conversation_id)
        new = set() if shown is None else users - shown.others - {world.caller.user_id}
        if shown is None or not new:
            return ()
        shown.others |= new
        try:
            return await self._look(world, shown, new)
        except WarrenError as error:
            shown.others -= new
            if isinstance(error, TooLarge):
                return ()
            raise

    def left(self, world: SocketWorld, conversation_id: ConversationId, users: set[UserId]) -> Sequence[Sight]:
        """Take note of those who are members no more."""
        shown = self._shown.get(conversation_id)
        if shown is None:
            return ()
        if world.caller.user_id in users:
            self.hide(world, conversation_id)
            return ()
        gone = sorted(shown.here & users)
        shown.others -= users
        shown.here -= users
        self._unwatch(world, users)
        return [Sight(user_id, here=False, channel=shown.number) for user_id in gone]

    def changed(self, presence: Presence) -> Sequence[Sight]:
        """Take note of who came or went; whoever goes is gone from each channel, and then altogether."""
        user_id, here = presence.user_id, presence.status != "offline"
        sights = []
        for shown in self._shown.values():
            if user_id in shown.others and (user_id in shown.here) is not here:
                (shown.here.add if here else shown.here.discard)(user_id)
                sights.append(Sight(user_id, here, shown.number))
        if sights and not here:
            sights.append(Sight(user_id, here=False))
        return sights

    async def _look(self, world: SocketWorld, shown: _Shown, users: Iterable[UserId]) -> Sequence[Sight]:
        watched = sorted(users)
        presences = await world.watch(watched) if watched else ()
        new = [each.user_id for each in presences if each.status != "offline" and each.user_id not in shown.here]
        shown.here.update(new)
        return [Sight(user_id, here=True, channel=shown.number) for user_id in new]

    def _watched(self) -> set[UserId]:
        return set().union(*(shown.others for shown in self._shown.values()))

    def _unwatch(self, world: SocketWorld, users: set[UserId]) -> None:
        world.unwatch(users - self._watched())
