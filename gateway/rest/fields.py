"""The fields that bodies, paths and queries of the REST API are made of."""

from functools import lru_cache
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from fastapi import Header, Path, Query
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.content import MAX_EMOJI
from shared.history_api import MAX_PAGE
from shared.ids import ID_PATTERN

MAX_SEQ = 2**53 - 1
MAX_NAME_CHARS = 128
MAX_URL_CHARS = 2048
MAX_CURSOR_CHARS = 1024
# pydantic's own regex engine knows no look-ahead, and its $ matches at the very end only.
PATTERN = ID_PATTERN.removesuffix(r"(?!\n)$") + "$"
_ID_OR_NUMBER = {"anyOf": [{"type": "string", "pattern": PATTERN}, {"type": "integer", "minimum": 1}]}


def _in_utf8(text: str) -> str:
    """Refuse half a surrogate pair, which JSON can write and nothing else can."""
    if not text.isascii():
        text.encode()
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("there must be more in it than spaces")
    return text


def _number_as_text(value: object) -> object:
    """Let a number stand where an id may; True is an integer to Python alone."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_SEQ:
        return str(value)
    return value


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(not each.isprintable() for each in text):
        raise ValueError("it must be an http or https address")
    return text


@lru_cache(maxsize=1)  # it reads a directory tree
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _time_zone(name: str) -> str:
    if name not in _time_zones():
        raise ValueError("it must be a time zone's IANA name, as Europe/Berlin")
    return name


Text = Annotated[str, AfterValidator(_in_utf8)]
Name = Annotated[Text, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_not_blank)]
IdField = Annotated[str, Field(pattern=PATTERN)]
IdOrNumber = Annotated[
    str, Field(pattern=PATTERN), BeforeValidator(_number_as_text), WithJsonSchema(_ID_OR_NUMBER)
]  # of a conversation or a message
Username = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{2,32}$")]
WebAddress = Annotated[Text, Field(max_length=MAX_URL_CHARS), AfterValidator(_web_address)]
TimeZone = Annotated[Text, Field(max_length=64), AfterValidator(_time_zone)]

ConversationPath = Annotated[str, Path(pattern=PATTERN, description="a conversation's id or number")]
MessagePath = Annotated[str, Path(pattern=PATTERN, description="a message's id or number")]
UserPath = Annotated[str, Path(pattern=PATTERN)]
DevicePath = Annotated[str, Path(pattern=PATTERN)]
EmojiPath = Annotated[
    str,
    Path(min_length=1, max_length=MAX_EMOJI, description="percent-encoded"),
    AfterValidator(_in_utf8),
]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=128)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS, description="next_cursor of the page before")]
Before = Annotated[int | None, Query(ge=1, le=MAX_SEQ, description="the page just before this seq")]
After = Annotated[int | None, Query(ge=0, le=MAX_SEQ, description="the page just after this seq")]
Seq = Annotated[int, Query(ge=1, le=MAX_SEQ, description="of the message")]
