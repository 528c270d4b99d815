"""The frames that clients of the envelope wire may send, as types: `{"type", "data", "id", "timestamp"}`."""

from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias

import msgspec

from gateway.dialects.native_frames import FrameId, Label, Mentions, Name, Number, Seq
from shared.commands import EMPTY_OBJECT, MessageType, Status
from shared.ids import Id

MAX_CHANNEL_CHARS = 512

# A conversation by its id, its number, its name, or as <a>_<b>, the two users of a direct one.
Channel: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CHANNEL_CHARS)] | Number


class Signed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Data that clients may not sign: who speaks is the authenticated user. A name that contradicts it is refused."""

    sender_id: object = None
    user_id: object = None
    from_user_id: object = None
    sender: object = None
    from_: object = msgspec.field(default=None, name="from")
    snake_sender_id: object = msgspec.field(default=None, name="sender_id")
    snake_user_id: object = msgspec.field(default=None, name="user_id")
    snake_from_user_id: object = msgspec.field(default=None, name="from_user_id")

    def signatures(self) -> Iterator[str]:
        """Give who is named as the speaker, in whichever field."""
        for name in Signed.__struct_fields__:
            named = getattr(self, name)
            if isinstance(named, dict):
                named = named.get("id")
            if named is not None:
                yield str(named)


class ChatData(Signed, frozen=True, kw_only=True, rename="camel"):
    """`chat`: a message for a conversation, or for a user."""

    channel_id: Channel | None = None
    to: Id | Number | None = None
    content: str
    type: MessageType = MessageType.TEXT
    metadata: msgspec.Raw = EMPTY_OBJECT
    reply_to: Name | None = None
    mentions: Mentions | None = None
    attachments: list[Any] | None = None


class StatusData(Signed, frozen=True, kw_only=True, rename="camel"):
    """`userStatus`: be seen otherwise, on all devices."""

    status: Status
    text: Label | None = None


class _Action(Signed, frozen=True, kw_only=True, rename="camel", tag_field="action"):
    pass


class SubscribeData(_Action, frozen=True, kw_only=True, tag="subscribe"):
    """Be told of a channel; an open one is joined."""

    channel: Channel


class UnsubscribeData(_Action, frozen=True, kw_only=True, tag="unsubscribe"):
    """Be told of it no more, on this socket."""

    channel: Channel


class TypingData(_Action, frozen=True, kw_only=True, rename="camel", tag="typing"):
    """Tell the others that one is typing, or has stopped."""

    channel: Channel
    is_typing: bool = True


class ReadData(_Action, frozen=True, kw_only=True, rename="camel", tag="read"):
    """Tell that everything is read up to a message, which its id names, or its seq in a channel."""

    channel: Channel | None = None
    seq: Seq | None = None
    message_id: Name | None = None


SystemData: TypeAlias = SubscribeData | UnsubscribeData | TypingData | ReadData


class _ClientFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    id: FrameId | None = None


class ChatFrame(_ClientFrame, frozen=True, kw_only=True, tag="chat"):
    """A message; the frame's id is the client's id of it."""

    data: ChatData


class StatusFrame(_ClientFrame, frozen=True, kw_only=True, tag="userStatus"):
    """How the user wants to be seen."""

    data: StatusData


class SystemFrame(_ClientFrame, frozen=True, kw_only=True, tag="systemMessage"):
    """A word on a channel."""

    data: SystemData


class PingFrame(_ClientFrame, frozen=True, tag="ping"):
    """A question whether somebody is there; the data come back."""

    data: msgspec.Raw = EMPTY_OBJECT


class PongFrame(_ClientFrame, frozen=True, tag="pong"):
    """The answer to a ping."""

    data: msgspec.Raw = EMPTY_OBJECT


ClientFrame: TypeAlias = ChatFrame | StatusFrame | SystemFrame | PingFrame | PongFrame
