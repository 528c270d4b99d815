"""A user's conversations as that user sees them: single ones, pages of them, and what is unread in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from history.paging import fitting, page_size, read_moment, write_moment
from history.reading import LogReader, Membership, Tip
from history.views import departed, shown
from shared.history_api import Conversation, ConversationPage
from shared.ids import ConversationId, UserId

UNREAD_WINDOW = 1000  # unread messages are counted among this many last ones of a conversation


@dataclass(frozen=True, slots=True)
class Place:
    """One of a user's conversations, and how far its log goes for them."""

    id: ConversationId
    membership: Membership
    version: int
    changed_at: datetime


class Listing:
    """The conversations of users."""

    def __init__(self, store: LogReader) -> None:
        self._store = store

    async def places(self, memberships: Mapping[ConversationId, Membership]) -> list[Place]:
        """Give a user's conversations, what changed first coming first; for who has left one, their leaving is last."""
        tips = await self._store.tips([each for each, membership in memberships.items() if membership.present])
        places = [_place(each, membership, tips.get(each)) for each, membership in memberships.items()]
        return sorted(places, key=lambda place: (place.changed_at, place.id))

    async def page(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        """Give a page of the conversations that a user is in, last activity first."""
        memberships = present(await self._store.memberships(user_id))
        places = (await self.places(memberships))[::-1]
        if cursor is not None:
            last = read_moment(cursor)
            places = [place for place in places if (place.changed_at, place.id) < last]
        page = places[: page_size(limit)]
        views = await self.views(user_id, {place.id: place.membership for place in page})
        count, _ = fitting(size_of(views.get(place.id)) for place in page)
        page = page[:count]
        more = len(page) < len(places)
        return ConversationPage(
            conversations=tuple(views[place.id] for place in page if place.id in views),
            next_cursor=write_moment(page[-1].changed_at, page[-1].id) if more else None,
        )

    async def views(
        self, user_id: UserId, memberships: Mapping[ConversationId, Membership]
    ) -> dict[ConversationId, Conversation]:
        """Give conversations as the user sees them, in the given order.

        One that is just being made has its members before itself: it is left out.
        """
        if not memberships:
            return {}
        records = await self._store.records(memberships.keys())
        there = [each for each, membership in memberships.items() if membership.present and each in records]
        ends = await self._store.ends(there)
        marks = await self._store.watermarks([each for each in there if records[each].member_ids is not None])
        unread = await self._unread(user_id, memberships, {each: end.tip.seq for each, end in ends.items()})
        views: dict[ConversationId, Conversation] = {}
        for each, membership in memberships.items():
            if each not in records:
                continue
            if membership.present:
                end = ends.get(each)
                views[each] = shown(records[each], membership, end, marks.get(each, ()), unread.get(each, 0))
            else:
                views[each] = departed(records[each], membership)
        return views

    async def unread(self, user_id: UserId) -> dict[ConversationId, int]:
        """Count the unread messages of each conversation that has any."""
        memberships = present(await self._store.memberships(user_id))
        tips = await self._store.tips(memberships.keys())
        return await self._unread(user_id, memberships, {each: tip.seq for each, tip in tips.items()})

    async def _unread(
        self, user_id: UserId, memberships: Mapping[ConversationId, Membership], last: Mapping[ConversationId, int]
    ) -> dict[ConversationId, int]:
        """Count after what is read, and never what came before the user did."""
        after = {
            each: max(memberships[each].watermark.read_seq, memberships[each].first_seq - 1, seq - UNREAD_WINDOW)
            for each, seq in last.items()
        }
        behind = {each: seq for each, seq in after.items() if seq < last[each]}
        return await self._store.unread(user_id, behind) if behind else {}


def present(memberships: Mapping[ConversationId, Membership]) -> dict[ConversationId, Membership]:
    """Leave out what the user has left."""
    return {each: membership for each, membership in memberships.items() if membership.present}


def size_of(conversation: Conversation | None) -> int:
    """Give the bytes of a conversation in an answer."""
    return 0 if conversation is None else len(msgspec.json.encode(conversation))


def _place(conversation_id: ConversationId, membership: Membership, tip: Tip | None) -> Place:
    if membership.left_version is not None:
        left_at = membership.left_at or membership.joined_at
        return Place(conversation_id, membership, membership.left_version, left_at)
    if tip is None:
        return Place(conversation_id, membership, 0, membership.joined_at)
    return Place(conversation_id, membership, tip.version, max(membership.joined_at, tip.at))
