"""The messages that clients of the flutter wire may send, as types: JSON objects in the `message` event."""

from typing import Annotated, TypeAlias

import msgspec

from shared.ids import Id

MsgId: TypeAlias = Annotated[str, msgspec.Meta(max_length=128)] | int
Name: TypeAlias = Id | Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]  # of a user, a conversation or a message
Line = Annotated[str, msgspec.Meta(max_length=2048)]

SINGLE, GROUP = 1, 2  # cType
TEXT, IMAGE = -1, -2  # mType


class Attrs(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks, as the sender's client shows it."""

    MSG_TYPE: Line | None = None  # SINGLE or GROUP
    USER_ID: Line | int | None = None
    USER_SEX: Line | int | None = None
    USER_ICON: Line | None = None


class File(msgspec.Struct, frozen=True, kw_only=True):
    """Where a picture or another file lies."""

    url: Line


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a message."""

    attrs: Attrs = Attrs()
    text: str | None = None
    file: File | None = None


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A message: `cd` where it is sent, `cov_data` where it is shown."""

    data: Data
    mType: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = TEXT


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation: with a user, or of a group."""

    tid: Name | None = None
    to_id: Name | None = None
    session_id: Name | None = None
    cType: int | None = None


class Sent(Chat, frozen=True, kw_only=True):
    """`cs_cp2p`, `chat`: a message, or a plain text."""

    cd: Content | None = None
    content: str | None = None
    from_id: Line | int | None = None


class Page(Chat, frozen=True, kw_only=True):
    """`cs_gcds`: the newest messages, or those before one."""

    limit: Annotated[int, msgspec.Meta(ge=1)] = 30
    before: Name | None = None


class Typing(Chat, frozen=True, kw_only=True):
    """`typing`: started or stopped."""

    is_typing: bool = True


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """The device, in an `enter`."""

    pt: Line | None = None  # the platform
    v: Line | int | None = None  # the app's version
    device_id: Id | None = None


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Who enters."""

    id: Line | int | None = None
    name: Line | None = None


class Entrance(msgspec.Struct, frozen=True, kw_only=True):
    """`enter`: who the client is."""

    token: str | None = None
    user: User | None = None
    extra: Extra | None = None


class _ClientMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    msg_id: MsgId | None = None


class Enter(_ClientMessage, frozen=True, kw_only=True, tag="enter"):
    """Who the client is.

    Format::
        {"type": "enter", "payload": {"token": "…", "user": {"id": "42", "name": "Jack"}}, "msg_id": "1628160085000"}
    """

    payload: Entrance = Entrance()


class Ping(_ClientMessage, frozen=True, kw_only=True, tag="ping"):
    """A question whether somebody is there."""


class SendMessage(_ClientMessage, frozen=True, kw_only=True, tag="cs_cp2p"):
    """A message.

    Format::
        {"type": "cs_cp2p", "payload": {"cd": {"data": {"attrs": {…}, "text": "hi"}, "mType": -1}, "tid": "43"},
         "msg_id": "6f3c…"}
    """

    payload: Sent


class PlainMessage(_ClientMessage, frozen=True, kw_only=True, tag="chat"):
    """A plain message; its fields may stand beside the type, too.

    Format::
        {"type": "chat", "payload": {"to_id": "43", "content": "hi"}, "msg_id": "6f3c…"}
    """

    payload: Sent | None = None
    to_id: Name | None = None
    session_id: Name | None = None
    content: str | None = None
    from_id: Line | int | None = None


class GetMessages(_ClientMessage, frozen=True, kw_only=True, tag="cs_gcds"):
    """A question for messages.

    Format::
        {"type": "cs_gcds", "payload": {"cType": 1, "tid": "43", "limit": 30}, "msg_id": "6f3c…"}
    """

    payload: Page


class EnterChat(_ClientMessage, frozen=True, kw_only=True, tag="cs_ain"):
    """The user looks at a chat, and has read it; said again every 40 s."""

    payload: Chat


class LeaveChat(_ClientMessage, frozen=True, kw_only=True, tag="cs_alv"):
    """The user looks at it no more."""

    payload: Chat


class SetTyping(_ClientMessage, frozen=True, kw_only=True, tag="typing"):
    """A sign of life from a keyboard."""

    payload: Typing


Speech: TypeAlias = SendMessage | PlainMessage | GetMessages | EnterChat | LeaveChat | SetTyping
ClientMessage: TypeAlias = Enter | Ping | Speech
