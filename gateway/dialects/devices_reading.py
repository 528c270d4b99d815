"""What a client's frame of the devices wire asks for."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, TypeAlias, assert_never

import msgspec

from gateway.dialects.base import Caller, Errand, Frame, Reply, Request
from gateway.dialects.devices_names import SESSION_PATTERN, find_recipient, find_session
from gateway.dialects.reading import UNREADABLE, bad_frame
from gateway.dialects.world import SocketWorld, World
from shared.commands import Acknowledge, SetTyping, Stage
from shared.errors import ErrorBody, Forbidden, InvalidField, NotAMember, NotFound, WarrenError
from shared.events import Message
from shared.ids import ConversationId, Id

MAX_MARKED = 200  # messages in one receipt

SessionName = Annotated[str, msgspec.Meta(pattern=SESSION_PATTERN)]
MessageName: TypeAlias = Id | Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]


class _Signed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Frames may name their sender, but no other than the device itself."""

    sender_id: object = None
    device_id: object = None


class PingFrame(_Signed, frozen=True, kw_only=True, tag="ping"):
    """`ping`: the client is there."""


class TypingFrame(_Signed, frozen=True, kw_only=True, tag="typing"):
    """`typing`: started or stopped, to a device or in a session."""

    is_typing: bool
    recipient_id: Id | None = None
    session_id: SessionName | None = None


class ReadReceiptFrame(_Signed, frozen=True, kw_only=True, tag="read_receipt"):
    """`read_receipt`: these messages were read."""

    message_ids: Annotated[tuple[MessageName, ...], msgspec.Meta(min_length=1, max_length=MAX_MARKED)]


Refuse: TypeAlias = Callable[[ErrorBody], Sequence[Frame]]  # writes why something was not done
ClientFrame: TypeAlias = PingFrame | TypingFrame | ReadReceiptFrame
_DECODER: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)


def decode(frame: Frame) -> ClientFrame:
    """Read a frame. Raises: BadFrame."""
    try:
        return _DECODER.decode(frame)
    except UNREADABLE as error:
        raise bad_frame(frame, error) from error


def errand_of(read: TypingFrame | ReadReceiptFrame, caller: Caller, refuse: Refuse) -> Errand:
    """Tell what a frame asks for. Raises: Forbidden (it speaks for another device), InvalidField."""
    check_signature(read, caller)
    match read:
        case TypingFrame():
            if (read.recipient_id is None) == (read.session_id is None):
                raise InvalidField("Name a recipient_id or a session_id, one of the two.", path="$.recipient_id")
            return Errand(partial(_typing, read))
        case ReadReceiptFrame(message_ids=names):
            return Errand(partial(_receipts, tuple(map(str, names)), refuse), free=True)
    assert_never(read)


def check_signature(read: ClientFrame, caller: Caller) -> None:
    """Refuse a frame in another's name. Raises: Forbidden."""
    for claimed in (read.sender_id, read.device_id):
        if claimed is not None and claimed != caller.user_id:
            raise Forbidden("A frame speaks for its own device alone.")


async def received(world: World, names: Sequence[str]) -> Sequence[Message]:
    """Find messages of others; those that are not there, or not for the caller's eyes, are left out.

    Raises: Unavailable.
    """
    messages = []
    for name in names:
        try:
            message = await world.read_message(name)
        except (NotFound, NotAMember):
            continue
        if message.sender_id != world.caller.user_id:
            messages.append(message)
    return messages


async def _typing(read: TypingFrame, world: SocketWorld) -> Sequence[Request | Reply]:
    if read.session_id is not None:
        conversation_id, peer = await find_session(world, read.session_id)
        if peer is None:
            await world.room(conversation_id)  # else nobody would be told, and nobody would know
    else:
        assert read.recipient_id is not None
        conversation_id, peer = await find_recipient(world, read.recipient_id)
    wish = SetTyping(
        conversation_id=conversation_id,
        user_id=world.caller.user_id,
        name=world.caller.name,
        active=read.is_typing,
        to=peer,
    )
    return (Request(wish),)


async def _receipts(names: Sequence[str], refuse: Refuse, world: SocketWorld) -> Sequence[Request | Reply]:
    """Acknowledge as far as the latest of these messages in each conversation.

    Refuses one for all: a message that is not there, or a conversation of which only own ones are named.
    """
    places, problems = await _places(world, names)
    acks: list[Request | Reply] = []
    for conversation_id, named in places.items():
        latest = await _latest_received(world, [name for _, name in sorted(named, reverse=True)])
        if latest is None:
            problems.append(Forbidden("Only who receives a message marks it as read.", message_id=named[0][1]))
            continue
        caller = world.caller.user_id
        acks.append(
            Request(Acknowledge(conversation_id=conversation_id, user_id=caller, stage=Stage.READ, seq=latest.seq))
        )
    return [*acks, *(Reply(refuse(problem.body())) for problem in problems[:1])]


async def _places(
    world: World, names: Sequence[str]
) -> tuple[dict[ConversationId, list[tuple[int, str]]], list[WarrenError]]:
    """Find messages, by their conversations; gives what keeps others from being found, too. Raises: Unavailable."""
    places: dict[ConversationId, list[tuple[int, str]]] = {}
    problems: list[WarrenError] = []
    for name in dict.fromkeys(names):
        try:
            place = await world.message(name)
        except NotFound as error:
            problems.append(error)
        else:
            places.setdefault(place.conversation_id, []).append((place.seq, name))
    return places, problems


async def _latest_received(world: World, names: Sequence[str]) -> Message | None:
    """Give the first of these messages that is from somebody else. Raises: Unavailable."""
    for name in names:
        if found := await received(world, (name,)):
            return found[0]
    return None
