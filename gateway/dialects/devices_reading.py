"""What a client's frame of the devices wire asks for."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, TypeAlias, assert_never

import msgspec

from gateway.dialects.base import Caller, Errand, Frame, Reply, Request
from gateway.dialects.devices_names import SESSION_PATTERN, find_recipient, find_session
from gateway.dialects.reading import UNREADABLE, bad_frame
from gateway.dialects.world import SocketWorld, World
from shared.commands import Acknowledge, SetTyping, Stage
from shared.errors import Forbidden, InvalidField, NotAMember, NotFound
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

    message_ids: Annotated[tuple[MessageName, ...], msgspec.Meta(max_length=MAX_MARKED)]


ClientFrame: TypeAlias = PingFrame | TypingFrame | ReadReceiptFrame
_DECODER: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)


def decode(frame: Frame) -> ClientFrame:
    """Read a frame. Raises: BadFrame."""
    try:
        return _DECODER.decode(frame)
    except UNREADABLE as error:
        raise bad_frame(frame, error) from error


def errand_of(read: TypingFrame | ReadReceiptFrame, caller: Caller) -> Errand:
    """Tell what a frame asks for. Raises: Forbidden (it speaks for another device), InvalidField."""
    check_signature(read, caller)
    match read:
        case TypingFrame():
            if (read.recipient_id is None) == (read.session_id is None):
                raise InvalidField("Name a recipient_id or a session_id, one of the two.", path="$.recipient_id")
            return Errand(partial(_typing, read))
        case ReadReceiptFrame(message_ids=names):
            return Errand(partial(_receipts, tuple(map(str, names))), free=True)
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


async def _receipts(names: Sequence[str], world: SocketWorld) -> Sequence[Request | Reply]:
    """Acknowledge as far as the latest of these messages in each conversation."""
    latest: dict[ConversationId, int] = {}
    for message in await received(world, names):
        latest[message.conversation_id] = max(latest.get(message.conversation_id, 0), message.seq)
    return [
        Request(Acknowledge(conversation_id=each, user_id=world.caller.user_id, stage=Stage.READ, seq=seq))
        for each, seq in latest.items()
    ]
