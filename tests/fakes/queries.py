"""History and presence as query ports whose answers a test decides."""

import asyncio
from collections.abc import Sequence

from shared.errors import NotFound, StoreUnavailable, Unavailable
from shared.history_api import Conversation, ConversationPage, MessagePage, SyncAnswer, SyncQuery
from shared.ids import ConversationId, UserId
from shared.position import Position
from shared.presence_api import Presence
from tests.fakes.clock import START


class FakeHistory:
    """A `HistoryQueries`. `down`: nothing is answered; `gate`: answers wait until it is set."""

    def __init__(self) -> None:
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.at = Position(START)
        self.answers: list[SyncAnswer] = []
        self.asked: list[SyncQuery] = []
        self.known: dict[ConversationId, Conversation] = {}
        self.page = MessagePage(messages=(), watermarks=(), has_more=False)
        self.counts: dict[ConversationId, int] = {}

    async def _ready(self) -> None:
        await self.gate.wait()
        if self.down:
            raise StoreUnavailable("The fake history was told to be down.")

    async def position(self, user_id: UserId) -> Position:
        await self._ready()
        return Position(self.at.floor, dict(self.at.versions))

    async def sync(self, query: SyncQuery) -> SyncAnswer:
        self.asked.append(query)
        await self._ready()
        if self.answers:
            return self.answers.pop(0)
        return SyncAnswer(conversations=(), since=query.since or self.at.token())

    async def conversations(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        await self._ready()
        return ConversationPage(conversations=tuple(self.known.values())[:limit], next_cursor=None)

    async def conversation(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        await self._ready()
        if conversation_id not in self.known:
            raise NotFound("There is no such conversation.")
        return self.known[conversation_id]

    async def messages(
        self, user_id: UserId, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> MessagePage:
        await self._ready()
        return self.page

    async def unread(self, user_id: UserId) -> dict[ConversationId, int]:
        await self._ready()
        return self.counts

    async def members(self, conversation_id: ConversationId) -> tuple[UserId, ...]:
        await self._ready()
        return self.known[conversation_id].member_ids


class FakePresence:
    """A `PresenceQueries`."""

    def __init__(self) -> None:
        self.down = False
        self.here: dict[UserId, Presence] = {}

    async def presence_of(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        if self.down:
            raise Unavailable("The fake presence was told to be down.")
        return {user_id: self.here[user_id] for user_id in user_ids if user_id in self.here}
