"""Everything that history holds of one user, line by line."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import msgspec
import structlog

from history.custody import Custody, Place, Reaction, Sent
from history.reading import Record, Tip
from history.store import MessageStore
from shared.clock import rfc3339
from shared.ids import ConversationId, MessageId, UserId

PAGE = 200  # messages asked for at once
STRETCH = 5_000  # entries of a log looked through at once
CONVERSATIONS = 200  # asked for at once

log = structlog.get_logger()


class _Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """One line of an export."""


class MembershipLine(_Line, frozen=True, kw_only=True, tag="membership"):
    """A conversation that the user is or was in."""

    conversation_id: ConversationId
    kind: str | None
    name: str | None
    role: str
    joined_at: str
    left_at: str | None


class MoveView(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a receipt: up to which message, and when."""

    stage: str
    seq: int
    at: str


class ReceiptLine(_Line, frozen=True, kw_only=True, tag="receipt"):
    """How far the user has received and read in a conversation, and the last moves there."""

    conversation_id: ConversationId
    delivered_seq: int
    delivered_at: str | None
    read_seq: int
    read_at: str | None
    moves: list[MoveView]


class EditView(msgspec.Struct, frozen=True, kw_only=True):
    """What a message said before an edit."""

    until: str
    content: str
    metadata: msgspec.Raw
    mentions: tuple[UserId, ...]


class MessageLine(_Line, frozen=True, kw_only=True, tag="message"):
    """A message that the user sent."""

    id: MessageId
    conversation_id: ConversationId
    seq: int
    message_type: str
    content: str
    metadata: msgspec.Raw
    reply_to: MessageId | None
    mentions: tuple[UserId, ...]
    sender_name: str
    created_at: str
    edited_at: str | None
    deleted_at: str | None
    edits: list[EditView]


class ReactionLine(_Line, frozen=True, kw_only=True, tag="reaction"):
    """A reaction of the user."""

    conversation_id: ConversationId
    message_id: MessageId
    emoji: str


class EndLine(_Line, frozen=True, kw_only=True, tag="end"):
    """The last line: an export without it was cut off."""

    lines: int  # before this one


class Exports:
    """Tell what is held of a user. A page is taken at a time, so no more than that is ever in memory."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store

    async def begin(self, user_id: UserId) -> AsyncIterator[bytes]:
        """Give the lines, each with its newline. Raises: StoreUnavailable, while nothing has been given yet."""
        return self._encoded(user_id, await self._store.places(user_id))

    async def _encoded(self, user_id: UserId, places: Sequence[Place]) -> AsyncIterator[bytes]:
        count = 0
        async for line in self._lines(user_id, places):
            count += 1
            yield msgspec.json.encode(line) + b"\n"
        yield msgspec.json.encode(EndLine(lines=count)) + b"\n"
        log.info("user_exported", user_id=user_id, lines=count)

    async def _lines(self, user_id: UserId, places: Sequence[Place]) -> AsyncIterator[_Line]:
        for start in range(0, len(places), CONVERSATIONS):
            some = places[start : start + CONVERSATIONS]
            ids = [place.conversation_id for place in some]
            records, tips = await self._store.records(ids), await self._store.tips(ids)
            for place in some:
                record, tip = records.get(place.conversation_id), tips.get(place.conversation_id)
                yield _membership_line(place, record)
                yield _receipt_line(place)
                async for sent in sent_by(self._store, place.conversation_id, user_id):
                    yield _message_line(sent)
                async for reaction in reactions_of(self._store, place.conversation_id, user_id, tip):
                    yield ReactionLine(
                        conversation_id=place.conversation_id, message_id=reaction.message_id, emoji=reaction.emoji
                    )


async def sent_by(store: Custody, conversation_id: ConversationId, user_id: UserId) -> AsyncIterator[Sent]:
    """Give all messages of a user in a conversation, page by page."""
    after = ""
    while page := await store.sent(conversation_id, user_id, after=after, limit=PAGE):
        for sent in page:
            yield sent
        after = page[-1].message.client_id


async def reactions_of(
    store: Custody, conversation_id: ConversationId, user_id: UserId, tip: Tip | None
) -> AsyncIterator[Reaction]:
    """Give all reactions of a user in a conversation, stretch by stretch of its log: no index leads to them."""
    for after in range(0, tip.version if tip else 0, STRETCH):
        for reaction in await store.reactions_of(conversation_id, user_id, after=after, until=after + STRETCH):
            yield reaction


def _membership_line(place: Place, record: Record | None) -> MembershipLine:
    return MembershipLine(
        conversation_id=place.conversation_id,
        kind=record.kind.value if record else None,
        name=record.name if record else None,
        role=str(place.role),
        joined_at=rfc3339(place.joined_at),
        left_at=_time(place.left_at),
    )


def _receipt_line(place: Place) -> ReceiptLine:
    mark = place.watermark
    return ReceiptLine(
        conversation_id=place.conversation_id,
        delivered_seq=mark.delivered_seq,
        delivered_at=_time(mark.delivered_at),
        read_seq=mark.read_seq,
        read_at=_time(mark.read_at),
        moves=[MoveView(stage=move.stage.value, seq=move.seq, at=rfc3339(move.at)) for move in place.moves],
    )


def _message_line(sent: Sent) -> MessageLine:
    message = sent.message
    return MessageLine(
        id=message.id,
        conversation_id=message.conversation_id,
        seq=message.seq,
        message_type=message.type.value,
        content=message.content,
        metadata=message.metadata,
        reply_to=message.reply_to,
        mentions=message.mentions,
        sender_name=message.sender_name,
        created_at=rfc3339(message.created_at),
        edited_at=_time(message.edited_at),
        deleted_at=_time(message.deleted_at),
        edits=[
            EditView(until=rfc3339(each.until), content=each.content, metadata=each.metadata, mentions=each.mentions)
            for each in sent.wordings
        ],
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
