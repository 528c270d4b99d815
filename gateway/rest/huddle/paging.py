"""Pages of a channel's messages as the huddle wire's clients show them: oldest first, without what is deleted."""

from gateway.dialects.world import World
from shared.events import Message
from shared.history_api import MAX_PAGE
from shared.ids import ConversationId


async def newest(
    world: World, conversation_id: ConversationId, *, before: int | None, skip: int, limit: int
) -> list[Message]:
    """Give the newest messages, or the newest ones before a seq, `skip` of them left out."""
    found: list[Message] = []
    more = True
    while more and len(found) < skip + limit:
        size = min(MAX_PAGE, skip + limit - len(found))
        page = await world.history.messages(
            world.caller.user_id, conversation_id, before=before, after=None, limit=size
        )
        found += [message for message in reversed(page.messages) if message.deleted_at is None]
        more = page.has_more
        before = page.messages[0].seq if page.messages else None
    return found[skip : skip + limit][::-1]


async def following(
    world: World, conversation_id: ConversationId, *, after: int, skip: int, limit: int
) -> list[Message]:
    """Give the messages that come next after a seq, `skip` of them left out."""
    found: list[Message] = []
    more = True
    while more and len(found) < skip + limit:
        size = min(MAX_PAGE, skip + limit - len(found))
        page = await world.history.messages(world.caller.user_id, conversation_id, before=None, after=after, limit=size)
        found += [message for message in page.messages if message.deleted_at is None]
        more = page.has_more
        after = page.messages[-1].seq if page.messages else after
    return found[skip : skip + limit]
