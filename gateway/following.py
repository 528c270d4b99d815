"""Tell a session of the presence of those whom its user talks to directly, where its clients do not ask for it."""

import structlog

from gateway.feed import Feed, Push
from gateway.queries import BoundedHistory, BoundedPresence
from gateway.watching import Watch, Watchers
from shared.broker.retry import Backoff
from shared.clock import Clock
from shared.commands import ConversationKind
from shared.errors import Unavailable
from shared.history_api import MAX_PAGE
from shared.ids import UserId

log = structlog.get_logger()


class Following:
    """Finds the peers of one session's user, those of the latest conversations, and lets the session follow them."""

    def __init__(
        self,
        feed: Feed,
        watch: Watch,
        watchers: Watchers,
        *,
        history: BoundedHistory,
        presence: BoundedPresence,
        clock: Clock,
    ) -> None:
        self._feed = feed
        self._watch = watch
        self._watchers = watchers
        self._history = history
        self._presence = presence
        self._clock = clock

    async def begin(self) -> None:
        """Follow the peers, and tell how they are now; while history or presence is away it waits."""
        backoff = Backoff()
        while True:
            try:
                await self._follow(await self._peers())
            except Unavailable as error:
                wait_s = backoff.next()
                log.warning("following_delayed", user_id=self._feed.user_id, error=error.message, wait_s=wait_s)
                await self._clock.sleep(wait_s)
            else:
                return

    async def _peers(self) -> frozenset[UserId]:
        user_id = self._feed.user_id
        async with self._history.turns_of(user_id):
            page = await self._history.conversations(user_id, limit=MAX_PAGE, cursor=None)
        direct = (each for each in page.conversations if each.kind is ConversationKind.DIRECT)
        return frozenset(member for each in direct for member in each.member_ids) - {user_id}

    async def _follow(self, peers: frozenset[UserId]) -> None:
        if not peers:
            return
        self._watch.follow(peers)
        before = self._watchers.told(peers)
        presences = await self._presence.presence_of(sorted(peers))
        for presence in self._watchers.answered(presences, before):
            self._feed.offer(Push(presence))
