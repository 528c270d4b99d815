"""Messages as history would tell of them."""

from datetime import datetime, timedelta

from shared.commands import ConversationKind, MessageType
from shared.events import Message, MessageStored
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


def conversation(
    last: int, *, room: ConversationId = ROOM, watermarks: tuple[Watermark, ...] = (), unread: int = 0
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


def _at(seq: int) -> datetime:
    return START + timedelta(seconds=seq)
