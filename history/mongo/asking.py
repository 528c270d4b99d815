"""What the reader asks of MongoDB, and how it reads the answers that are more than one document each."""

from collections.abc import Collection, Mapping
from datetime import datetime

from history.documents import Document, membership_of
from history.mongo.watermarks import TRAIL
from history.reading import Step, Trail
from shared.commands import Stage
from shared.ids import ConversationId, UserId

ALTERNATIVES = 100  # in one $or: planning thousands of them takes MongoDB longer than its deadline
WITHOUT_EDITS: Document = {"edits": 0}  # what a message said before is as long as the message, each time


def log(conversation_id: ConversationId, *, after: int, until: int | None) -> Document:
    """Ask for the entries of a log after a version, up to and with another."""
    version = {"$gt": after} if until is None else {"$gt": after, "$lte": until}
    return {"conversation_id": conversation_id, "version": version}


def ends(conversation_ids: Collection[ConversationId]) -> list[Document]:
    """Ask for each conversation's last entry, as `last`; MongoDB jumps from one to the next, as for `ends_of_logs`."""
    return [
        {"$match": {"conversation_id": {"$in": list(conversation_ids)}}},
        {"$sort": {"conversation_id": -1, "version": -1}},
        {"$group": {"_id": "$conversation_id", "last": {"$first": "$$ROOT"}}},
    ]


def at_places(places: Mapping[ConversationId, int]) -> Document:
    """Ask for the messages with these seqs."""
    return {"$or": [{"conversation_id": each, "seq": seq} for each, seq in places.items()]}


def between(low: int, high: int | None) -> Document:
    """Ask for what lies between two seqs; `seq` is above zero, or MongoDB leaves the index of messages alone."""
    query: Document = {"$gt": max(low, 0)}
    if high is not None:
        query["$lt"] = high
    return query


def unread(user_id: UserId, after: Mapping[ConversationId, int]) -> list[Document]:
    """Ask how many messages of others, not deleted and not hidden, follow a seq, by conversation."""
    return [
        {
            "$match": {
                "$or": [{"conversation_id": each, "seq": between(seq, None)} for each, seq in after.items()],
                "sender_id": {"$ne": user_id},
                "deleted_at": None,
                "hidden_for.user_id": {"$ne": user_id},
            }
        },
        {"$group": {"_id": "$conversation_id", "unread": {"$sum": 1}}},
    ]


def members_of(conversation_id: ConversationId, after: UserId | None = None) -> Document:
    """Ask for present members after one of them, by the documents' ids: these are in the order of the users'."""
    first = f"{conversation_id}/{after or ''}"
    return {"_id": {"$gt": first, "$lt": f"{conversation_id}0"}, "left_version": None}  # 0 comes after the slash


def trail_of(document: Document) -> Trail:
    """Read a member with the last moves of their watermarks."""
    delivered = document.get("delivered_trail", ())
    read = document.get("read_trail", ())
    return Trail(
        membership_of(document),
        tuple(_step(Stage.DELIVERED, each) for each in delivered),
        tuple(_step(Stage.READ, each) for each in read),
        whole_delivered=_is_whole(delivered, document["delivered_at"]),
        whole_read=_is_whole(read, document["read_at"]),
    )


def _is_whole(trail: Collection[Document], moved_at: datetime | None) -> bool:
    """Tell whether a trail holds every move: it may have been cut, or begun after the first ones."""
    return moved_at is None or 0 < len(trail) < TRAIL


def _step(stage: Stage, document: Document) -> Step:
    return Step(stage, document["seq"], document["at"], document.get("pushed_at"), document.get("gateway_id"))
