"""What history answers: a user's conversations, their messages, and what a reader at a position lacks."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import msgspec

from history.reading import Change, LogReader, Membership, Record, Tip
from history.rules import refuse_stranger
from shared.clock import Clock
from shared.errors import Invalid, NotFound
from shared.events import Message, MessageStored
from shared.history_api import (
    MAX_PAGE,
    Changes,
    Conversation,
    ConversationPage,
    MessagePage,
    SyncAnswer,
    SyncQuery,
    Watermark,
)
from shared.ids import ConversationId, UserId
from shared.position import SETTLE, Position

EPOCH = datetime.fromtimestamp(0, UTC)
MAX_CONVERSATIONS = 100  # in one answer to a sync
MAX_EVENTS = 2000  # in one answer to a sync: an answer ends with the conversation that reaches it
MAX_PAGE_BYTES = 2**20  # of messages as JSON; an answer to a sync ends with the conversation that reaches it
UNREAD_WINDOW = 1000  # unread messages are counted among this many last ones of a conversation
MAX_SEQ = 2**53


@dataclass(frozen=True, slots=True)
class _Place:
    """One of a user's conversations, and how far its log goes."""

    id: ConversationId
    version: int
    changed_at: datetime

    def is_new_to(self, reader: Position) -> bool:
        """Tell whether the reader lacks something of it."""
        had = reader.versions.get(self.id)
        return self.changed_at > reader.floor if had is None else self.version > had


@dataclass(frozen=True, slots=True)
class _Page:
    """The newest of the changes that a reader of one conversation lacks."""

    changes: Sequence[Change] = ()
    limited: bool = False
    size: int = 0  # bytes

    @classmethod
    def of(cls, changes: Sequence[Change]) -> Self:
        """Take as many of the changes as an answer may have."""
        newest = changes[-MAX_PAGE:]
        count, size = _fitting(change.message for change in reversed(newest))
        return cls(newest[-count:], limited=count < len(changes), size=size)


class StoredHistory:
    """`HistoryQueries` on the store."""

    def __init__(self, store: LogReader, *, clock: Clock, max_conversations: int = MAX_CONVERSATIONS) -> None:
        self._store = store
        self._clock = clock
        self._max_conversations = max_conversations

    async def position(self, user_id: UserId) -> Position:
        """Give the position of a reader who has everything that is stored now."""
        floor = self._clock.now() - SETTLE
        return _settled(floor, await self._places(await self._store.memberships(user_id)), {})

    async def sync(self, query: SyncQuery) -> SyncAnswer:
        """Give what changed since a position, page by page, what changed first coming first.

        Conversations in which only watermarks moved come with the last page, all of them. Those that moved near the
        position's floor may be given again: receipts are idempotent.
        """
        settled = self._clock.now() - SETTLE
        since = Position(EPOCH) if query.since is None else Position.from_token(query.since)
        since.versions.update(query.versions)
        memberships = await self._store.memberships(query.user_id)
        places = sorted(await self._places(memberships), key=lambda place: place.changed_at)
        lacking = [place.id for place in places if place.is_new_to(since)]
        found = await self._read(lacking, since)
        has_more = len(found) < len(lacking)
        reached = {place.id: place.version for place in places}
        for conversation_id, page in found.items():
            had = since.versions.get(conversation_id, 0)
            reached[conversation_id] = page.changes[-1].message.version if page.changes else had
            since.versions[conversation_id] = reached[conversation_id]
        if not has_more:
            for conversation_id in await self._store.acknowledged_after(memberships.keys(), since.floor):
                found.setdefault(conversation_id, _Page())
            since = _settled(max(since.floor, settled), places, since.versions)
        views = await self._views(query.user_id, {each: memberships[each] for each in found})
        answer = tuple(_changes(views[each], reached[each], found[each]) for each in found if each in views)
        return SyncAnswer(conversations=answer, since=since.token(), has_more=has_more)

    async def conversations(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        """Give a page of the user's conversations, last activity first."""
        memberships = await self._store.memberships(user_id)
        places = sorted(await self._places(memberships), key=lambda place: (place.changed_at, place.id), reverse=True)
        if cursor is not None:
            last = _read_cursor(cursor)
            places = [place for place in places if (place.changed_at, place.id) < last]
        page = places[: _page(limit)]
        views = await self._views(user_id, {place.id: memberships[place.id] for place in page})
        more = len(page) < len(places)
        next_cursor = _write_cursor(page[-1].changed_at, page[-1].id) if more else None
        return ConversationPage(
            conversations=tuple(views[place.id] for place in page if place.id in views), next_cursor=next_cursor
        )

    async def conversation(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        """Give one conversation."""
        await self._admit(user_id, conversation_id)
        membership = (await self._store.memberships(user_id))[conversation_id]
        return (await self._views(user_id, {conversation_id: membership}))[conversation_id]

    async def messages(
        self, user_id: UserId, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> MessagePage:
        """Give one page of messages."""
        if before is not None and after is not None:
            raise Invalid("Ask for the messages before a seq or after one, not both.")
        if any(seq is not None and abs(seq) > MAX_SEQ for seq in (before, after)):
            raise Invalid("There is no such seq.")
        await self._admit(user_id, conversation_id)
        size = _page(limit)
        found = await self._store.messages(conversation_id, before=before, after=after, limit=size + 1)
        if after is not None:
            count, _ = _fitting(found[:size])
            page = found[:count]
        else:
            count, _ = _fitting(reversed(found[-size:]))
            page = found[-count:]
        marks = await self._store.watermarks([conversation_id])
        return MessagePage(messages=tuple(page), watermarks=marks[conversation_id], has_more=len(page) < len(found))

    async def unread(self, user_id: UserId) -> dict[ConversationId, int]:
        """Count the unread messages of each conversation that has any."""
        memberships = await self._store.memberships(user_id)
        tips = await self._store.tips(memberships.keys())
        return await self._unread(user_id, memberships, {each: tip.seq for each, tip in tips.items()})

    async def members(self, conversation_id: ConversationId) -> tuple[UserId, ...]:
        """Give a conversation's members."""
        return (await self.record(conversation_id)).member_ids

    async def record(self, conversation_id: ConversationId) -> Record:
        """Give a conversation as it is, on nobody's behalf. Raises: NotFound."""
        records = await self._store.records([conversation_id])
        if conversation_id not in records:
            raise NotFound("There is no such conversation.", conversation_id=conversation_id)
        return records[conversation_id]

    async def _admit(self, user_id: UserId, conversation_id: ConversationId) -> None:
        record = (await self._store.records([conversation_id])).get(conversation_id)
        error = refuse_stranger(user_id, conversation_id, None if record is None else record.member_ids)
        if error is not None:
            raise error

    async def _places(self, memberships: Mapping[ConversationId, Membership]) -> list[_Place]:
        tips = await self._store.tips(memberships.keys())
        return [_place(each, membership, tips.get(each)) for each, membership in memberships.items()]

    async def _read(self, conversation_ids: Sequence[ConversationId], since: Position) -> dict[ConversationId, _Page]:
        """Read one answer's worth of changes."""
        found: dict[ConversationId, _Page] = {}
        events = size = 0
        for each in conversation_ids[: self._max_conversations]:
            if events >= MAX_EVENTS or size >= MAX_PAGE_BYTES:
                break
            version = since.versions.get(each)
            changes = await self._store.changes(each, version=version, floor=since.floor, limit=MAX_PAGE + 1)
            found[each] = _Page.of(changes)
            events += len(found[each].changes)
            size += found[each].size
        return found

    async def _views(
        self, user_id: UserId, memberships: Mapping[ConversationId, Membership]
    ) -> dict[ConversationId, Conversation]:
        """Give conversations as one of their members sees them, in the given order.

        One that is just being made has its members before itself: it is left out.
        """
        records = await self._store.records(memberships.keys())
        marks = await self._store.watermarks(memberships.keys())
        last = {each: record.last_message.seq for each, record in records.items() if record.last_message}
        unread = await self._unread(user_id, memberships, last)
        return {each: view(records[each], marks[each], unread.get(each, 0)) for each in memberships if each in records}

    async def _unread(
        self,
        user_id: UserId,
        memberships: Mapping[ConversationId, Membership],
        last: Mapping[ConversationId, int],
    ) -> dict[ConversationId, int]:
        read = {each: memberships[each].watermark.read_seq for each in last}
        after = {each: max(read[each], seq - UNREAD_WINDOW) for each, seq in last.items() if seq > read[each]}
        return await self._store.unread(user_id, after)


def view(record: Record, watermarks: tuple[Watermark, ...], unread: int = 0) -> Conversation:
    """Put a conversation together."""
    last = record.last_message
    return Conversation(
        id=record.id,
        number=record.number,
        kind=record.kind,
        member_ids=record.member_ids,
        created_at=record.created_at,
        changed_at=record.created_at if last is None else max(record.created_at, last.created_at),
        name=record.name,
        metadata=record.metadata,
        last_seq=0 if last is None else last.seq,
        last_version=0 if last is None else last.version,
        last_message=last,
        unread=unread,
        watermarks=watermarks,
    )


def _place(conversation_id: ConversationId, membership: Membership, tip: Tip | None) -> _Place:
    if tip is None:
        return _Place(conversation_id, 0, membership.joined_at)
    return _Place(conversation_id, tip.version, max(membership.joined_at, tip.at))


def _settled(floor: datetime, places: Iterable[_Place], had: Mapping[ConversationId, int]) -> Position:
    """Give the position of a reader who has all places, and of each what it `had` if that is more."""
    recent = (place for place in places if place.changed_at > floor)
    return Position(floor, {place.id: max(place.version, had.get(place.id, 0)) for place in recent})


def _changes(conversation: Conversation, version: int, page: _Page) -> Changes:
    return Changes(
        conversation=conversation,
        version=version,
        events=tuple(
            MessageStored(message=each.message, audience=(), previous_at=each.previous_at) for each in page.changes
        ),
        limited=page.limited,
        before=page.changes[0].message.seq if page.limited else None,
    )


def _fitting(messages: Iterable[Message]) -> tuple[int, int]:
    """Tell how many messages, from the first on, fit into an answer, at least one; and how many bytes they are."""
    count = size = 0
    for message in messages:
        length = len(msgspec.json.encode(message))
        if count and size + length > MAX_PAGE_BYTES:
            break
        count, size = count + 1, size + length
    return count, size


def _page(limit: int) -> int:
    return max(1, min(limit, MAX_PAGE))


def _write_cursor(changed_at: datetime, conversation_id: ConversationId) -> str:
    text = f"{(changed_at - EPOCH) // timedelta(milliseconds=1)}/{conversation_id}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        milliseconds, conversation_id = base64.urlsafe_b64decode(cursor.encode()).decode().split("/")
        return EPOCH + timedelta(milliseconds=int(milliseconds)), conversation_id
    except (ValueError, OverflowError) as error:  # binascii and Unicode errors are ValueErrors
        raise Invalid("The cursor is not one of this server's.") from error
