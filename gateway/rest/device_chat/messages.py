"""Messages of the devices wire over REST: send, read a page, say what was received."""

from collections.abc import Sequence

from msgspec.structs import replace

from gateway.content import check_content, check_type, encode_metadata
from gateway.dialects.base import Accepted
from gateway.dialects.devices_names import Addressed, find_recipient, find_session, in_room, to_device
from gateway.dialects.devices_reading import received
from gateway.dialects.devices_views import DeviceMessage, device_message
from gateway.dialects.pairs import pair_name
from gateway.dialects.receipts import reached
from gateway.dialects.sent import sent_message
from gateway.dialects.world import World
from gateway.rest.device_chat.bodies import MAX_CLIENT_ID_CHARS, ListWish, MarkedAs, SendWish, StatusWish
from gateway.rest.device_chat.knowing import here_among, names_of
from gateway.rest.device_chat.views import MessagesView, SentView, UpdatedView
from shared.commands import Acknowledge, SendMessage, Stage
from shared.errors import Forbidden, Invalid, InvalidField, NotAMember, NotFound
from shared.events import Message
from shared.history_api import MAX_PAGE, MessagePage, Watermark
from shared.ids import ConversationId, UserId

MAX_PAGES = 10  # looked through for messages that are not deleted

_STAGES = {MarkedAs.DELIVERED: Stage.DELIVERED, MarkedAs.READ: Stage.READ}


async def send(world: World, wish: SendWish) -> SentView:
    """Send a message; it may be taken without being stored yet. Raises: what it was refused for, Unavailable."""
    if wish.sender_id not in (None, world.caller.user_id):
        raise Forbidden("A message is sent in the name of its own device alone.")
    conversation_id, peer = await _addressee(world, wish)
    command = _command(world, wish, conversation_id, peer)
    outcome = await world.send(command)
    message = await sent_message(world, command, outcome)
    to, others = await _receivers(world, conversation_id, peer)
    shown = device_message(message, to)
    if isinstance(outcome, Accepted):
        shown = replace(shown, status="pending")
    return SentView(
        message_id=shown.id,
        status=shown.status,
        delivered=bool(await here_among(world, others)),
        created_at=shown.created_at,
        session_id=shown.session_id,
        message=shown,
    )


async def read_page(world: World, wish: ListWish) -> MessagesView:
    """Read a page of a session; what is unread in it is read now. Raises: NotFound, NotAMember, Invalid, Unavailable.

    A session with a device that was never written to is empty.
    """
    conversation_id, peer = await _session(world, wish)
    try:
        page = await _page(world, conversation_id, wish)
    except (NotFound, NotAMember):
        if peer is None or wish.before_id is not None or wish.after_id is not None:
            raise
        return MessagesView(messages=(), count=0, session_id=pair_name(world.caller.user_id, peer), has_more=False)
    marks = await read_up_to(world, conversation_id, page.messages, page.watermarks)
    messages = await _shown(world, conversation_id, page.messages, marks)
    session = pair_name(world.caller.user_id, peer) if peer is not None else conversation_id
    return MessagesView(messages=messages, count=len(messages), session_id=session, has_more=page.has_more)


async def mark(world: World, wish: StatusWish) -> UpdatedView:
    """Say that messages of others were delivered or read; gives how many that is news of. Raises: Unavailable."""
    stage = _STAGES.get(wish.status)
    found = await received(world, tuple(dict.fromkeys(wish.message_ids))) if stage is not None else ()
    by_conversation: dict[ConversationId, list[int]] = {}
    for message in found:
        by_conversation.setdefault(message.conversation_id, []).append(message.seq)
    updated = 0
    for conversation_id, seqs in by_conversation.items():
        assert stage is not None
        conversation = await world.history.conversation(world.caller.user_id, conversation_id)
        so_far = reached(_own_mark(conversation.watermarks, world.caller.user_id), stage)
        if conversation.role is not None and max(seqs) > so_far:
            updated += sum(seq > so_far for seq in seqs)
            await world.settle(_acknowledge(world, conversation_id, stage, max(seqs)))
    return UpdatedView(updated_count=updated, status=wish.status)


async def visible_messages(
    world: World, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
) -> MessagePage:
    """Read a page of messages that are not deleted, for all or for the caller. Raises: NotFound, NotAMember."""
    found: list[Message] = []
    for _ in range(MAX_PAGES):
        page = await world.history.messages(
            world.caller.user_id, conversation_id, before=before, after=after, limit=MAX_PAGE if found else limit
        )
        seen = [message for message in page.messages if message.deleted_at is None]
        found = [*found, *seen] if after is not None else [*seen, *found]
        if not page.has_more or not page.messages or len(found) >= limit:
            break
        if after is not None:
            after = page.messages[-1].seq
        else:
            before = page.messages[0].seq
    more = page.has_more or len(found) > limit
    kept = found[:limit] if after is not None else found[-limit:]
    return MessagePage(messages=tuple(kept), watermarks=page.watermarks, has_more=more)


async def read_up_to(
    world: World, conversation_id: ConversationId, messages: Sequence[Message], marks: Sequence[Watermark]
) -> tuple[Watermark, ...]:
    """Let the caller have read these messages of others; gives the watermarks as they are then. Raises: QueueFull."""
    caller = world.caller.user_id
    latest = max((message.seq for message in messages if message.sender_id != caller), default=0)
    own = _own_mark(marks, caller)
    if latest <= own.read_seq:
        return tuple(marks)
    await world.settle(_acknowledge(world, conversation_id, Stage.READ, latest))
    now = world.now()
    moved = replace(
        own,
        read_seq=latest,
        read_at=now,
        delivered_seq=max(latest, own.delivered_seq),
        delivered_at=own.delivered_at if own.delivered_seq >= latest else now,
    )
    return (*(mark for mark in marks if mark.user_id != caller), moved)


def marks_for(message: Message, caller: UserId, marks: Sequence[Watermark]) -> Sequence[Watermark]:
    """Give the watermarks that a message's status follows from: the others', or the caller's of what came in."""
    if message.sender_id == caller:
        return marks
    return [mark for mark in marks if mark.user_id == caller]


# --- sending


async def _addressee(world: World, wish: SendWish) -> tuple[ConversationId, UserId | None]:
    if (wish.recipient_id is None) == (wish.session_id is None):
        raise InvalidField("recipient_id: name it or a session_id, one of the two.", path="recipient_id")
    if wish.session_id is not None:
        return await find_session(world, wish.session_id)
    assert wish.recipient_id is not None
    return await find_recipient(world, wish.recipient_id)


def _command(world: World, wish: SendWish, conversation_id: ConversationId, peer: UserId | None) -> SendMessage:
    given = wish.metadata or {}
    metadata = encode_metadata(given)
    check_type(wish.type)
    check_content(wish.content, metadata, None)
    message_id = world.new_message_id()
    return SendMessage(
        message_id=message_id,
        conversation_id=conversation_id,
        sender_id=world.caller.user_id,
        sender_name=world.caller.name,
        client_id=wish.client_id or _client_id(given.get("client_id")) or message_id,
        to=peer,
        type=wish.type,
        content=wish.content,
        metadata=metadata,
    )


def _client_id(given: object) -> str | None:
    """Read the client's own id of the message from its metadata. Raises: InvalidField."""
    if given is None:
        return None
    if not isinstance(given, str) or not 1 <= len(given) <= MAX_CLIENT_ID_CHARS:
        problem = f"metadata.client_id: it is a string of 1 to {MAX_CLIENT_ID_CHARS} characters."
        raise InvalidField(problem, path="metadata.client_id")
    return given


async def _receivers(
    world: World, conversation_id: ConversationId, peer: UserId | None
) -> tuple[Addressed, Sequence[UserId]]:
    """Tell to whom a message goes. Raises: NotAMember, NotFound, Unavailable."""
    caller = world.caller.user_id
    if peer is not None:
        return to_device(caller, peer, await names_of(world, (peer,))), (peer,)
    room = await world.room(conversation_id)
    others = [member for member in room.member_ids if member != caller]
    recipient = room.peer_of(caller)
    names = {} if recipient is None else await names_of(world, (recipient,))
    return in_room(room, caller, names), others


# --- reading


async def _session(world: World, wish: ListWish) -> tuple[ConversationId, UserId | None]:
    if wish.session_id is not None:
        return await find_session(world, wish.session_id)
    if wish.device_id is None:
        raise InvalidField("device_id: name it or a session_id.", path="device_id")
    return await find_recipient(world, wish.device_id)


async def _page(world: World, conversation_id: ConversationId, wish: ListWish) -> MessagePage:
    if wish.before_id is not None and wish.after_id is not None:
        raise Invalid("Give before_id or after_id, not both.")
    before = None if wish.before_id is None else await _seq_of(world, conversation_id, wish.before_id)
    after = None if wish.after_id is None else await _seq_of(world, conversation_id, wish.after_id)
    return await visible_messages(world, conversation_id, before=before, after=after, limit=wish.limit)


async def _seq_of(world: World, conversation_id: ConversationId, name: str) -> int:
    place = await world.message(name)
    if place.conversation_id != conversation_id:
        raise NotFound("There is no such message in this session.", message_id=name)
    return place.seq


async def _shown(
    world: World, conversation_id: ConversationId, messages: Sequence[Message], marks: Sequence[Watermark]
) -> tuple[DeviceMessage, ...]:
    caller = world.caller.user_id
    room = await world.room(conversation_id)
    names = await names_of(world, room.member_ids if room.peer_of(caller) is not None else ())
    return tuple(
        device_message(message, in_room(room, message.sender_id, names), marks_for(message, caller, marks))
        for message in messages
    )


# --- marking


def _acknowledge(world: World, conversation_id: ConversationId, stage: Stage, seq: int) -> Acknowledge:
    return Acknowledge(conversation_id=conversation_id, user_id=world.caller.user_id, stage=stage, seq=seq)


def _own_mark(marks: Sequence[Watermark], user_id: UserId) -> Watermark:
    return next((mark for mark in marks if mark.user_id == user_id), Watermark(user_id=user_id))
