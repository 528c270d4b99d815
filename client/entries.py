"""Reads the entries of a conversation's log from frames, pushed or inside the answer to a sync."""

import logging
from collections.abc import Callable, Iterable

import msgspec

from client.events import ConversationChanged, Entry, MessageDeleted, MessageEdited, MessageReceived, ReactionChanged
from client.wire import Frame, Message, read

log = logging.getLogger("warren.client")

_READERS: dict[str, Callable[[msgspec.Raw], Entry]] = {
    "message": lambda data: MessageReceived(read(data, Message)),
    "message.updated": lambda data: MessageEdited(read(data, Message)),
    "message.deleted": lambda data: MessageDeleted(read(data, Message)),
    "reaction": lambda data: read(data, ReactionChanged),
    "conversation": lambda data: read(data, ConversationChanged),
}


def entry(frame: Frame) -> Entry | None:
    """Read an entry; None where the frame is something else. Raises: msgspec.MsgspecError."""
    reader = _READERS.get(frame.type)
    return None if reader is None else reader(frame.data)


def readable(frames: Iterable[Frame]) -> list[Entry]:
    """Read entries. One that cannot be read is left out: it must not hold up those after it."""
    entries: list[Entry] = []
    for frame in frames:
        try:
            found = entry(frame)
        except msgspec.MsgspecError as error:
            log.warning("an entry cannot be read: %s", error)
            continue
        if found is not None:
            entries.append(found)
    return entries


def place(entry: Entry) -> tuple[str, int]:
    """Tell the conversation and the version of its log."""
    match entry:
        case MessageReceived(message) | MessageEdited(message) | MessageDeleted(message):
            return message.conversation_id, message.version
        case ReactionChanged() | ConversationChanged():
            return entry.conversation_id, entry.version
