"""What a client's frame of the envelope wire says, and what its upgrade says of it."""

import re
from typing import TypeAlias

import msgspec

from gateway.content import check_content, check_type, metadata_object
from gateway.dialects import envelope_frames as frames
from gateway.dialects.base import UNPLACED, BadFrame, Caller, Frame, Hello, Upgrade
from gateway.dialects.reading import UNREADABLE, bad_frame
from shared.commands import EMPTY_OBJECT, SendMessage
from shared.errors import Forbidden, Invalid, InvalidField, Unauthenticated
from shared.events import DeviceInfo
from shared.ids import ID_PATTERN, DeviceId, MessageId, NewId, UserId, direct_conversation_id

_DECODER: msgspec.json.Decoder[frames.ClientFrame] = msgspec.json.Decoder(frames.ClientFrame)
_ID = re.compile(ID_PATTERN)
_DEVICE_KEYS = ("device_id", "deviceId")
_USER_KEYS = ("user_id", "userId")
Told: TypeAlias = frames.ChatFrame | frames.StatusFrame | frames.SystemFrame


def hello_of(upgrade: Upgrade) -> Hello:
    """Tell who the client is by its upgrade: a token, and a device if it names one. Raises: BadFrame."""
    if not upgrade.token:
        raise BadFrame(Unauthenticated("A token is needed: ?token= or Authorization: Bearer."))
    device_id, user_id = _named(upgrade, _DEVICE_KEYS), _named(upgrade, _USER_KEYS)
    return Hello(
        token=upgrade.token,
        claims=None if user_id is None else UserId(user_id),
        device=None if device_id is None else DeviceInfo(id=DeviceId(device_id)),
    )


def _named(upgrade: Upgrade, keys: tuple[str, ...]) -> str | None:
    """Give the id that the query says under one of these keys. Raises: BadFrame."""
    for key in keys:
        if key in upgrade.query:
            if _ID.match(upgrade.query[key]) is None:
                raise BadFrame(InvalidField(f"The {key} must be an id.", path=key))
            return upgrade.query[key]
    return None


def decode(frame: Frame) -> frames.ClientFrame:
    """Read a frame. Raises: BadFrame."""
    try:
        return _DECODER.decode(frame)
    except UNREADABLE as error:
        raise bad_frame(frame, error) from error


def ping_data(ping: frames.PingFrame) -> msgspec.Raw:
    """Give the object that a ping brings. Raises: InvalidField."""
    text = bytes(ping.data)
    if text == b"null":
        return EMPTY_OBJECT
    if not text.startswith(b"{"):
        raise InvalidField("The data must be a JSON object at $.data.", path="$.data")
    return msgspec.Raw(text)  # a Raw is a window on its whole frame: a copy lets go of it


def check_signature(data: frames.Signed, caller: Caller) -> None:
    """Refuse data that speak for somebody else. Raises: Forbidden."""
    if any(claimed != caller.user_id for claimed in data.signatures()):
        raise Forbidden("A frame speaks for the authenticated user alone.")


def message_of(frame: frames.ChatFrame, caller: Caller, new_id: NewId) -> SendMessage:
    """Read a message; of one that names a channel the conversation is still to be found.

    Raises: Invalid, TooLarge, Forbidden.
    """
    data = frame.data
    if (data.to is None) == (data.channel_id is None):
        raise Invalid("Name a channelId or a user in to, one of the two.")
    check_type(data.type)
    check_content(data.content, data.metadata, data.attachments)
    peer = None if data.to is None else UserId(str(data.to))
    return SendMessage(
        message_id=MessageId(new_id()),
        conversation_id=UNPLACED if peer is None else direct_conversation_id(caller.user_id, peer),
        sender_id=caller.user_id,
        sender_name=caller.name,
        client_id=frame.id or new_id(),
        to=peer,
        type=data.type,
        content=data.content,
        metadata=metadata_object(data.metadata),
        reply_to=None if data.reply_to is None else MessageId(str(data.reply_to)),
        mentions=tuple(UserId(user_id) for user_id in data.mentions or ()),
    )
