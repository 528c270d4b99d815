"""Events: facts, in the past participle, and the answers that services send to one gateway."""

from datetime import datetime

import msgspec

from shared.commands import EMPTY_OBJECT, ConversationKind, MessageType, Stage
from shared.errors import ErrorBody
from shared.ids import ConversationId, DeviceId, GatewayId, MessageId, SessionId, UserId


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as history keeps it. Times are aware UTC in whole milliseconds."""

    id: MessageId
    number: int
    conversation_id: ConversationId
    seq: int  # 1, 2, 3 … without gaps in its conversation
    version: int  # of the conversation's log; an edit takes the next one
    client_id: str
    sender_id: UserId
    sender_name: str
    type: MessageType
    content: str
    created_at: datetime
    metadata: msgspec.Raw = EMPTY_OBJECT
    reply_to: MessageId | None = None
    mentions: tuple[UserId, ...] = ()
    reactions: dict[str, tuple[UserId, ...]] = {}
    edited_at: datetime | None = None
    deleted_at: datetime | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, tag_field="@type"):
    """Base of the events: on the broker `@type` names the class."""


class MessageStored(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A message has its place and is durable. Repeated after a redelivery; its id, seq and version never change.

    `previous_at` is when the conversation's previous version came to be (None: this is the first). A session that has
    seen nothing of the conversation since it opened tells by it whether it missed something in between.
    """

    message: Message
    audience: tuple[UserId, ...]  # every member, the sender among them
    previous_at: datetime | None = None


class ReceiptAdvanced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A reader's watermark moved: everything up to `seq` is delivered to them, or read by them."""

    conversation_id: ConversationId
    user_id: UserId
    stage: Stage
    seq: int
    at: datetime
    audience: tuple[UserId, ...]


class MessageFailed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A message that had been accepted was given up; its sender must know, wherever they are now."""

    conversation_id: ConversationId
    message_id: MessageId
    client_id: str
    sender_id: UserId
    at: datetime
    error: ErrorBody


class TypingChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A member started or stopped typing."""

    conversation_id: ConversationId
    user_id: UserId
    name: str
    active: bool


# --- answers to the gateway that asked; the envelope's `id` is the id of the command's envelope


class Stored(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The message of a SendMessage is durable. For a repeat: the id and place of the message stored first."""

    message_id: MessageId
    conversation_id: ConversationId
    client_id: str
    seq: int
    version: int
    number: int
    created_at: datetime


class ConversationCreated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The conversation of a CreateConversation is there, made now or before."""

    conversation_id: ConversationId
    number: int
    kind: ConversationKind
    created: bool  # False: it was there already


class Rejected(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A command will never be carried out, and this is why."""

    error: ErrorBody


# --- what delivery hands to one gateway


class Handoff(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An event for those recipients that the gateway holds."""

    recipients: tuple[UserId, ...]
    event: MessageStored | TypingChanged


# --- sessions: gateway → presence, delivery


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client says of the device it runs on."""

    id: DeviceId
    name: str = ""
    type: str = "other"  # desktop, mobile, web, other
    platform: str = ""
    browser: str = ""
    os_version: str = ""
    app_version: str = ""
    ephemeral: bool = False  # the client named none: the id is made up for one session, and nothing is kept of it


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One open socket of one device of one user, on one gateway."""

    id: SessionId
    user_id: UserId
    name: str
    gateway_id: GatewayId
    device: DeviceInfo
    dialect: str
    opened_at: datetime


class SessionOpened(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A socket was authenticated."""

    session: Session


class SessionClosed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A socket is gone."""

    session_id: SessionId
    user_id: UserId
    device_id: DeviceId
    gateway_id: GatewayId
    at: datetime


class SessionsAnnounced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """All the sessions of one gateway, at most 256 an envelope; the answer to SessionsWanted.

    `first` marks where an announcement begins, even one of no session: what was known of this gateway and is not
    announced again is gone.
    """

    gateway_id: GatewayId
    sessions: tuple[Session, ...]
    first: bool = False


class GatewayRefreshed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway is alive: renews the lease of every session it holds."""

    gateway_id: GatewayId
    lease_s: float


class GatewayStopped(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway has drained and holds no session any more."""

    gateway_id: GatewayId


class SessionsWanted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A replica of delivery or presence lacks sessions and asks for all of them.

    On the sessions fanout it asks every gateway; on one gateway's own route it asks that one.
    """

    replica_id: str


class SessionsRouted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Delivery to one gateway: from now on this replica routes to these sessions.

    What the replica handled before is in history already, so the gateway catches these sessions up once from there.
    """

    replica_id: str
    session_ids: tuple[SessionId, ...]


# --- presence → gateways


class PresenceChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A user went online or offline, or changed their number of devices."""

    user_id: UserId
    status: str  # online or offline
    last_seen: datetime
    devices: int
