"""What a wire keeps in some metadata, under its name: `{"service": {…}}`; the rest belongs to others."""

from typing import TypeVar

import msgspec

from gateway.dialects.reading import UNREADABLE
from shared.commands import EMPTY_OBJECT

StructT = TypeVar("StructT", bound=msgspec.Struct)
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def own_part(metadata: msgspec.Raw, wire: str, kind: type[StructT]) -> StructT:
    """Read a wire's part of some metadata; of what others wrote there, whatever it is, nothing."""
    try:
        parts = _PARTS.decode(metadata)
        return msgspec.json.decode(parts[wire], type=kind) if wire in parts else kind()
    except UNREADABLE:
        return kind()


def with_part(metadata: msgspec.Raw, wire: str, part: msgspec.Struct) -> msgspec.Raw:
    """Give the metadata with another part of this wire, or without one where that says nothing."""
    parts = _PARTS.decode(metadata)
    written = msgspec.json.encode(part)
    if written != b"{}":
        return msgspec.Raw(msgspec.json.encode({**parts, wire: msgspec.Raw(written)}))
    parts.pop(wire, None)
    return msgspec.Raw(msgspec.json.encode(parts)) if parts else EMPTY_OBJECT
