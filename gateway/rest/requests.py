"""The bodies and parameters that the REST API takes."""

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, Field

from gateway.content import MAX_MENTIONS
from shared.commands import ConversationKind, MessageType, Stage
from shared.history_api import MAX_PAGE
from shared.ids import ID_PATTERN

MAX_SEQ = 2**53 - 1
# pydantic's own regex engine knows no look-ahead, and its $ matches at the very end only.
PATTERN = ID_PATTERN.removesuffix(r"(?!\n)$") + "$"


def _in_utf8(text: str) -> str:
    """Refuse half a surrogate pair, which JSON can write and nothing else can."""
    if not text.isascii():
        text.encode()
    return text


Text = Annotated[str, AfterValidator(_in_utf8)]
IdField = Annotated[str, Field(pattern=PATTERN)]
ConversationPath = Annotated[str, Path(pattern=PATTERN)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Before = Annotated[int | None, Query(ge=1, le=MAX_SEQ, description="the page just before this seq")]
After = Annotated[int | None, Query(ge=0, le=MAX_SEQ, description="the page just after this seq")]


class TokenWish(BaseModel):
    """Whose token to mint."""

    user_id: IdField
    name: Text | None = Field(None, min_length=1, max_length=128)
    device_id: IdField | None = None


class ConversationWish(BaseModel):
    """The conversation to make. This release makes direct ones: `member_ids` names the other user."""

    kind: ConversationKind
    member_ids: list[IdField] = Field(default_factory=list, max_length=MAX_MENTIONS)
    name: Text | None = Field(None, max_length=128)
    metadata: dict[str, Any] = Field(default_factory=dict)


class MessageWish(BaseModel):
    """The message to send; without a client_id, or an Idempotency-Key, sending it again stores it again."""

    client_id: Text | None = Field(None, min_length=1, max_length=128)
    type: MessageType = MessageType.TEXT
    content: Text = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    reply_to: IdField | None = None
    mentions: list[IdField] = Field(default_factory=list, max_length=MAX_MENTIONS)
    attachments: list[Any] = Field(default_factory=list)


class ReceiptWish(BaseModel):
    """What the caller has received or read: everything up to `seq`."""

    conversation_id: IdField
    seq: int = Field(ge=1, le=MAX_SEQ)
    stage: Stage
