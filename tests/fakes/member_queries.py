"""Conversations' members, as history answers."""

from shared.errors import NotFound, Unavailable
from shared.ids import ConversationId, UserId


class FakeMemberQueries:
    def __init__(self) -> None:
        self.rooms: dict[ConversationId, tuple[UserId, ...]] = {}
        self.asked = 0
        self.available = True

    async def members(self, conversation_id: ConversationId) -> tuple[UserId, ...]:
        self.asked += 1
        if not self.available:
            raise Unavailable("History is away.")
        if conversation_id not in self.rooms:
            raise NotFound("No such conversation.")
        return self.rooms[conversation_id]
