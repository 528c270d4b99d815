"""The profile store on MongoDB."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec
from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from presence.mongo.connection import Document, MongoConnection
from presence.profile_store import Known
from presence.profiles import folded, revise, terms
from shared.errors import Conflict, NotFound
from shared.ids import UserId
from shared.presence_api import Profile, ProfileChange

OPTIONAL = ("username", "avatar_url", "bio", "time_zone")
PROFILE = dict.fromkeys(("name", "named", "first_seen", "search", *OPTIONAL), 1)
BY_SEARCH = [("search", ASCENDING), ("_id", ASCENDING)]


class MongoProfiles(MongoConnection):
    """`ProfileStore` on MongoDB."""

    async def know(self, user_id: UserId, name: str | None, *, at: datetime) -> Known:
        """See `ProfileStore.know`."""
        with self._asking():
            user = await self._users.find_one({"_id": user_id}, PROFILE)
            if user is None:
                return Known(_profile(await self._make(user_id, name or user_id, at)))
            known = _profile(user)
            new_name = name if name and not user.get("named") else known.name
            search = terms(user_id, new_name, known.username)
            if (known.name, user.get("search")) == (new_name, search):
                return Known(known)
            unchanged = {"_id": user_id, "name": known.name, "username": known.username}
            done = await self._users.update_one(unchanged, {"$set": {"name": new_name, "search": search}})
        if not done.matched_count:  # changed in this moment: theirs is as good
            return Known(known)
        return Known(msgspec.structs.replace(known, name=new_name), renamed=new_name != known.name)

    async def profiles(self, user_ids: Collection[UserId]) -> Mapping[UserId, Profile]:
        """See `ProfileStore.profiles`."""
        with self._asking():
            found = self._users.find({"_id": {"$in": list(user_ids)}}, PROFILE)
            return {UserId(user["_id"]): _profile(user) async for user in found}

    async def search(self, prefix: str, *, after: UserId | None, limit: int) -> Sequence[Profile]:
        """See `ProfileStore.search`: ids from the index alone, however many match, then the profiles of one page."""
        query: Document = {"_id": {"$gt": after or ""}}
        with self._asking():
            found = self._users.find(query | ({"search": begins_with(prefix)} if prefix else {}), {"_id": 1})
            if prefix:
                found = found.hint(BY_SEARCH)
            ids = [user["_id"] async for user in found.sort("_id", ASCENDING).limit(limit)]
            profiles = await self.profiles(ids)
        return [profiles[user_id] for user_id in ids if user_id in profiles]

    async def change_profile(self, user_id: UserId, change: ProfileChange) -> Profile:
        """See `ProfileStore.change_profile`: carried out on the name and username that it was worked out from."""
        with self._asking():
            while True:
                user = await self._users.find_one({"_id": user_id}, PROFILE)
                if user is None:
                    raise NotFound("There is no such user.", user_id=user_id)
                before = _profile(user)
                after = revise(before, change)
                unchanged = {"_id": user_id, "name": before.name, "username": before.username}
                try:
                    done = await self._users.update_one(unchanged, _revision(after, change))
                except DuplicateKeyError as error:
                    raise Conflict("The username is taken.", username=after.username) from error
                if done.matched_count:
                    return after

    async def _make(self, user_id: UserId, name: str, at: datetime) -> Document:
        made = await self._users.find_one_and_update(
            {"_id": user_id},
            {"$setOnInsert": newcomer(user_id, name, at)},
            PROFILE,
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert made is not None  # it was made, here or in this moment elsewhere
        return made


def newcomer(user_id: UserId, name: str, at: datetime) -> Document:
    """Give the fields of a user who is seen for the first time."""
    return {
        "name": name,
        "named": False,
        "first_seen": at,
        "search": terms(user_id, name, None),
        "devices": 0,
        "online": False,
    }


def begins_with(prefix: str) -> Document:
    """Match a term by its beginning, in the form that an index can be searched by."""
    return {"$regex": "^" + re.escape(prefix)}


def _profile(user: Document) -> Profile:
    return Profile(
        user_id=UserId(user["_id"]),
        name=user["name"],
        created_at=user["first_seen"],
        **{name: user[name] for name in OPTIONAL if name in user},
    )


def _revision(after: Profile, change: ProfileChange) -> Document:
    """Write what the change names, and what follows from it; no more, for others may change the rest meanwhile."""
    given: Document = {name: getattr(change, name) for name in OPTIONAL}
    given = {name: value for name, value in given.items() if value is not msgspec.UNSET}
    if "username" in given:
        given["username_key"] = None if after.username is None else folded(after.username)
    fields: Document = {"search": terms(after.user_id, after.name, after.username)}
    if change.name is not msgspec.UNSET:
        fields |= {"name": after.name, "named": True}
    fields |= {name: value for name, value in given.items() if value is not None}
    taken_away = {name: "" for name, value in given.items() if value is None}
    return {"$set": fields} | ({"$unset": taken_away} if taken_away else {})
