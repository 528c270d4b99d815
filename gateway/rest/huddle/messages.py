"""Messages on the huddle wire: read, send, edit, delete, look for, mark as read."""

from fastapi import APIRouter, Response

from gateway.content import check_content
from gateway.dialects.huddle_composing import channel, check_text, compose, mentioned
from gateway.dialects.huddle_joining import visit
from gateway.dialects.huddle_reading import Say
from gateway.dialects.huddle_views import Attachment, MessageView, message_views, own_part
from gateway.dialects.sent import sent_message
from gateway.dialects.world import World
from gateway.rest.fields import ConversationPath, IdempotencyKey, MessagePath
from gateway.rest.huddle.errors import HuddleRoute
from gateway.rest.huddle.fields import (
    Limit,
    MessagePatch,
    MessageWish,
    Named,
    ReadWish,
    SearchText,
    ShortMessageWish,
    Signed,
    Skip,
    Wanted,
)
from gateway.rest.huddle.paging import following, newest
from gateway.rest.huddle.views import Said
from gateway.rest.worlds import ThatWorld
from shared.commands import EMPTY_OBJECT, Acknowledge, DeleteMessage, DeleteScope, EditMessage, Stage
from shared.errors import Forbidden, Invalid
from shared.events import Message, Stored
from shared.history_api import MAX_PAGE, Conversation, MessageSearch
from shared.http import StructResponse
from shared.ids import ConversationId, UserId

MAX_LOOKED_THROUGH = 2_000  # messages after a message, for its replies


def messages_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(route_class=HuddleRoute, include_in_schema=False)
    for path, handler, method in (
        ("/api/v1/messages", read_messages, "GET"),
        ("/api/v1/messages", send_message, "POST"),
        ("/api/v1/messages/search", search_messages, "GET"),
        ("/api/v1/messages/mentions", list_mentions, "GET"),
        ("/api/v1/messages/channel/{conversation_id}/mark-read", mark_read, "POST"),
        ("/api/v1/messages/{message_id}", show_message, "GET"),
        ("/api/v1/messages/{message_id}", edit_message, "PUT"),
        ("/api/v1/messages/{message_id}", delete_message, "DELETE"),
        ("/api/v1/messages/{message_id}/replies", list_replies, "GET"),
        ("/api/channels/{conversation_id}/messages", send_to_channel, "POST"),
        ("/api/v1/channels/{conversation_id}/messages", send_to_channel, "POST"),
        ("/api/messages/{message_id}", edit_message, "PUT"),
        ("/api/messages/{message_id}", delete_message, "DELETE"),
    ):
        router.add_api_route(path, handler, methods=[method])
    return router


# --- read


async def read_messages(
    world: ThatWorld,
    channel_id: Wanted,
    skip: Skip = 0,
    limit: Limit = 50,
    before_message_id: Named = None,
    after_message_id: Named = None,
) -> Response:
    """Read a page, oldest first: the newest, just before a message, or just after one.

    It shows a channel, as `join_channel` does, which clients say at the same time: an open one is joined.
    """
    if before_message_id is not None and after_message_id is not None:
        raise Invalid("Give before_message_id or after_message_id, not both.")
    conversation_id = await visit(world, channel_id)
    if after_message_id is not None:
        after = await _seq(world, conversation_id, after_message_id)
        found = await following(world, conversation_id, after=after, skip=skip, limit=limit)
    else:
        before = None if before_message_id is None else await _seq(world, conversation_id, before_message_id)
        found = await newest(world, conversation_id, before=before, skip=skip, limit=limit)
    return StructResponse(await message_views(world, found))


async def show_message(message_id: MessagePath, world: ThatWorld) -> Response:
    """Show a message."""
    return StructResponse(await _shown(world, await world.read_message(message_id)))


async def list_replies(message_id: MessagePath, world: ThatWorld) -> Response:
    """List the replies to a message, oldest first: those among the next 2,000 messages of the channel."""
    place = await world.message(message_id)
    later = await following(world, place.conversation_id, after=place.seq, skip=0, limit=MAX_LOOKED_THROUGH)
    replies = [message for message in later if message.reply_to == place.message_id]
    return StructResponse(await message_views(world, replies))


async def search_messages(
    q: SearchText, world: ThatWorld, channel_id: Named = None, team_id: Named = None, limit: Limit = 20
) -> Response:
    """Find messages by what they say, newest first: in a channel, in a team's channels, or in all of the caller's."""
    search = MessageSearch(
        user_id=world.caller.user_id,
        text=q,
        conversation_id=None if channel_id is None else await world.conversation(channel_id),
        parent_id=None if team_id is None else await world.conversation(team_id),
        limit=limit,
    )
    return StructResponse(await message_views(world, await world.history.find_messages(search)))


async def list_mentions(world: ThatWorld, skip: Skip = 0, limit: Limit = 50) -> Response:
    """List the messages that mention the caller, newest first; of the last 200."""
    return StructResponse(await message_views(world, await mentions_of(world, skip, limit)))


async def mentions_of(world: World, skip: int, limit: int) -> tuple[Message, ...]:
    """Find the messages that mention the caller, newest first; of the last 200."""
    search = MessageSearch(user_id=world.caller.user_id, mentions=True, limit=min(skip + limit, MAX_PAGE))
    return (await world.history.find_messages(search))[skip:]


async def mark_read(conversation_id: ConversationPath, world: ThatWorld, wish: ReadWish | None = None) -> Response:
    """Mark a channel's messages as read, up to one."""
    room = await channel(world, conversation_id)
    found = await world.history.conversation(world.caller.user_id, room.id)
    named = wish.last_read_message_id if wish is not None else None
    await read_up_to(world, found, found.last_seq if named is None else await _seq(world, room.id, named))
    return StructResponse(Said(message="Marked as read."))


async def read_up_to(world: World, found: Conversation, seq: int) -> None:
    """Note that the caller has read a conversation up to a seq, unless that is known; what is asked next sees it."""
    user_id = world.caller.user_id
    if seq > read_seq(found, user_id):
        await world.settle(Acknowledge(conversation_id=found.id, user_id=user_id, stage=Stage.READ, seq=seq))


def read_seq(found: Conversation, user_id: UserId) -> int:
    """Tell how far a user has read a conversation."""
    return next((mark.read_seq for mark in found.watermarks if mark.user_id == user_id), 0)


# --- write


async def send_message(wish: MessageWish, world: ThatWorld, idempotency_key: IdempotencyKey = None) -> Response:
    """Send a message: 201 stored, 202 on its way."""
    return await _send(world, wish, wish.channel_id, idempotency_key)


async def send_to_channel(
    conversation_id: ConversationPath, wish: ShortMessageWish, world: ThatWorld, idempotency_key: IdempotencyKey = None
) -> Response:
    """Send a message to the channel in the path."""
    return await _send(world, wish, conversation_id, idempotency_key)


async def edit_message(message_id: MessagePath, wish: MessagePatch, world: ThatWorld) -> Response:
    """Give one's own message another content."""
    _check_signature(wish, world)
    message = await _own(world, message_id)
    check_text(wish.content, own_part(message.metadata, Attachment))
    check_content(wish.content, EMPTY_OBJECT, None)
    command = EditMessage(
        change_id=world.new_message_id(),
        conversation_id=message.conversation_id,
        actor_id=world.caller.user_id,
        message_id=message.id,
        content=wish.content,
        mentions=await mentioned(world, await world.room(message.conversation_id), wish.content),
    )
    await world.alter(command)
    return StructResponse(await _shown(world, await world.read_message(message_id)))


async def delete_message(message_id: MessagePath, world: ThatWorld) -> Response:
    """Take one's own message away, for everyone."""
    message = await _own(world, message_id)
    command = DeleteMessage(
        change_id=world.new_message_id(),
        conversation_id=message.conversation_id,
        actor_id=world.caller.user_id,
        message_id=message.id,
        scope=DeleteScope.EVERYONE,
    )
    await world.alter(command)
    return StructResponse(Said(message="Message deleted."))


async def _send(world: World, wish: ShortMessageWish, channel_id: str, key: str | None) -> Response:
    _check_signature(wish, world)
    attachment = Attachment(
        attachment_url=wish.attachment_url,
        attachment_type=wish.attachment_type,
        attachment_name=wish.attachment_name,
        attachment_size=wish.attachment_size,
    )
    say = Say(channel_id, wish.content, wish.parent_id, wish.client_id or key, attachment)
    command = await compose(world, say, hears=False)
    outcome = await world.send(command)
    if not isinstance(outcome, Stored):
        return StructResponse(Said(message="The message is on its way."), status_code=202)
    return StructResponse(await _shown(world, await sent_message(world, command, outcome)), status_code=201)


async def _own(world: World, name: str) -> Message:
    """Read a message of the caller's. Raises: NotFound, Forbidden."""
    message = await world.read_message(name)
    if message.sender_id != world.caller.user_id:
        raise Forbidden("Only its author may change a message.", message_id=name)
    return message


async def _seq(world: World, conversation_id: ConversationId, name: str) -> int:
    place = await world.message(name)
    if place.conversation_id != conversation_id:
        raise Invalid("The message is in another channel.", message_id=name)
    return place.seq


async def _shown(world: World, message: Message) -> MessageView:
    [view] = await message_views(world, (message,))
    return view


def _check_signature(wish: Signed, world: World) -> None:
    for claimed in (wish.author_id, wish.user_id):
        if claimed is not None and claimed != world.caller.user_id:
            raise Forbidden("A request speaks for the authenticated user alone.")
