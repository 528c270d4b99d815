"""What is wrong with a JSON frame `{"type", "id"?, …}` that cannot be decoded."""

import re

import msgspec

from gateway.dialects.base import BadFrame, Frame
from shared.errors import Invalid, InvalidField, UnknownType

# What msgspec raises for a frame that is not one: also for text that has no UTF-8, and for JSON nested too deep.
UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
_MISSING = re.compile("Object missing required field `(.+)`")


class _Header(msgspec.Struct, frozen=True):
    """What can be read of a frame that is wrong otherwise."""

    type: object = None
    id: object = None


_HEADER = msgspec.json.Decoder(_Header)


def frame_id(frame: Frame) -> str | None:
    """Give the id of a frame that may be wrong otherwise."""
    try:
        header = _HEADER.decode(frame)
    except UNREADABLE:
        return None
    return header.id if isinstance(header.id, str) else None


def bad_frame(frame: Frame, error: Exception) -> BadFrame:
    """Tell what is wrong with a frame: it is no JSON object, has no type that we know, or a field is wrong."""
    try:
        header = _HEADER.decode(frame)
    except UNREADABLE:
        return BadFrame(Invalid("A frame is one JSON object, with a type."), unreadable=True)
    reply_to = header.id if isinstance(header.id, str) else None
    if not isinstance(header.type, str):
        untyped = InvalidField("A frame needs a type, a string at $.type.", path="$.type")
        return BadFrame(untyped, reply_to=reply_to, unreadable=True)
    what, _, path = str(error).partition(" - at `")
    if path == "$.type`":
        unknown = UnknownType(f"No frame has the type {header.type[:64]!r}.")
        return BadFrame(unknown, reply_to=reply_to, unreadable=True)
    path = path.rstrip("`") or "$"
    if missing := _MISSING.match(what):
        path = f"{path}.{missing[1]}"
    return BadFrame(InvalidField(f"{what} at {path}.", path=path), reply_to=reply_to)


def longer(frame: Frame, max_bytes: int) -> bool:
    """Compare a frame's UTF-8 with a limit; a character has one to four bytes, so few frames are encoded for it."""
    return len(frame) > max_bytes or (
        len(frame) * 4 > max_bytes and len(frame.encode(errors="surrogatepass")) > max_bytes
    )
