"""What presence remembers of who users are, as a port."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.ids import UserId
from shared.presence_api import Profile, ProfileChange


@dataclass(frozen=True, slots=True)
class Known:
    """A profile, and whether it has just been given another name."""

    profile: Profile
    renamed: bool = False


class ProfileStore(Protocol):
    """Durable once a call returns. Every call raises StoreUnavailable where it cannot be carried out in time."""

    async def know(self, user_id: UserId, name: str | None, *, at: datetime) -> Known:
        """Give a user's profile, made `at` now if there is none, by the name of their token (None: it says none).

        A token's name gives way to one that the user gave. Writes only where something differs.
        """
        ...

    async def profiles(self, user_ids: Collection[UserId]) -> Mapping[UserId, Profile]:
        """Give the profiles of those users who have one."""
        ...

    async def search(self, prefix: str, *, after: UserId | None, limit: int) -> Sequence[Profile]:
        """Give, by user id from the one after `after`, profiles of which a term begins with `prefix`, as folded."""
        ...

    async def change_profile(self, user_id: UserId, change: ProfileChange) -> Profile:
        """Change a profile. Raises: NotFound, Conflict (the username is taken)."""
        ...
