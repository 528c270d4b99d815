"""Conversations' members, as history answers."""

from shared.errors import NotFound, Unavailable
from shared.history_api import MemberList
from shared.ids import ConversationId, UserId


class FakeMemberQueries:
    def __init__(self) -> None:
        self.rooms: dict[ConversationId, MemberList] = {}
        self.asked = 0
        self.available = True

    def set_room(self, conversation_id: ConversationId, *members: UserId, version: int = 1) -> None:
        """Let a conversation have these members since its beginning."""
        self.rooms[conversation_id] = MemberList(version=version, since=dict.fromkeys(members, 0))

    async def members(self, conversation_id: ConversationId) -> MemberList:
        self.asked += 1
        if not self.available:
            raise Unavailable("History is away.")
        if conversation_id not in self.rooms:
            raise NotFound("No such conversation.")
        room = self.rooms[conversation_id]
        return MemberList(version=room.version, since=dict(room.since))
