"""Where a device begins that was never here: before the first message that the user has not been delivered yet."""

import asyncio
from collections.abc import Mapping, Sequence

from shared.commands import ConversationKind
from shared.errors import NotAMember, NotFound, Unavailable
from shared.history_api import MAX_PAGE, Conversation, HistoryQueries
from shared.ids import ConversationId, UserId
from shared.position import Position

MAX_CONVERSATIONS = 1000  # the latest, with messages that wait; a user with more finds the rest in their histories
MAX_BEGUN = 200  # of those in which something was delivered before, likewise
ASKED_AT_ONCE = 8


async def backlog(history: HistoryQueries, user_id: UserId) -> Position:
    """Give the position behind which everything lies that waits for the user. Raises: Unavailable."""
    position = await history.position(user_id)
    begun: dict[ConversationId, int] = {}
    for conversation in await _waiting(history, user_id):
        seen = max(_seen(conversation, user_id), conversation.first_seq - 1)
        if seen == 0 and conversation.kind is ConversationKind.DIRECT:
            position.versions[conversation.id] = 0
        elif len(begun) < MAX_BEGUN:
            begun[conversation.id] = seen
    for conversation_id, version in (await _next_versions(history, user_id, begun)).items():
        position.versions[conversation_id] = version - 1
    return position


async def _waiting(history: HistoryQueries, user_id: UserId) -> Sequence[Conversation]:
    """Find the conversations in which something is unread."""
    unread = await history.unread(user_id)
    found: list[Conversation] = []
    cursor: str | None = None
    for _ in range(MAX_CONVERSATIONS // MAX_PAGE if unread else 0):
        page = await history.conversations(user_id, limit=MAX_PAGE, cursor=cursor)
        found += [each for each in page.conversations if each.id in unread]
        cursor = page.next_cursor
        if cursor is None or len(found) >= len(unread):
            break
    return found


async def _next_versions(
    history: HistoryQueries, user_id: UserId, after: Mapping[ConversationId, int]
) -> Mapping[ConversationId, int]:
    """Find the versions of the messages that come next after these seqs. Raises: Unavailable."""
    versions: dict[ConversationId, int] = {}
    problems: list[Unavailable] = []
    turns = asyncio.Semaphore(ASKED_AT_ONCE)

    async def find(conversation_id: ConversationId, seq: int) -> None:
        try:
            async with turns:
                if not problems:
                    page = await history.messages(user_id, conversation_id, before=None, after=seq, limit=1)
                    versions.update((conversation_id, message.version) for message in page.messages)
        except (NotAMember, NotFound):  # they left in this moment
            return
        except Unavailable as error:
            problems.append(error)

    async with asyncio.TaskGroup() as tasks:
        for conversation_id, seq in after.items():
            tasks.create_task(find(conversation_id, seq), name="backlog")
    if problems:
        raise problems[0]
    return versions


def _seen(conversation: Conversation, user_id: UserId) -> int:
    """Tell up to which seq the user was delivered the messages; what was read was delivered, too."""
    marks = (mark for mark in conversation.watermarks if mark.user_id == user_id)
    return max((max(mark.delivered_seq, mark.read_seq) for mark in marks), default=0)
