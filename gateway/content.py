"""What a message may hold, whichever way it comes in."""

import re
from collections.abc import Mapping, Sized
from typing import Any
from unicodedata import category

import msgspec

from shared.commands import MessageType
from shared.errors import Forbidden, Invalid, InvalidField, TooLarge

MAX_CONTENT_BYTES = 16 * 1024  # of UTF-8
MAX_METADATA_BYTES = 4 * 1024  # as JSON
MAX_METADATA_DEPTH = 32  # every reader on its way must be able to follow, also one that reads by recursion
MAX_MENTIONS = 500
MAX_EMOJI = 32  # characters: a flag or a family is several, and a custom emoji has a name

_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_NOT_SHOWN = ("Cc", "Cs", "Zs", "Zl", "Zp")  # control characters, halves of characters, spaces and breaks


def check_content(content: str, metadata: msgspec.Raw, attachments: Sized | None) -> None:
    """Refuse what no conversation takes. Raises: Invalid, TooLarge."""
    if attachments:
        raise Invalid("Attachments are not supported by this server.")
    # A character has at most four bytes: short content is not encoded just to be measured.
    if len(content) * 4 > MAX_CONTENT_BYTES and (size := len(content.encode())) > MAX_CONTENT_BYTES:
        raise TooLarge("The content is too long.", bytes=size, limit=MAX_CONTENT_BYTES)
    if len(bytes(metadata)) > MAX_METADATA_BYTES:
        raise TooLarge("The metadata is too long.", limit=MAX_METADATA_BYTES)


def check_type(type_: MessageType) -> None:
    """Refuse what only the server itself may say. Raises: Forbidden."""
    if type_ is MessageType.SYSTEM:
        raise Forbidden("Messages of type system come from the server alone.")


def check_emoji(emoji: str, *, path: str = "emoji") -> None:
    """Refuse what is no emoji, nor a name of one. Raises: InvalidField."""
    if not 1 <= len(emoji) <= MAX_EMOJI or any(category(character) in _NOT_SHOWN for character in emoji):
        raise InvalidField(f"An emoji is 1 to {MAX_EMOJI} characters, without spaces.", path=path)


def encode_metadata(metadata: Mapping[str, Any]) -> msgspec.Raw:
    """Write metadata that was decoded already. Raises: InvalidField, for what JSON may say and UTF-8 or 64 bits not."""
    try:
        text = msgspec.json.encode(metadata)
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidField(f"The metadata cannot be kept: {error}.", path="metadata") from error
    _check_depth(text, path="metadata")
    return msgspec.Raw(text)


def metadata_object(metadata: msgspec.Raw) -> msgspec.Raw:
    """Let only a JSON object pass; null counts as an empty one. Raises: InvalidField."""
    text = bytes(metadata)
    if text.startswith(b"{"):
        _check_depth(text, path="$.data.metadata")
        return msgspec.Raw(text)  # a Raw is a window on its whole frame: a copy lets go of it
    if text == b"null":
        return msgspec.Raw(b"{}")
    raise InvalidField("The metadata must be a JSON object at $.data.metadata.", path="$.data.metadata")


def _check_depth(text: bytes, *, path: str) -> None:
    """Refuse JSON that nests too deep; of text that is valid, only that with many brackets is looked at closely."""
    if text.count(b"{") + text.count(b"[") <= MAX_METADATA_DEPTH:
        return
    depth = 0
    for found in _STRING_OR_BRACKET.findall(text):
        if found in b"{[":
            depth += 1
        elif found in b"}]":
            depth -= 1
        if depth > MAX_METADATA_DEPTH:
            raise InvalidField(f"The metadata nests deeper than {MAX_METADATA_DEPTH} levels at {path}.", path=path)
