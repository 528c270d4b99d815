"""The profile store in memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from presence.profile_store import Known
from presence.profiles import folded, revise, terms
from shared.errors import Conflict, NotFound
from shared.ids import UserId
from shared.presence_api import Profile, ProfileChange


class FakeProfileStore:
    def __init__(self) -> None:
        self.users: dict[UserId, Profile] = {}
        self._named: set[UserId] = set()

    async def know(self, user_id: UserId, name: str | None, *, at: datetime) -> Known:
        self._check()
        self._meet(user_id, name or user_id, at)
        known = self.users[user_id]
        if name and name != known.name and user_id not in self._named:
            self.users[user_id] = msgspec.structs.replace(known, name=name)
            return Known(self.users[user_id], renamed=True)
        return Known(known)

    async def profiles(self, user_ids: Collection[UserId]) -> Mapping[UserId, Profile]:
        self._check()
        return {user_id: self.users[user_id] for user_id in user_ids if user_id in self.users}

    async def search(self, prefix: str, *, after: UserId | None, limit: int) -> Sequence[Profile]:
        self._check()
        found = [
            profile
            for user_id, profile in sorted(self.users.items())
            if user_id > (after or "")
            and any(term.startswith(prefix) for term in terms(user_id, profile.name, profile.username))
        ]
        return found[:limit]

    async def change_profile(self, user_id: UserId, change: ProfileChange) -> Profile:
        self._check()
        if user_id not in self.users:
            raise NotFound("There is no such user.", user_id=user_id)
        after = revise(self.users[user_id], change)
        taken = {folded(other.username) for other in self.users.values() if other.username and other.user_id != user_id}
        if after.username is not None and folded(after.username) in taken:
            raise Conflict("The username is taken.", username=after.username)
        if change.name is not msgspec.UNSET:
            self._named.add(user_id)
        self.users[user_id] = after
        return after

    def _meet(self, user_id: UserId, name: str, at: datetime) -> None:
        self.users.setdefault(user_id, Profile(user_id=user_id, name=name, created_at=at))

    def _check(self) -> None:
        raise NotImplementedError
