"""What a reader at a position lacks, conversation by conversation and page by page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace as with_fields

from history.entries import Telling, messages_wanted
from history.listing import Listing, Place, present, size_of
from history.paging import EPOCH, fitting
from history.reading import Logged, LoggedChange, LoggedMessage, LogReader, Membership, Record
from history.sight import Sight
from shared.clock import Clock
from shared.events import Entry
from shared.history_api import MAX_PAGE, Changes, Conversation, SyncAnswer, SyncQuery
from shared.ids import ConversationId, UserId
from shared.position import SETTLE, Position

MILLISECOND = timedelta(milliseconds=1)
MAX_CONVERSATIONS = 100  # in one answer
MAX_EVENTS = 2000  # in one answer: it ends with the conversation that reaches it
MAX_VERSIONS = 2000  # in a token, in the middle of a sync: half of what fits there
MAX_EVENT_BYTES = 2**20  # as JSON, in one answer: it ends with the conversation that reaches it


@dataclass(frozen=True, slots=True)
class Page:
    """Of the entries that a reader of one conversation lacks, a page; with it they have it up to `version`."""

    version: int
    events: tuple[Entry, ...] = ()
    before: int | None = None  # set where there are more before it: the first seq that the page may hold
    whole: bool = True  # False: there are more after it
    size: int = 0  # bytes


class SyncReader:
    """Answers readers who come back."""

    def __init__(
        self, store: LogReader, listing: Listing, *, clock: Clock, max_conversations: int, max_versions: int
    ) -> None:
        self._store = store
        self._listing = listing
        self._clock = clock
        self._max_conversations = max_conversations
        self._max_versions = max_versions

    async def position(self, user_id: UserId) -> Position:
        """Give the position of a reader who has everything that is stored now."""
        floor = self._clock.now() - SETTLE
        return _settled(floor, await self._places(await self._store.memberships(user_id), floor), {})

    async def answer(self, query: SyncQuery) -> SyncAnswer:
        """Give what changed since a position, page by page, what changed first coming first.

        Conversations in which only watermarks moved come last, those first where none has moved for longest. Those that
        moved near the position's floor may be given again: receipts are idempotent.
        """
        settled = self._clock.now() - SETTLE
        since = Position(EPOCH) if query.since is None else Position.from_token(query.since)
        since.versions.update(query.versions)
        memberships = await self._store.memberships(query.user_id)
        places = await self._places(memberships, settled)
        if query.since is None:
            _forget_left(places, since)
        lacking = [place for place in places if _is_new(place, since)]
        pages = await self._read(lacking, since, query)
        views = await self._listing.views(query.user_id, {each: memberships[each] for each in pages})
        count, _ = fitting(size_of(views.get(each)) for each in pages)
        pages = dict(list(pages.items())[:count])
        since.versions.update((each, page.version if each in views else 0) for each, page in pages.items())
        later = [place for place in lacking if place.id not in pages or not pages[place.id].whole]
        if later:
            answer = tuple(_changes(views[each], page) for each, page in pages.items() if each in views)
            if len(since.versions) > self._max_versions and not query.versions:  # who keeps their own keeps all
                _shorten(since, places, min(settled, later[0].changed_at - MILLISECOND))
            return SyncAnswer(conversations=answer, since=since.token(), has_more=True)
        others = {each: place for each, place in present(memberships).items() if each not in pages}
        moved, until = await self._moved(query.user_id, others, since, settled)
        marks = {place.id: Page(place.version) for place in places if place.id in moved}
        views |= moved
        answer = tuple(_changes(views[each], page) for each, page in (pages | marks).items() if each in views)
        if until is not None:
            since = self._had_until(until, settled, places, since, keep=bool(query.versions))
            return SyncAnswer(conversations=answer, since=since.token(), has_more=True)
        since = _settled(max(since.floor, settled), places, since.versions)
        return SyncAnswer(conversations=answer, since=since.token(), has_more=False)

    async def _places(self, memberships: Mapping[ConversationId, Membership], settled: datetime) -> list[Place]:
        """Give a user's conversations; of one that is just being made, and not there yet, nothing is had."""
        places = await self._listing.places(memberships)
        begun = {place.id for place in places if place.version == 1 and place.changed_at > settled}
        unmade = begun - (await self._store.records(begun)).keys() if begun else begun
        return [replace(place, version=0) if place.id in unmade else place for place in places]

    async def _moved(
        self, user_id: UserId, memberships: Mapping[ConversationId, Membership], since: Position, settled: datetime
    ) -> tuple[dict[ConversationId, Conversation], datetime | None]:
        """Give the conversations in which a watermark moved that the user may see: in large ones only their own.

        Where they are too many for one answer, these are those whose last move was not after a time, which is told.
        """
        last = await self._store.acknowledged_after(memberships.keys(), since.floor)
        times = sorted(last.values())
        until = times[self._max_conversations - 1] if len(times) > self._max_conversations else None
        if until is not None and until < min(settled, times[-1]):
            last = {each: at for each, at in last.items() if at <= until}
        else:  # so lately that their times cannot be trusted yet; nobody reads more than some at that time
            until = None
        views = await self._listing.views(user_id, {each: memberships[each] for each in sorted(last)})
        return {each: v for each, v in views.items() if v.member_ids or _acknowledged(memberships[each], since)}, until

    def _had_until(
        self, until: datetime, settled: datetime, places: Sequence[Place], since: Position, *, keep: bool
    ) -> Position:
        """Give the position of a reader who has all entries, but only those watermarks that moved up to a time."""
        versions = _settled(settled, places, since.versions).versions
        if keep or len(since.versions) <= self._max_versions:
            versions = {**since.versions, **versions}
        return Position(until, versions, given=max(settled, since.given or settled))

    # --- one conversation

    async def _read(self, lacking: Sequence[Place], since: Position, query: SyncQuery) -> dict[ConversationId, Page]:
        """Read one answer's worth of entries."""
        pages: dict[ConversationId, Page] = {}
        events = size = 0
        for place in lacking[: self._max_conversations]:
            if events >= MAX_EVENTS or size >= MAX_EVENT_BYTES:
                break
            page = await self._page(place, since, query)
            pages[place.id] = page
            events += len(page.events)
            size += page.size
        return pages

    async def _page(self, place: Place, since: Position, query: SyncQuery) -> Page:
        had, member = since.versions.get(place.id), place.membership
        fresh = had is not None or member.joined_at > since.floor  # then the version says what is lacking, not the time
        if fresh and not query.past:
            had = max(had or 0, member.joined_version - 1)
        after = max(had or 0, member.since_version)
        floor, until = EPOCH if fresh else since.floor, member.left_version
        found = await self._store.entries(
            place.id, after=after, floor=floor, until=until, limit=MAX_PAGE + 1, newest=not query.oldest_first
        )
        sight = Sight.of(member)
        entries = sight.clip(found)
        if not entries:
            return Page(member.left_version or after)
        skipped = _lacks_before(entries[0], had, floor)
        if query.oldest_first and skipped:
            return await self._page(place, since, with_fields(query, oldest_first=False))
        if query.oldest_first:
            return await self._first(place, entries, sight)
        newest = entries[-MAX_PAGE:]
        events = await self._events(place.id, newest, sight)
        count, size = fitting(_bytes(event) for event in reversed(events))
        shown, first = events[-count:], newest[-count]
        return Page(
            version=member.left_version or entries[-1].version,
            events=tuple(event for event in shown if event is not None),
            before=_seq_at(first) if skipped or count < len(entries) else None,
            size=size,
        )

    async def _first(self, place: Place, entries: Sequence[Logged], sight: Sight) -> Page:
        """Give as many of the entries as fit, from the first on."""
        events = await self._events(place.id, entries[:MAX_PAGE], sight)
        count, size = fitting(map(_bytes, events))
        whole = count == len(entries)
        return Page(
            version=(place.membership.left_version if whole else None) or entries[count - 1].version,
            events=tuple(event for event in events[:count] if event is not None),
            size=size,
            whole=whole,
        )

    async def _events(
        self, conversation_id: ConversationId, entries: Sequence[Logged], sight: Sight
    ) -> list[Entry | None]:
        """Give the events of entries: one each, None for one that the reader may not see.

        What they are about is read after them, so it is as new as they are at least.
        """
        messages = {entry.message.id: entry for entry in entries if isinstance(entry, LoggedMessage)}
        wanted = messages_wanted(entries) - messages.keys()
        if wanted:
            messages |= await self._store.messages_by_id(wanted)
        record: Record | None = None
        if any(isinstance(entry, LoggedChange) for entry in entries):
            record = (await self._store.records([conversation_id])).get(conversation_id)
        telling = Telling(sight, record, messages)
        return [telling.event(entry) for entry in entries]


def _is_new(place: Place, since: Position) -> bool:
    """Tell whether the reader lacks something of a conversation."""
    had = since.versions.get(place.id)
    return place.changed_at > (since.given or since.floor) if had is None else place.version > had


def _shorten(since: Position, places: Iterable[Place], given: datetime) -> None:
    """Take versions off a position that has too many, by saying until when everything that changed last is had.

    One of those conversations that changes again before the sync is over is given again, from the floor on: readers
    know an entry by its version.
    """
    if given > (since.given or since.floor):
        since.given = given
        for place in places:
            if place.changed_at <= given and since.versions.get(place.id, place.version) >= place.version:
                since.versions.pop(place.id, None)


def _forget_left(places: Iterable[Place], since: Position) -> None:
    """Count as had what was left before: a reader who has nothing begins with what the user is in now."""
    for place in places:
        if not place.membership.present:
            since.versions.setdefault(place.id, place.version)


def _settled(floor: datetime, places: Iterable[Place], had: Mapping[ConversationId, int]) -> Position:
    """Give the position of a reader who has all places, and of each what it `had` if that is more."""
    recent = (place for place in places if place.changed_at > floor)
    return Position(floor, {place.id: max(place.version, had.get(place.id, 0)) for place in recent})


def _acknowledged(membership: Membership, since: Position) -> bool:
    return membership.acknowledged_at is not None and membership.acknowledged_at > since.floor


def _changes(conversation: Conversation, page: Page) -> Changes:
    return Changes(
        conversation=conversation,
        version=page.version,
        events=page.events,
        limited=page.before is not None,
        before=page.before,
    )


def _lacks_before(first: Logged, had: int | None, floor: datetime) -> bool:
    """Tell whether there is more between what a reader had and the first entry: they were away, or it has expired.

    Who had nothing lacks nothing: what is left of the log is all there is.
    """
    if had is not None:
        return 0 < had < first.version - 1
    return floor > EPOCH and first.previous_at is not None and first.previous_at > floor


def _seq_at(entry: Logged) -> int:
    """Give the first seq from an entry on: before it are the messages that are older than the entry."""
    return entry.message.seq if isinstance(entry, LoggedMessage) else entry.after_seq + 1


def _bytes(event: Entry | None) -> int:
    return 0 if event is None else len(msgspec.json.encode(event))
