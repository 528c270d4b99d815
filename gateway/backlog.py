"""Where a device begins that was never here: before the first message that the user has not been delivered yet."""

from shared.history_api import Conversation, HistoryQueries
from shared.ids import UserId
from shared.position import Position

MAX_CONVERSATIONS = 200  # with messages that wait; a user with more finds the rest in their histories


async def backlog(history: HistoryQueries, user_id: UserId) -> Position:
    """Give the position behind which everything lies that waits for the user. Raises: Unavailable."""
    position = await history.position(user_id)
    for conversation_id in list(await history.unread(user_id))[:MAX_CONVERSATIONS]:
        conversation = await history.conversation(user_id, conversation_id)
        delivered = max(_delivered_seq(conversation, user_id), conversation.first_seq - 1)
        page = await history.messages(user_id, conversation_id, before=None, after=delivered, limit=1)
        for message in page.messages:
            position.versions[conversation_id] = message.version - 1
    return position


def _delivered_seq(conversation: Conversation, user_id: UserId) -> int:
    return next((mark.delivered_seq for mark in conversation.watermarks if mark.user_id == user_id), 0)
