"""The frames of the huddle wire: `{"type", "data", "channel_id"?, "user_id"?, "timestamp"}` in both directions."""

from typing import Annotated, TypeAlias

import msgspec

from gateway.dialects.numbers import MAX_INTEGER, ShownId
from shared.ids import Id

Number = Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]
Name: TypeAlias = Id | Number  # of a channel, a message or a user
NULL = msgspec.Raw(b"null")


class ClientFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Any frame of a client; clients put what a frame is about beside the data, or into it."""

    type: str
    data: msgspec.Raw = NULL
    channel_id: Name | None = None
    user_id: Name | None = None


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """What the data of every frame may name."""

    channel_id: Name | None = None
    user_id: Name | None = None
    author_id: Name | None = None


class TypingData(Data, frozen=True, kw_only=True):
    """`user_typing`: started or stopped."""

    is_typing: bool


class SendData(Data, frozen=True, kw_only=True):
    """`send_message`."""

    content: str = ""
    parent_id: Name | None = None
    client_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    attachment_url: str | None = None
    attachment_type: str | None = None
    attachment_name: str | None = None
    attachment_size: int | None = None


# --- server → client


class ServerFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that the server says."""

    type: str
    data: object
    timestamp: str
    channel_id: ShownId | None = None
    user_id: ShownId | None = None


class DeletedView(msgspec.Struct, frozen=True, kw_only=True):
    """A message is gone."""

    message_id: int
    channel_id: int


class TypingView(msgspec.Struct, frozen=True, kw_only=True):
    """Who is typing, or stopped."""

    user_id: ShownId
    username: str
    channel_id: int
    is_typing: bool


class SightView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who is here, or gone: in a channel that the client shows, or, without one, altogether."""

    user_id: ShownId
    username: str
    channel_id: int | None = None
    action: str | None = None


class ErrorView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something was not done; `client_id` names the message that it was."""

    code: str
    message: str
    retry_after_ms: int | None = None
    details: dict[str, str] = {}
    client_id: str | None = None
