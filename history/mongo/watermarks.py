"""Move watermarks on MongoDB."""

from collections.abc import Collection, Sequence
from datetime import datetime

from pymongo import UpdateOne

from history import documents
from history.documents import Document, member_id
from history.mongo.heads import MongoHeads
from history.sequence import Head
from history.store import Advanced, Reader
from history.watermarks import Goal, advance, merge
from shared.commands import Acknowledge, Stage
from shared.errors import WarrenError
from shared.ids import ConversationId

TRAIL = 100  # moves that are kept of each watermark


class MongoWatermarks(MongoHeads):
    """Moving watermarks: one read and one bulk write a batch."""

    async def advance(
        self, acknowledgements: Sequence[Acknowledge], *, at: datetime
    ) -> dict[Reader, Advanced | WarrenError]:
        """Move watermarks forward, and keep their last moves."""
        with self._asking():
            heads = await self._heads_up_to(acknowledgements)
            goals, refused = merge(acknowledgements, heads)
            found = self._members.find({"_id": {"$in": [member_id(*reader) for reader in goals]}}, NO_TRAILS)
            members = {
                (each["conversation_id"], each["user_id"]): documents.membership_of(each) async for each in found
            }
            results: dict[Reader, Advanced | WarrenError] = {**refused}
            updates: list[UpdateOne] = []
            for reader, goal in goals.items():
                result = advance(reader, members.get(reader), goal, heads[reader[0]], at)
                results[reader] = result
                if isinstance(result, Advanced) and result.moved:
                    updates.append(UpdateOne({"_id": member_id(*reader)}, _moves(result, goal, at)))
            if updates:
                await self._members.bulk_write(updates, ordered=False)
        return results

    async def _heads_up_to(self, acknowledgements: Collection[Acknowledge]) -> dict[ConversationId, Head]:
        """Give heads, read anew where one ends before what is acknowledged: another writer may have moved on."""
        heads = await self._known_heads({command.conversation_id for command in acknowledgements})
        behind = {
            command.conversation_id
            for command in acknowledgements
            if command.conversation_id in heads and heads[command.conversation_id].seq < command.seq
        }
        self._heads.drop(behind)
        return heads | await self._known_heads(behind)


NO_TRAILS = {"delivered_trail": False, "read_trail": False}


def _moves(result: Advanced, goal: Goal, at: datetime) -> Document:
    """What a watermark's document is raised to: by $max, so that in any order the result is the same."""
    mark = result.watermark
    marks: Document = {"acknowledged_at": at}
    trails: Document = {}
    if Stage.DELIVERED in result.moved:
        marks |= {"delivered_seq": mark.delivered_seq, "delivered_at": at}
        pushed: Document = {"pushed_at": goal.pushed_at, "gateway_id": goal.gateway_id}
        given = {name: value for name, value in pushed.items() if value is not None}
        trails["delivered_trail"] = _kept({"seq": mark.delivered_seq, "at": at, **given})
    if Stage.READ in result.moved:
        marks |= {"read_seq": mark.read_seq, "read_at": at}
        trails["read_trail"] = _kept({"seq": mark.read_seq, "at": at})
    return {"$max": marks, "$push": trails}


def _kept(move: Document) -> Document:
    return {"$each": [move], "$slice": -TRAIL}
