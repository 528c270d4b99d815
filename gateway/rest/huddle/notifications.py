"""Notifications on the huddle wire: the messages that mention the caller; read is what the caller has read up to."""

import asyncio
from collections.abc import Collection, Sequence

import msgspec
from fastapi import APIRouter, Response

from gateway.dialects.huddle_views import MessageView, message_views
from gateway.dialects.numbers import ShownId, conversation_number
from gateway.dialects.world import World
from gateway.rest.fields import MessagePath
from gateway.rest.huddle.errors import HuddleRoute
from gateway.rest.huddle.fields import Limit, Skip
from gateway.rest.huddle.messages import mentions_of, read_seq, read_up_to
from gateway.rest.huddle.views import Said
from gateway.rest.worlds import ThatWorld
from shared.errors import Forbidden, NotFound
from shared.events import Message
from shared.history_api import MAX_PAGE, Conversation
from shared.http import StructResponse
from shared.ids import ConversationId


class NotificationView(msgspec.Struct, frozen=True, kw_only=True):
    """A message that mentions the caller; its number is the notification's id."""

    id: ShownId
    type: str
    title: str
    content: str
    is_read: bool
    message_id: ShownId
    channel_id: int
    sender_id: ShownId
    created_at: str
    message: MessageView


class UnreadView(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the last 200 notifications are unread; published clients read one or the other name."""

    count: int
    unread_count: int


def notifications_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(route_class=HuddleRoute, include_in_schema=False)
    for path, handler, methods in (
        ("", list_notifications, ["GET"]),
        ("/unread-count", count_unread, ["GET"]),
        ("/read-all", read_all, ["POST", "PUT"]),
        ("/mark-all-read", read_all, ["POST", "PUT"]),
        ("/{message_id}/read", read_one, ["POST", "PUT"]),
    ):
        router.add_api_route(f"/api/v1/notifications{path}", handler, methods=methods)
    return router


async def list_notifications(
    world: ThatWorld, skip: Skip = 0, limit: Limit = 50, *, unread_only: bool = False
) -> Response:
    """List the caller's notifications, newest first; of the last 200."""
    found = await mentions_of(world, 0, MAX_PAGE)
    unread = await _unread(world, found)
    wanted = [message for message in found if message.id in unread] if unread_only else list(found)
    page = wanted[skip : skip + limit]
    views = await message_views(world, page)
    return StructResponse(
        [_view(message, view, is_read=message.id not in unread) for message, view in zip(page, views, strict=True)]
    )


async def count_unread(world: ThatWorld) -> Response:
    """Count the unread ones among the last 200."""
    count = len(await _unread(world, await mentions_of(world, 0, MAX_PAGE)))
    return StructResponse(UnreadView(count=count, unread_count=count))


async def read_one(message_id: MessagePath, world: ThatWorld) -> Response:
    """Mark a notification as read, and with it the messages of its channel up to it."""
    place = await world.message(message_id)
    await read_up_to(world, await world.history.conversation(world.caller.user_id, place.conversation_id), place.seq)
    return StructResponse(Said(message="Marked as read."))


async def read_all(world: ThatWorld) -> Response:
    """Mark all notifications as read, and with them the messages up to them."""
    found = await mentions_of(world, 0, MAX_PAGE)
    latest = {message.conversation_id: message.seq for message in reversed(found)}
    channels = await _conversations(world, latest.keys())
    async with asyncio.TaskGroup() as tasks:
        for channel in channels:
            tasks.create_task(read_up_to(world, channel, latest[channel.id]), name="notifications.read")
    return StructResponse(Said(message="Marked as read."))


async def _unread(world: World, found: Sequence[Message]) -> frozenset[str]:
    """Name the messages that the caller has not read up to."""
    channels = await _conversations(world, {message.conversation_id for message in found})
    read = {channel.id: read_seq(channel, world.caller.user_id) for channel in channels}
    return frozenset(message.id for message in found if message.seq > read.get(message.conversation_id, 0))


async def _conversations(world: World, conversation_ids: Collection[ConversationId]) -> list[Conversation]:
    """Give the conversations that the caller is still in, at most 200, which are asked for together."""
    async with asyncio.TaskGroup() as tasks:
        asking = [
            tasks.create_task(_conversation(world, conversation_id), name="notifications.conversation")
            for conversation_id in sorted(conversation_ids)
        ]
    return [found for task in asking if (found := task.result()) is not None]


async def _conversation(world: World, conversation_id: ConversationId) -> Conversation | None:
    try:
        return await world.history.conversation(world.caller.user_id, conversation_id)
    except (NotFound, Forbidden):
        return None  # left meanwhile


def _view(message: Message, view: MessageView, *, is_read: bool) -> NotificationView:
    return NotificationView(
        id=message.number,
        type="mention",
        title=f"{view.author.full_name} mentioned you",
        content=message.content,
        is_read=is_read,
        message_id=message.number,
        channel_id=conversation_number(message),
        sender_id=view.author_id,
        created_at=view.created_at,
        message=view,
    )
