"""The frames that clients of Warren's own protocol, version 1, may send, as types."""

from typing import Annotated, Any, TypeAlias

import msgspec

from gateway.content import MAX_MENTIONS
from shared.commands import EMPTY_OBJECT, DeleteScope, MessageType, Stage, Status
from shared.ids import Id
from shared.presence_api import MAX_USERS

MAX_SEQ = 2**53 - 1  # what a JavaScript number holds exactly

FrameId = Annotated[str, msgspec.Meta(max_length=128)]
ClientId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Label = Annotated[str, msgspec.Meta(max_length=128)]
Seq = Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQ)]
Number = Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQ)]
Name: TypeAlias = Id | Number  # of a conversation or a message
Mentions = Annotated[tuple[Id, ...], msgspec.Meta(max_length=MAX_MENTIONS)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=200)]


class SpokenFor(msgspec.Struct, frozen=True, kw_only=True):
    """Data that clients may not sign: the sender is the authenticated user. A name that contradicts it is refused."""

    sender_id: object = None
    user_id: object = None


class SendData(SpokenFor, frozen=True, kw_only=True):
    """`send`: to a conversation, or to a user."""

    conversation_id: Name | None = None
    to: Id | None = None
    client_id: ClientId | None = None
    type: MessageType = MessageType.TEXT
    content: str = ""
    metadata: msgspec.Raw = EMPTY_OBJECT
    reply_to: Name | None = None
    mentions: Mentions | None = None
    attachments: list[Any] | None = None


class AckData(SpokenFor, frozen=True, kw_only=True):
    """`ack`: everything up to `seq` is received or read."""

    conversation_id: Name
    seq: Seq
    stage: Stage


class TypingData(SpokenFor, frozen=True, kw_only=True):
    """`typing`: started or stopped."""

    conversation_id: Name | None = None
    to: Id | None = None
    active: bool = True


class EditData(SpokenFor, frozen=True, kw_only=True):
    """`edit`: another content; metadata and mentions stay where they are left out."""

    message_id: Name
    content: str
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    mentions: Mentions | None = None


class DeleteData(SpokenFor, frozen=True, kw_only=True):
    """`delete`: for everyone, or from one's own sight."""

    message_id: Name
    scope: DeleteScope = DeleteScope.EVERYONE


class ReactData(SpokenFor, frozen=True, kw_only=True):
    """`react`: with an emoji, or take that back."""

    message_id: Name
    emoji: str
    remove: bool = False


class PresenceData(SpokenFor, frozen=True, kw_only=True):
    """`presence`: be seen otherwise, on all devices."""

    status: Status
    text: Label | None = None


class UsersData(msgspec.Struct, frozen=True, kw_only=True):
    """`subscribe`, `unsubscribe`: be told of the presence of these users, or no more."""

    users: Annotated[tuple[Id, ...], msgspec.Meta(max_length=MAX_USERS)]


class DeviceData(msgspec.Struct, frozen=True, kw_only=True):
    """The device in a `hello`."""

    id: Id | None = None
    name: Label | None = None
    type: Label | None = None
    platform: Label | None = None
    browser: Label | None = None
    os_version: Label | None = None
    app_version: Label | None = None


class HelloData(msgspec.Struct, frozen=True, kw_only=True):
    """`hello`: the first frame where the upgrade carried no token."""

    token: str | None = None
    device: DeviceData | None = None
    since: str | None = None
    echo: bool = True


class HistoryData(msgspec.Struct, frozen=True, kw_only=True):
    """`history`: a page before or after a seq, the newest without one."""

    conversation_id: Name
    before: Seq | None = None
    after: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)] | None = None
    limit: PageSize = 50


class SyncData(msgspec.Struct, frozen=True, kw_only=True):
    """`sync`: what changed since a token; `conversations` says more exactly what is had of some."""

    since: str | None = None
    conversations: dict[Id, Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]] | None = None


class _ClientFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    id: FrameId | None = None


class HelloFrame(_ClientFrame, frozen=True, tag="hello"):
    """Who the client is."""

    data: HelloData = HelloData()


class SendFrame(_ClientFrame, frozen=True, kw_only=True, tag="send"):
    """A message."""

    data: SendData


class AckFrame(_ClientFrame, frozen=True, kw_only=True, tag="ack"):
    """A receipt."""

    data: AckData


class TypingFrame(_ClientFrame, frozen=True, kw_only=True, tag="typing"):
    """A sign of life from a keyboard."""

    data: TypingData


class EditFrame(_ClientFrame, frozen=True, kw_only=True, tag="edit"):
    """Another content of one's own message."""

    data: EditData


class DeleteFrame(_ClientFrame, frozen=True, kw_only=True, tag="delete"):
    """A message that should go."""

    data: DeleteData


class ReactFrame(_ClientFrame, frozen=True, kw_only=True, tag="react"):
    """An emoji on a message."""

    data: ReactData


class PresenceFrame(_ClientFrame, frozen=True, kw_only=True, tag="presence"):
    """How the user wants to be seen."""

    data: PresenceData


class SubscribeFrame(_ClientFrame, frozen=True, kw_only=True, tag="subscribe"):
    """Whose presence is of interest."""

    data: UsersData


class UnsubscribeFrame(_ClientFrame, frozen=True, kw_only=True, tag="unsubscribe"):
    """Whose presence is of interest no more."""

    data: UsersData


class HistoryFrame(_ClientFrame, frozen=True, kw_only=True, tag="history"):
    """A question for old messages."""

    data: HistoryData


class SyncFrame(_ClientFrame, frozen=True, tag="sync"):
    """A question for everything that is new."""

    data: SyncData = SyncData()


class PingFrame(_ClientFrame, frozen=True, tag="ping"):
    """A question whether somebody is there; anything in `data` comes back."""

    data: msgspec.Raw = EMPTY_OBJECT


Speech: TypeAlias = SendFrame | AckFrame | TypingFrame | EditFrame | DeleteFrame | ReactFrame | PresenceFrame
Question: TypeAlias = HistoryFrame | SyncFrame | SubscribeFrame | UnsubscribeFrame
ClientFrame: TypeAlias = Speech | Question | HelloFrame | PingFrame
