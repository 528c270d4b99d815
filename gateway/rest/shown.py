"""Conversations as their callers see them, with the presence of the other one of a direct conversation."""

from collections.abc import Sequence

from gateway.views import ConversationView, conversation_view, peer_view
from shared.commands import ConversationKind
from shared.errors import Unavailable
from shared.history_api import Conversation, HistoryQueries
from shared.ids import ConversationId, UserId
from shared.presence_api import Presence, PresenceQueries


class Shown:
    """Shows conversations to one of their members."""

    def __init__(self, history: HistoryQueries, presence: PresenceQueries) -> None:
        self._history = history
        self._presence = presence

    async def one(self, user_id: UserId, conversation_id: ConversationId) -> ConversationView:
        """Show a conversation as it is now. Raises: NotAMember, NotFound, Unavailable."""
        found = await self._history.conversation(user_id, conversation_id)
        [view] = await self.views(user_id, (found,))
        return view

    async def views(self, user_id: UserId, conversations: Sequence[Conversation]) -> list[ConversationView]:
        """Show conversations."""
        peers = {found.id: peer for found in conversations if (peer := _peer(found, user_id)) is not None}
        here = await self._presence_of(set(peers.values()))
        return [
            conversation_view(
                found, peer_view(peers[found.id], here.get(peers[found.id])) if found.id in peers else None
            )
            for found in conversations
        ]

    async def _presence_of(self, user_ids: set[UserId]) -> dict[UserId, Presence]:
        """Ask who is there; without presence nobody knows, and the rest of the answer is as good."""
        if not user_ids:
            return {}
        try:
            return await self._presence.presence_of(sorted(user_ids))
        except Unavailable:
            return {}


def _peer(conversation: Conversation, user_id: UserId) -> UserId | None:
    if conversation.kind is not ConversationKind.DIRECT:
        return None
    return next((member for member in conversation.member_ids if member != user_id), None)
