"""The bodies that the devices wire's REST routes take."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

from gateway.rest.fields import PATTERN, IdField, IdOrNumber, Text
from shared.commands import MessageType
from shared.history_api import MAX_PAGE

MAX_MARKED = 200  # messages in one request
MAX_CLIENT_ID_CHARS = 128

SESSION_PATTERN = PATTERN.replace("128", "257")  # a conversation's id, or two devices'
SessionField = Annotated[str, Field(pattern=SESSION_PATTERN)]
ClientId = Annotated[Text, Field(min_length=1, max_length=MAX_CLIENT_ID_CHARS)]


class MarkedAs(StrEnum):
    """What clients may say of messages; only what moves them on counts."""

    PENDING = "pending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


class SendWish(BaseModel):
    """The message to send: to a device, or into a session."""

    recipient_id: IdField | None = None
    session_id: SessionField | None = None
    content: Text
    type: MessageType = MessageType.TEXT
    metadata: dict[str, Any] | None = None
    client_id: ClientId | None = None
    sender_id: str | None = None


class ListWish(BaseModel):
    """Which messages to read."""

    device_id: IdField | None = None
    session_id: SessionField | None = None
    limit: int = Field(50, ge=1, le=MAX_PAGE)
    before_id: IdOrNumber | None = None
    after_id: IdOrNumber | None = None


class StatusWish(BaseModel):
    """What became of messages that the caller received."""

    message_ids: list[IdOrNumber] = Field(max_length=MAX_MARKED)
    status: MarkedAs
