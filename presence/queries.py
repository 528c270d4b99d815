"""Answer the other services' questions from the store, and do what they ask for."""

import re
from collections.abc import Sequence
from typing import Protocol

import msgspec

from presence import metrics
from presence.account_store import AccountStore
from presence.erasure import Erasable
from presence.outbound import Outbound
from presence.profile_store import ProfileStore
from presence.profiles import MAX_TERM_CHARS, folded
from presence.store import PresenceStore
from shared.clock import Clock
from shared.errors import Invalid, NotFound
from shared.events import DeviceSignedOut, ProfileChanged, SignOutReason
from shared.ids import ID_PATTERN, DeviceId, UserId
from shared.presence_api import (
    MAX_POSITIONS,
    MAX_USERS,
    Account,
    Device,
    DevicePosition,
    Here,
    Login,
    Presence,
    Profile,
    ProfileChange,
    ProfilePage,
    Registration,
)

_ID = re.compile(ID_PATTERN)


class Store(PresenceStore, ProfileStore, AccountStore, Erasable, Protocol):
    """Who is there, who they are and how they sign in, in one database."""


class StoredPresence:
    """The `PresenceQueries` of the presence service itself. What changes is told to the gateways before the answer."""

    def __init__(self, store: Store, outbound: Outbound, *, clock: Clock) -> None:
        self._store = store
        self._outbound = outbound
        self._clock = clock

    async def presence_of(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """Give the presence of each: who is online is seen now, who never connected is offline."""
        known = await self._store.standings(user_ids)
        return {
            user_id: self._as_of_now(
                known[user_id].told if user_id in known else Presence(user_id=user_id, status="offline")
            )
            for user_id in user_ids
        }

    async def account(self, user_id: UserId, name: str | None) -> Account:
        """Let a user be known by their token's name, unless they gave one, and tell what counts here."""
        known = await self._store.know(user_id, name, at=self._clock.now())
        if known.renamed:
            await self._tell(known.profile)
        signed_out = await self._store.signed_out_of(user_id)
        return Account(user_id=user_id, name=known.profile.name, signed_out=dict(signed_out))

    async def profiles(self, user_ids: Sequence[UserId]) -> dict[UserId, Profile]:
        """Give the profiles of those users who have one."""
        return dict(await self._store.profiles(user_ids))

    async def search(self, text: str, *, limit: int, cursor: str | None) -> ProfilePage:
        """Find users whose id, name, a word of it, or username begins with a text. Raises: Invalid."""
        if cursor is not None and not _ID.match(cursor):
            raise Invalid("The cursor is not one of this server's; search without one.", cursor=cursor)
        if not 1 <= limit <= MAX_USERS:
            raise Invalid(f"The limit must be 1 to {MAX_USERS}.", limit=limit)
        prefix = folded(text.strip())
        if len(prefix) > MAX_TERM_CHARS or "\0" in prefix:  # MongoDB's patterns end at a NUL
            return ProfilePage(users=(), next_cursor=None)
        after = None if cursor is None else UserId(cursor)
        page = await self._store.search(prefix, after=after, limit=limit + 1)
        users = tuple(page[:limit])
        return ProfilePage(users=users, next_cursor=users[-1].user_id if len(page) > limit else None)

    async def change_profile(self, user_id: UserId, change: ProfileChange) -> Profile:
        """Change a profile; told again where it is so already. Raises: NotFound, Conflict."""
        profile = await self._store.change_profile(user_id, change)
        await self._tell(profile)
        return profile

    async def devices(self, user_id: UserId) -> tuple[Device, ...]:
        """Give the devices a user has signed in with, last seen first."""
        return tuple(await self._store.devices_of(user_id))

    async def sign_out(self, user_id: UserId, device_id: DeviceId, *, known: bool = True) -> None:
        """End the sessions of a device, and let its tokens from before count no more. Raises: NotFound."""
        at = self._clock.now()
        if not await self._store.sign_out(user_id, device_id, at=at, known=known):
            raise NotFound("There is no such device.", device_id=device_id)
        reason = SignOutReason.KICKED
        await self._outbound.tell_all([DeviceSignedOut(user_id=user_id, device_id=device_id, reason=reason, at=at)])
        metrics.SIGNED_OUT.labels(reason).inc()

    async def online(self, *, limit: int) -> tuple[Here, ...]:
        """Give users who are connected and seen by others, the latest connection first."""
        return tuple(await self._store.here(limit=max(1, min(limit, MAX_USERS))))

    async def position(self, user_id: UserId, device_id: DeviceId) -> str | None:
        """Give the position that was kept last for a device."""
        return await self._store.position(user_id, device_id)

    async def keep_positions(self, positions: Sequence[DevicePosition]) -> None:
        """Keep positions of devices. Raises: Invalid (too many)."""
        if len(positions) > MAX_POSITIONS:
            raise Invalid(f"At most {MAX_POSITIONS} positions at a time.", positions=len(positions))
        await self._store.keep_positions(positions)

    async def register(self, registration: Registration) -> Login:
        """Make an account and its user. Raises: Conflict, Invalid (a username is never another one's address)."""
        if "@" in registration.username:
            raise Invalid("An address is no username.", field="username")
        if "@" not in registration.email:
            raise Invalid("This is no address.", field="email")
        return await self._store.register(registration, at=self._clock.now())

    async def login(self, name: str) -> Login | None:
        """Find an account by its email, or the username that its user has now."""
        return await self._store.login(name)

    async def login_of(self, user_id: UserId) -> Login | None:
        """Give the account of a user, if they have one."""
        return await self._store.login_of(user_id)

    async def _tell(self, profile: Profile) -> None:
        changed = ProfileChanged(
            user_id=profile.user_id, name=profile.name, username=profile.username, avatar_url=profile.avatar_url
        )
        await self._outbound.tell_all([changed])
        metrics.PROFILES_CHANGED.inc()

    def _as_of_now(self, presence: Presence) -> Presence:
        if presence.status == "offline":
            return presence
        return msgspec.structs.replace(presence, last_seen=self._clock.now())
