"""Golden vectors of the wires: what is on the wire, and what it means, as JSON files beside each other."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from gateway.dialects.base import BadFrame, Dialect, Errand, Frame, Reply

VECTORS = Path(__file__).parent.parent / "vectors"


def vectors_of(wire: str) -> Callable[[str], dict[str, Any]]:
    """Give what reads a wire's files by name."""
    return partial(_read, VECTORS / wire)


def _read(folder: Path, name: str) -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return vectors


def plain_json(frames: Sequence[Frame]) -> list[object]:
    """Read frames that are JSON."""
    return [json.loads(frame) for frame in frames]


def told(frame: Frame, dialect: Dialect, plain: Callable[[Sequence[Frame]], list[object]] = plain_json) -> object:
    """Say what a dialect makes of a frame, as plain JSON; `plain` reads the frames of a reply."""
    try:
        [made] = dialect.receive(frame)
    except BadFrame as bad:
        return {"code": bad.error.code, "path": bad.error.details.get("path"), "id": bad.reply_to}
    if isinstance(made, Reply):
        return {"reply": plain(made.frames)}
    if isinstance(made.wish, Errand):
        return {"wish": "Errand", "free": made.wish.free, "id": made.reply_to}
    wish = msgspec.json.decode(msgspec.json.encode(made.wish))
    return {"wish": type(made.wish).__name__, "id": made.reply_to, **wish}
