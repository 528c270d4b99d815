"""The bodies that the REST API takes."""

from typing import Any

from pydantic import BaseModel, Field

from gateway.content import MAX_MENTIONS
from gateway.rest.fields import MAX_SEQ, IdField, IdOrNumber, Name, Text, TimeZone, Username, WebAddress
from shared.commands import ConversationKind, HistoryRule, JoinRule, MessageType, Role, Stage

MAX_MEMBERS = 500  # named in one request
MAX_BIO_CHARS = 1024


class TokenWish(BaseModel):
    """Whose token to mint."""

    user_id: IdField
    name: Text | None = Field(None, min_length=1, max_length=128)
    device_id: IdField | None = None


class ConversationWish(BaseModel):
    """The conversation to make. A direct one names the other user in `member_ids` and nothing else."""

    kind: ConversationKind
    member_ids: list[IdField] = Field(default_factory=list, max_length=MAX_MEMBERS)
    name: Name | None = Field(None, description="channels and spaces need one")
    parent_id: IdOrNumber | None = Field(None, description="of a channel: the space it is in")
    metadata: dict[str, Any] = Field(default_factory=dict)
    history: HistoryRule | None = Field(None, description="default: full in channels and spaces, joined in groups")
    join: JoinRule | None = Field(None, description="default: open in channels, invite elsewhere")


class ConversationPatch(BaseModel):
    """What to change of a conversation; what is absent or null stays as it is."""

    name: Name | None = None
    metadata: dict[str, Any] | None = None
    history: HistoryRule | None = Field(None, description="for those who join from now on")
    join: JoinRule | None = None


class MemberWish(BaseModel):
    """The role of one member; without one: as it is, a new one's is member."""

    role: Role | None = None


class MembersWish(BaseModel):
    """Who is to be a member, and with which role; without one: as it is, a new one's is member."""

    user_ids: list[IdField] = Field(min_length=1, max_length=MAX_MEMBERS)
    role: Role | None = None


class MessageWish(BaseModel):
    """The message to send; without a client_id, or an Idempotency-Key, sending it again stores it again."""

    client_id: Text | None = Field(None, min_length=1, max_length=128)
    type: MessageType = MessageType.TEXT
    content: Text = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    reply_to: IdOrNumber | None = None
    mentions: list[IdField] = Field(default_factory=list, max_length=MAX_MENTIONS)
    attachments: list[Any] = Field(default_factory=list)


class MessagePatch(BaseModel):
    """What a message is to say; metadata and mentions stay as they are where they are absent or null."""

    content: Text
    metadata: dict[str, Any] | None = None
    mentions: list[IdField] | None = Field(None, max_length=MAX_MENTIONS)


class ReceiptWish(BaseModel):
    """What the caller has received or read: everything up to `seq`."""

    conversation_id: IdOrNumber
    seq: int = Field(ge=1, le=MAX_SEQ)
    stage: Stage


class ProfilePatch(BaseModel):
    """What to change of one's profile: what is absent stays as it is, what is null is taken away."""

    name: Name = Field(default_factory=str, description="cannot be taken away")
    username: Username | None = Field(None, description="unique, without regard to case")
    avatar_url: WebAddress | None = None
    bio: Text | None = Field(None, max_length=MAX_BIO_CHARS)
    time_zone: TimeZone | None = Field(None, description="an IANA name, as Europe/Berlin")
