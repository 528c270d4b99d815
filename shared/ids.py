"""Identifiers: their types, how new ones are made, and how one is derived from another."""

import hashlib
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, NewType

import msgspec
import uuid_utils

ID_PATTERN = r"^[A-Za-z0-9_.@:+-]{1,128}(?!\n)$"  # the lookahead: Python's $ also matches before a last newline

Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN, description="1 to 128 characters of A-Z a-z 0-9 _ . @ : + -")]
UserId = NewType("UserId", str)
DeviceId = NewType("DeviceId", str)
SessionId = NewType("SessionId", str)
GatewayId = NewType("GatewayId", str)
ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", str)

NewId = Callable[[], str]

SEQ_BITS = 26  # a message's number is conversation number × 2²⁶ + seq: below 2⁵³, exact in a JavaScript number
MAX_CONVERSATION_NUMBER = 2**27 - 1
_DIRECT_PREFIX = "d-"


def new_id() -> str:
    """Make a UUIDv7 (RFC 9562 §5.7): unique, and sortable by the time of its creation."""
    return str(uuid_utils.uuid7())


@lru_cache(maxsize=65_536)  # who writes to somebody writes again
def direct_conversation_id(one: UserId, other: UserId) -> ConversationId:
    """Derive the id of the conversation between two users, the same whichever of them asks.

    A hash, not the names joined: ids may hold any separator and may be 128 characters long.
    """
    low, high = sorted((one, other))
    digest = hashlib.blake2b(f"{low}\n{high}".encode(), digest_size=16).hexdigest()
    return ConversationId(_DIRECT_PREFIX + digest)


def keyed_conversation_id(creator_id: UserId, key: str) -> ConversationId:
    """Derive the id of the conversation that a user makes with an idempotency key: asked again, it is the same one."""
    digest = hashlib.blake2b(f"{creator_id}\n{key}".encode(), digest_size=16).hexdigest()
    return ConversationId("k-" + digest)


def is_direct(conversation_id: ConversationId) -> bool:
    """Tell whether the id has the form of a direct conversation's, existing or not."""
    return conversation_id.startswith(_DIRECT_PREFIX)


def shard_of(conversation_id: ConversationId, shards: int) -> int:
    """Give the shard, 0 to shards - 1, that keeps this conversation's order. Stable across processes and releases."""
    return zlib.crc32(conversation_id.encode()) % shards


def message_number(conversation_number: int, seq: int) -> int:
    """Give the integer that stands for a message on wires that know only integers."""
    return (conversation_number << SEQ_BITS) + seq


def is_number(name: str) -> bool:
    """Tell whether a name is a conversation's or message's number: no id that Warren makes is digits alone."""
    return name.isdecimal() and name.isascii() and len(name) <= 16
