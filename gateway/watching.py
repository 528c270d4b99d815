"""Whose presence each session is told of: users it subscribed to, members of what it opened, and whom it follows."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Set

from gateway.feed import Feed, Push
from gateway.hub import Hub
from shared.errors import TooLarge
from shared.events import PresenceChanged
from shared.ids import ConversationId, UserId
from shared.presence_api import Presence

MAX_SUBSCRIBED = 500
MAX_OPENED = 20  # conversations; those opened longest ago are forgotten
MAX_MEMBERS = 500  # of each


class Watch:
    """What one session watches."""

    __slots__ = ("_feed", "_followed", "_opened", "_subscribed", "_watchers")

    def __init__(self, feed: Feed, watchers: "Watchers") -> None:
        self._feed = feed
        self._watchers = watchers
        self._subscribed: set[UserId] = set()
        self._followed: Set[UserId] = frozenset()
        self._opened: OrderedDict[ConversationId, frozenset[UserId]] = OrderedDict()

    def subscribe(self, users: Iterable[UserId]) -> Set[UserId]:
        """Watch these users; gives those that are new. Raises: TooLarge."""
        more = set(users) - self._subscribed
        if len(self._subscribed) + len(more) > MAX_SUBSCRIBED:
            raise TooLarge("Too many users are subscribed to.", limit=MAX_SUBSCRIBED)
        self._subscribed |= more
        self._watchers.add(self._feed, more)
        return more

    def unsubscribe(self, users: Iterable[UserId]) -> None:
        """Watch these users no more, unless they are in a conversation that is open."""
        fewer = self._subscribed.intersection(users)
        self._subscribed -= fewer
        self._watchers.remove(self._feed, fewer)

    def opened(self, conversation_id: ConversationId, members: Iterable[UserId]) -> None:
        """Watch the members of a conversation whose messages the client looks at."""
        others = frozenset(sorted({member for member in members if member != self._feed.user_id})[:MAX_MEMBERS])
        self._watchers.add(self._feed, others)
        self.left(conversation_id)
        self._opened[conversation_id] = others
        if len(self._opened) > MAX_OPENED:
            self._watchers.remove(self._feed, self._opened.popitem(last=False)[1])

    def follow(self, users: Set[UserId]) -> None:
        """Watch these users to the end, for their own sake."""
        self._watchers.add(self._feed, users - self._followed)
        self._followed |= users

    def left(self, conversation_id: ConversationId) -> None:
        """Watch the members of a conversation no more."""
        self._watchers.remove(self._feed, self._opened.pop(conversation_id, frozenset()))

    def close(self) -> None:
        """Watch nobody any more."""
        self.unsubscribe(tuple(self._subscribed))
        self._watchers.remove(self._feed, self._followed)
        self._followed = frozenset()
        for conversation_id in tuple(self._opened):
            self.left(conversation_id)


class Watchers:
    """Finds the sessions that watch a user, and keeps what they were told last."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._feeds: dict[UserId, dict[Feed, int]] = {}  # with how many reasons each has
        self._told: dict[UserId, Presence] = {}

    def add(self, feed: Feed, users: Set[UserId]) -> None:
        """Let a session watch users, for one reason more."""
        for user_id in users:
            reasons = self._feeds.setdefault(user_id, {})
            reasons[feed] = reasons.get(feed, 0) + 1

    def remove(self, feed: Feed, users: Set[UserId]) -> None:
        """Let a session watch users for one reason less; without any it does not."""
        for user_id in users:
            feeds = self._feeds[user_id]
            feeds[feed] -= 1
            if not feeds[feed]:
                del feeds[feed]
            if not feeds:
                del self._feeds[user_id]
                self._told.pop(user_id, None)

    def watched(self) -> Iterator[UserId]:
        """Name all users that somebody watches."""
        return iter(tuple(self._feeds))

    def changed(self, event: PresenceChanged) -> None:
        """Tell who watches the user; the user's own sessions read what was chosen, also where that is invisible."""
        presence = Presence(
            user_id=event.user_id,
            status=event.status,
            last_seen=event.last_seen,
            devices=event.devices,
            text=event.text,
        )
        self._tell(presence)
        own = self._hub.of_user(event.user_id)
        if own:
            push = Push(_chosen(event))
            for session in own:
                session.feed.offer(push)

    def told(self, users: Iterable[UserId]) -> dict[UserId, Presence | None]:
        """Give what was told of these users last; to be taken before presence is asked."""
        return {user_id: self._told.get(user_id) for user_id in users}

    def answered(self, presences: Iterable[Presence], before: Mapping[UserId, Presence | None]) -> tuple[Presence, ...]:
        """Take note of what presence said to one who asks. Gives it with what was told since `before` in its place."""
        return tuple(self._settled(presence, before) for presence in presences)

    def compared(self, presences: Iterable[Presence], before: Mapping[UserId, Presence | None]) -> None:
        """Tell who watches what is otherwise than they were told, unless they were told more since `before`."""
        for presence in presences:
            told = self._told.get(presence.user_id)
            if told is before[presence.user_id] and not _alike(told, presence):
                self._tell(presence)

    def _settled(self, presence: Presence, before: Mapping[UserId, Presence | None]) -> Presence:
        told = self._told.get(presence.user_id)
        if told is not None and told is not before[presence.user_id]:
            return told
        if presence.user_id in self._feeds:
            self._told[presence.user_id] = presence
        return presence

    def _tell(self, presence: Presence) -> None:
        feeds = self._feeds.get(presence.user_id)
        if feeds is None:
            return
        self._told[presence.user_id] = presence
        push = Push(presence)
        for feed in tuple(feeds):
            if feed.user_id != presence.user_id:
                feed.offer(push)


def _chosen(event: PresenceChanged) -> Presence:
    return Presence(
        user_id=event.user_id,
        status=event.chosen,
        last_seen=event.last_seen,
        devices=event.devices,
        text=event.text,
    )


def _alike(told: Presence | None, now: Presence) -> bool:
    return told is not None and (told.status, told.devices, told.text) == (now.status, now.devices, now.text)
