"""What history answers: to members of conversations, to services, and to operators."""

from collections.abc import Sequence

import msgspec

from history.listing import Listing, present, size_of
from history.paging import fitting, page_size, read_cursor, write_cursor
from history.reading import LoggedMessage, LogReader, Membership, Record
from history.receipts import MAX_RECEIPTS, receipts
from history.rules import refuse_stranger
from history.search import find, wanted
from history.sight import Sight
from history.sync import MAX_CONVERSATIONS, MAX_VERSIONS, SyncReader
from history.timeline import Timeline, timeline
from history.views import bare, joinable, member
from shared.clock import Clock
from shared.commands import JoinRule
from shared.errors import Invalid, NotFound
from shared.events import Message
from shared.history_api import (
    Conversation,
    ConversationPage,
    MemberList,
    MemberPage,
    MessagePage,
    MessagePlace,
    MessageSearch,
    Receipt,
    SyncAnswer,
    SyncQuery,
    Watermark,
)
from shared.ids import MAX_CONVERSATION_NUMBER, SEQ_BITS, ConversationId, MessageId, UserId
from shared.position import Position

MAX_SEQ = 2**53


class StoredHistory:
    """`HistoryQueries` on the store, and what operators ask besides."""

    def __init__(
        self,
        store: LogReader,
        *,
        clock: Clock,
        max_conversations: int = MAX_CONVERSATIONS,
        max_versions: int = MAX_VERSIONS,
    ) -> None:
        self._store = store
        self._listing = Listing(store)
        self._sync = SyncReader(
            store, self._listing, clock=clock, max_conversations=max_conversations, max_versions=max_versions
        )

    # --- all conversations of a user

    async def position(self, user_id: UserId) -> Position:
        """Give the position of a reader who has everything that is stored now."""
        return await self._sync.position(user_id)

    async def sync(self, query: SyncQuery) -> SyncAnswer:
        """Give what changed since a position."""
        return await self._sync.answer(query)

    async def conversations(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        """Give a page of the user's conversations, last activity first."""
        return await self._listing.page(user_id, limit=limit, cursor=cursor)

    async def unread(self, user_id: UserId) -> dict[ConversationId, int]:
        """Count the unread messages of each conversation that has any."""
        return await self._listing.unread(user_id)

    # --- one conversation

    async def conversation(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        """Give one conversation."""
        membership = await self._admit(user_id, conversation_id)
        views = await self._listing.views(user_id, {conversation_id: membership})
        if conversation_id not in views:
            raise _missing(conversation_id)
        return views[conversation_id]

    async def messages(
        self, user_id: UserId, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> MessagePage:
        """Give one page of messages."""
        if before is not None and after is not None:
            raise Invalid("Ask for the messages before a seq or after one, not both.")
        if any(seq is not None and abs(seq) > MAX_SEQ for seq in (before, after)):
            raise Invalid("There is no such seq.")
        membership = await self._admit(user_id, conversation_id)
        size, newest = page_size(limit), after is None
        lower = max(after or 0, membership.first_seq - 1)
        found = await self._store.messages(conversation_id, before=before, after=lower, limit=size + 1, newest=newest)
        sight = Sight.of(membership)
        page = [sight.message(each) for each in (found[-size:] if newest else found[:size])]
        count, _ = fitting(len(msgspec.json.encode(each)) for each in (reversed(page) if newest else page))
        page = page[-count:] if newest else page[:count]
        marks = await self._watermarks(await self.record(conversation_id), membership)
        return MessagePage(messages=tuple(page), watermarks=marks, has_more=len(page) < len(found))

    async def receipts(self, user_id: UserId, conversation_id: ConversationId, seq: int) -> tuple[Receipt, ...]:
        """Tell of each other member whether they have received and read a message."""
        membership = await self._admit(user_id, conversation_id)
        logged = await self._message_at(conversation_id, seq) if membership.first_seq <= seq <= MAX_SEQ else None
        if logged is None:
            raise NotFound("There is no such message.", conversation_id=conversation_id, seq=seq)
        trails = await self._store.trails(conversation_id, MAX_RECEIPTS + 1)  # the sender's own is left out
        return receipts(trails, seq, sender_id=logged.message.sender_id)[:MAX_RECEIPTS]

    async def member_page(
        self, user_id: UserId, conversation_id: ConversationId, *, limit: int, cursor: str | None
    ) -> MemberPage:
        """Give a page of the members, by user id."""
        last = None if cursor is None else UserId(read_cursor(cursor))
        await self._admit(user_id, conversation_id)
        size = page_size(limit)
        found = await self._store.members_after(conversation_id, last, size + 1)
        page = found[:size]
        return MemberPage(
            members=tuple(member(each) for each in page),
            next_cursor=write_cursor(page[-1].user_id) if len(page) < len(found) else None,
        )

    async def channels(self, user_id: UserId, space_id: ConversationId) -> tuple[Conversation, ...]:
        """Give the channels of a space that the user is in or may join, by name."""
        await self._admit(user_id, space_id)
        views = await self._offered(user_id, await self._store.channels(space_id))
        return tuple(sorted(views.values(), key=lambda view: ((view.name or "").casefold(), view.id)))

    async def open_channels(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        """Give a page of the channels without a parent that anybody may join, by id."""
        last = None if cursor is None else ConversationId(read_cursor(cursor))
        found = await self._store.open_channels(last, page_size(limit) + 1)
        views = await self._offered(user_id, found[: page_size(limit)])
        count, _ = fitting(size_of(views[each]) for each in sorted(views))
        page = [views[each] for each in sorted(views)[:count]]
        more = len(page) < len(found)
        return ConversationPage(conversations=tuple(page), next_cursor=write_cursor(page[-1].id) if more else None)

    async def open_channel(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        """Give a conversation that the user may join, as one sees it who is not in it."""
        record = (await self._store.records([conversation_id])).get(conversation_id)
        if record is None or not await self._may_join(user_id, record):
            raise _missing(conversation_id)
        return joinable(record)

    async def _offered(self, user_id: UserId, records: Sequence[Record]) -> dict[ConversationId, Conversation]:
        """Give those of the conversations that the user is in, as they see them, and those that they may join."""
        memberships = present(await self._store.memberships_in(user_id, [record.id for record in records]))
        views = await self._listing.views(user_id, memberships)
        open_ = (each for each in records if each.id not in memberships and each.join is JoinRule.OPEN)
        return views | {each.id: joinable(each) for each in open_}

    # --- finding things

    async def conversation_numbered(self, user_id: UserId, number: int) -> ConversationId:
        """Find a conversation that the user is in, or may join."""
        record = await self._numbered(number)
        if record is None or not (await self._is_in(user_id, record.id) or await self._may_join(user_id, record)):
            raise NotFound("There is no such conversation.", number=number)
        return record.id

    async def conversation_named(self, user_id: UserId, name: str) -> ConversationId:
        """Find a conversation by its name: one that the user is in, or may join."""
        inside = present(await self._store.memberships(user_id))
        record = await self._store.named(name, inside.keys())
        if record is None:
            raise NotFound("There is no such conversation.", name=name)
        return record.id

    async def find_messages(self, search: MessageSearch) -> tuple[Message, ...]:
        """Find messages that the user may see, newest first."""
        sought = wanted(search, page_size(search.limit))
        return await find(self._store, sought, await self._searched(search))

    async def _searched(self, search: MessageSearch) -> dict[ConversationId, Membership]:
        """Give the conversations to look in."""
        if search.conversation_id is not None:
            return {search.conversation_id: await self._admit(search.user_id, search.conversation_id)}
        if search.parent_id is None:
            return present(await self._store.memberships(search.user_id))
        await self._admit(search.user_id, search.parent_id)
        channels = await self._store.channels(search.parent_id)
        return present(await self._store.memberships_in(search.user_id, [each.id for each in channels]))

    async def message_place(self, user_id: UserId, message: MessageId | int) -> MessagePlace:
        """Find a message that the user may read."""
        logged = await self._named(message)
        if logged is not None:
            found = logged.message
            place = await self._membership(user_id, found.conversation_id)
            if place is not None and place.present and found.seq >= place.first_seq:
                return MessagePlace(message_id=found.id, conversation_id=found.conversation_id, seq=found.seq)
        raise NotFound("There is no such message.", message_id=message)

    # --- for services and operators, on nobody's behalf

    async def members(self, conversation_id: ConversationId) -> MemberList:
        """Give a conversation's members. Read after the version, they are of that version or a later one."""
        record = await self.record(conversation_id)
        return MemberList(version=record.members_version, since=await self._store.windows(conversation_id))

    async def record(self, conversation_id: ConversationId) -> Record:
        """Give a conversation as it is. Raises: NotFound."""
        records = await self._store.records([conversation_id])
        if conversation_id not in records:
            raise _missing(conversation_id)
        return records[conversation_id]

    async def overview(self, conversation: ConversationId | int) -> Conversation:
        """Give a conversation with its last message and, where it is not large, all watermarks. Raises: NotFound."""
        record = await (self._numbered(conversation) if isinstance(conversation, int) else self.record(conversation))
        if record is None:
            raise NotFound("There is no such conversation.", number=conversation)
        end = (await self._store.ends([record.id])).get(record.id)
        last = None if end is None or end.last_message is None else end.last_message.message
        marks = await self._watermarks(record, None)
        return msgspec.structs.replace(bare(record, end), last_message=last, watermarks=marks)

    async def timeline(self, message: MessageId | int) -> Timeline:
        """Tell what became of a message; of at most 500 members. Raises: NotFound."""
        logged = await self._named(message)
        if logged is None:
            raise NotFound("There is no such message.", message_id=message)
        return timeline(logged, await self._store.trails(logged.message.conversation_id, MAX_RECEIPTS))

    # --- who may ask, and what for

    async def _admit(self, user_id: UserId, conversation_id: ConversationId) -> Membership:
        """Give the user's place in a conversation. Raises: NotAMember, NotFound."""
        membership = await self._membership(user_id, conversation_id)
        if membership is not None and membership.present:
            return membership
        exists = membership is not None or bool(await self._store.records([conversation_id]))
        refusal = refuse_stranger(user_id, conversation_id, () if exists else None)
        assert refusal is not None
        raise refusal

    async def _membership(self, user_id: UserId, conversation_id: ConversationId) -> Membership | None:
        return (await self._store.memberships_in(user_id, [conversation_id])).get(conversation_id)

    async def _is_in(self, user_id: UserId, conversation_id: ConversationId) -> bool:
        membership = await self._membership(user_id, conversation_id)
        return membership is not None and membership.present

    async def _may_join(self, user_id: UserId, record: Record) -> bool:
        if record.join is not JoinRule.OPEN:
            return False
        return record.parent_id is None or await self._is_in(user_id, record.parent_id)

    async def _watermarks(self, record: Record, own: Membership | None) -> tuple[Watermark, ...]:
        """Give all watermarks, in large rooms the asking user's alone."""
        if record.member_ids is None:
            return () if own is None else (own.watermark,)
        return (await self._store.watermarks([record.id])).get(record.id, ())

    async def _numbered(self, number: int) -> Record | None:
        return await self._store.numbered(number) if 0 < number <= MAX_CONVERSATION_NUMBER else None

    async def _named(self, message: MessageId | int) -> LoggedMessage | None:
        if not isinstance(message, int):
            return (await self._store.messages_by_id([message])).get(message)
        record = await self._numbered(message >> SEQ_BITS)
        return None if record is None else await self._message_at(record.id, message & ((1 << SEQ_BITS) - 1))

    async def _message_at(self, conversation_id: ConversationId, seq: int) -> LoggedMessage | None:
        found = await self._store.messages(conversation_id, before=seq + 1, after=seq - 1, limit=1, newest=True)
        return found[0] if found else None


def _missing(conversation_id: ConversationId) -> NotFound:
    return NotFound("There is no such conversation.", conversation_id=conversation_id)
