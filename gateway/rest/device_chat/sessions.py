"""Sessions of the devices wire over REST: the caller's conversations, what is unread in them, clearing one."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from gateway.dialects.devices_names import find_session, in_room, name_of, session_id
from gateway.dialects.devices_views import DeviceMessage, device_message
from gateway.dialects.world import World
from gateway.known import room_of
from gateway.rest.device_chat.knowing import here_among, names_of
from gateway.rest.device_chat.messages import marks_for, visible_messages
from gateway.rest.device_chat.views import ClearedView, SessionsView, SessionView, UnreadView
from shared.clock import rfc3339
from shared.commands import ConversationKind, DeleteMessage, DeleteScope
from shared.errors import WarrenError
from shared.events import Message
from shared.history_api import MAX_PAGE, Conversation
from shared.ids import ConversationId, UserId

MAX_SESSIONS = 1000
MAX_PARTICIPANTS = 100  # shown of a group
MAX_CLEARED = 1000  # messages at a time
CLEARED_AT_ONCE = 50
MAX_EMPTIED = 10_000


class Emptied:
    """Remembers sessions in which everything is deleted: nothing deleted comes back, so only a new message counts."""

    def __init__(self) -> None:
        self._last_seqs: OrderedDict[tuple[UserId, ConversationId], int] = OrderedDict()

    def holds(self, user_id: UserId, conversation: Conversation) -> bool:
        """Tell whether a conversation is known to be empty to a user."""
        return self._last_seqs.get((user_id, conversation.id)) == conversation.last_seq

    def add(self, user_id: UserId, conversation: Conversation) -> None:
        """Take note of one."""
        self._last_seqs[user_id, conversation.id] = conversation.last_seq
        if len(self._last_seqs) > MAX_EMPTIED:
            self._last_seqs.popitem(last=False)


async def sessions(world: World, emptied: Emptied) -> SessionsView:
    """Give the caller's conversations in which there is something to show. Raises: Unavailable."""
    found = []
    for each in await _conversations(world):
        last = await _last(world, each, emptied)
        if last is not None or _is_new(each):
            found.append((each, last))
    shown = {user_id for each, _ in found for user_id in _participants(each, world.caller.user_id)}
    names = await names_of(world, shown)
    here = await here_among(world, shown)
    views = [_view(each, last, world.caller.user_id, names, here) for each, last in found]
    views.sort(key=lambda view: view.last_activity, reverse=True)
    return SessionsView(sessions=tuple(views), count=len(views))


async def unread(world: World) -> UnreadView:
    """Count what the caller has not read, by who it is from. Raises: Unavailable."""
    waiting = [each for each in await _conversations(world) if each.unread]
    by_device: dict[str, int] = {
        room_of(each).peer_of(world.caller.user_id) or each.id: each.unread for each in waiting
    }
    return UnreadView(total_unread=sum(by_device.values()), by_device=by_device)


async def clear(world: World, name: str) -> ClearedView:
    """Delete a session's messages for the caller alone; what was unread is gone unread.

    Raises: NotFound, NotAMember, Unavailable.
    """
    conversation_id, _ = await find_session(world, name)
    page = await visible_messages(world, conversation_id, before=None, after=None, limit=MAX_PAGE)
    deleted = 0
    while page.messages and deleted < MAX_CLEARED:
        for start in range(0, len(page.messages), CLEARED_AT_ONCE):
            await _delete(world, conversation_id, page.messages[start : start + CLEARED_AT_ONCE])
        deleted += len(page.messages)
        before = page.messages[0].seq
        page = await visible_messages(world, conversation_id, before=before, after=None, limit=MAX_PAGE)
    return ClearedView(session_id=name, deleted_count=deleted, has_more=bool(page.messages))


async def _conversations(world: World) -> list[Conversation]:
    found: list[Conversation] = []
    cursor: str | None = None
    while len(found) < MAX_SESSIONS:
        page = await world.history.conversations(world.caller.user_id, limit=MAX_PAGE, cursor=cursor)
        found += [each for each in page.conversations if each.kind is not ConversationKind.SPACE]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    return found[:MAX_SESSIONS]


async def _last(world: World, conversation: Conversation, emptied: Emptied) -> Message | None:
    """Give the last message that is not deleted."""
    last = conversation.last_message
    if last is None or last.deleted_at is None:
        return last
    if emptied.holds(world.caller.user_id, conversation):
        return None
    page = await visible_messages(world, conversation.id, before=last.seq, after=None, limit=1)
    if page.messages:
        return page.messages[-1]
    emptied.add(world.caller.user_id, conversation)
    return None


def _is_new(conversation: Conversation) -> bool:
    """Tell whether nothing was ever said in a group."""
    return conversation.kind is not ConversationKind.DIRECT and conversation.last_message is None


def _participants(conversation: Conversation, caller: UserId) -> tuple[UserId, ...]:
    """Name the participants, the others first: clients take the first that is not themselves for the peer."""
    others = [member for member in conversation.member_ids if member != caller]
    return (*others[: MAX_PARTICIPANTS - 1], caller)


def _view(
    conversation: Conversation,
    last: Message | None,
    caller: UserId,
    names: Mapping[UserId, str],
    here: set[UserId],
) -> SessionView:
    room = room_of(conversation)
    participants = _participants(conversation, caller)
    created_at = rfc3339(conversation.created_at)
    return SessionView(
        id=session_id(room),
        name=room.name,
        participant_ids=participants,
        participant_names=tuple(names.get(each) or name_of(each) for each in participants),
        last_message=None if last is None else _last_view(last, conversation, caller, names),
        last_activity=created_at if last is None else rfc3339(last.created_at),
        unread_count={caller: conversation.unread},
        created_at=created_at,
        online_status={each: each in here for each in participants},
        is_online=any(each in here for each in participants if each != caller),
    )


def _last_view(
    message: Message, conversation: Conversation, caller: UserId, names: Mapping[UserId, str]
) -> DeviceMessage:
    to = in_room(room_of(conversation), message.sender_id, names)
    return device_message(message, to, marks_for(message, caller, conversation.watermarks))


async def _delete(world: World, conversation_id: ConversationId, messages: Sequence[Message]) -> None:
    """Delete messages, all at once. Raises: Unavailable."""
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_hide(world, conversation_id, message)) for message in messages]
    for task in asked:
        refusal = task.result()
        if refusal is not None:
            raise refusal


async def _hide(world: World, conversation_id: ConversationId, message: Message) -> WarrenError | None:
    """Delete one message for the caller; gives what came in the way, so that the others are not stopped."""
    command = DeleteMessage(
        change_id=world.new_message_id(),
        conversation_id=conversation_id,
        actor_id=world.caller.user_id,
        message_id=message.id,
        scope=DeleteScope.ME,
    )
    try:
        await world.alter(command)
    except WarrenError as error:
        return error
    return None
