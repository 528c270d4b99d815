"""Messages as history would tell of them."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.commands import ConversationKind, MessageType, Role
from shared.events import (
    ConversationChange,
    ConversationChanged,
    ConversationState,
    Entry,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageStored,
    ReactionChanged,
)
from shared.history_api import Changes, Conversation, Watermark
from shared.ids import ConversationId, MessageId, UserId
from tests.fakes.clock import START

ROOM = ConversationId("room")
ALICE, BOB = UserId("alice"), UserId("bob")


def message(seq: int, *, room: ConversationId = ROOM, sender: UserId = ALICE, content: str = "") -> Message:
    """The message of this seq; each is one second younger than the one before."""
    return Message(
        id=MessageId(f"{room}-{seq}"),
        number=2**26 + seq,
        conversation_id=room,
        seq=seq,
        version=seq,
        client_id=f"c{seq}",
        sender_id=sender,
        sender_name=sender.title(),
        type=MessageType.TEXT,
        content=content or str(seq),
        created_at=_at(seq),
    )


def stored(seq: int, *, room: ConversationId = ROOM, sender: UserId = ALICE) -> MessageStored:
    previous_at = _at(seq - 1) if seq > 1 else None
    return MessageStored(message=message(seq, room=room, sender=sender), audience=(ALICE, BOB), previous_at=previous_at)


def edited(version: int, *, seq: int, content: str = "edited", **event: object) -> MessageEdited:
    """An edit, the version after the one before; each version is one second younger."""
    after = replace(message(seq), version=version, content=content, edited_at=_at(version))
    return MessageEdited(message=after, at=_at(version), **_entry(version), **event)  # type: ignore[arg-type]


def deleted(version: int, *, seq: int, **event: object) -> MessageDeleted:
    after = replace(message(seq), version=version, content="", deleted_at=_at(version))
    return MessageDeleted(message=after, at=_at(version), **_entry(version), **event)  # type: ignore[arg-type]


def reacted(version: int, *, seq: int, user: UserId = ALICE, removed: bool = False) -> ReactionChanged:
    return ReactionChanged(
        conversation_id=ROOM,
        version=version,
        at=_at(version),
        message_id=message(seq).id,
        seq=seq,
        user_id=user,
        emoji="👍",
        removed=removed,
        **_entry(version),  # type: ignore[arg-type]
    )


def became(
    version: int, change: ConversationChange, *user_ids: UserId, role: Role | None = None, **event: object
) -> ConversationChanged:
    return ConversationChanged(
        conversation_id=ROOM,
        version=version,
        at=_at(version),
        change=change,
        actor_id=ALICE,
        user_ids=user_ids,
        role=role,
        conversation=ConversationState(
            id=ROOM,
            number=1,
            kind=ConversationKind.GROUP,
            created_at=START,
            name="Plans",
            member_count=2,
            members_version=version,
            member_ids=(ALICE, BOB),
        ),
        **_entry(version),  # type: ignore[arg-type]
        **event,  # type: ignore[arg-type]
    )


def _entry(version: int) -> dict[str, object]:
    return {"audience": (ALICE, BOB), "previous_at": _at(version - 1) if version > 1 else None}


def conversation(
    last: int,
    *,
    room: ConversationId = ROOM,
    watermarks: tuple[Watermark, ...] = (),
    unread: int = 0,
    first_seq: int = 1,
) -> Conversation:
    return Conversation(
        id=room,
        number=1,
        kind=ConversationKind.DIRECT,
        member_ids=(ALICE, BOB),
        created_at=START,
        changed_at=_at(last),
        last_seq=last,
        last_version=last,
        last_message=message(last, room=room) if last else None,
        watermarks=watermarks,
        unread=unread,
        first_seq=first_seq,
    )


def changes(
    *seqs: int, room: ConversationId = ROOM, watermarks: tuple[Watermark, ...] = (), limited: bool = False
) -> Changes:
    return Changes(
        conversation=conversation(max(seqs, default=0), room=room, watermarks=watermarks),
        version=max(seqs, default=0),
        events=tuple(stored(seq, room=room) for seq in seqs),
        limited=limited,
        before=seqs[0] if limited else None,
    )


def changed_by(*events: Entry, limited: bool = False) -> Changes:
    """Changes of any kind, as the answer to a sync."""
    last = events[-1].version
    now = replace(conversation(0), last_version=last, changed_at=_at(last))
    return Changes(conversation=now, version=last, events=events, limited=limited, before=1 if limited else None)


def _at(seq: int) -> datetime:
    return START + timedelta(seconds=seq)
