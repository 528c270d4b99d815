"""Ask presence over HTTP: the client side of its query API."""

from collections.abc import Sequence

from shared.errors import Conflict, Invalid, NotFound
from shared.ids import DeviceId, UserId
from shared.presence_api import (
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
from shared.presence_wire import (
    AskAccount,
    AskDevices,
    AskKeepPositions,
    AskLogin,
    AskLoginOf,
    AskOnline,
    AskPosition,
    AskPresence,
    AskProfileChange,
    AskProfiles,
    AskRegister,
    AskSearch,
    AskSignOut,
)
from shared.query_http import HttpQueries


class HttpPresence(HttpQueries):
    """The `PresenceQueries` of the other services; `open` makes one.

    Every method raises what presence raised; Unavailable where it cannot be reached, or does not answer in time.
    """

    asked = "Presence"
    errors = (Invalid, NotFound, Conflict)

    async def presence_of(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """Give the presence of each user asked for."""
        return await self._ask(AskPresence(user_ids=tuple(user_ids)), dict[UserId, Presence])

    async def account(self, user_id: UserId, name: str | None) -> Account:
        """Let a user be known, and tell what counts here."""
        return await self._ask(AskAccount(user_id=user_id, name=name), Account)

    async def profiles(self, user_ids: Sequence[UserId]) -> dict[UserId, Profile]:
        """Give the profiles of those users who have one."""
        return await self._ask(AskProfiles(user_ids=tuple(user_ids)), dict[UserId, Profile])

    async def search(self, text: str, *, limit: int, cursor: str | None) -> ProfilePage:
        """Find users by the beginning of a name."""
        return await self._ask(AskSearch(text=text, limit=limit, cursor=cursor), ProfilePage)

    async def change_profile(self, user_id: UserId, change: ProfileChange) -> Profile:
        """Change a profile."""
        return await self._ask(AskProfileChange(user_id=user_id, change=change), Profile)

    async def devices(self, user_id: UserId) -> tuple[Device, ...]:
        """Give the devices a user has signed in with."""
        return await self._ask(AskDevices(user_id=user_id), tuple[Device, ...])

    async def sign_out(self, user_id: UserId, device_id: DeviceId, *, known: bool = True) -> None:
        """End the sessions of a device, and let its tokens from before count no more."""
        return await self._ask(AskSignOut(user_id=user_id, device_id=device_id, known=known), type(None))

    async def online(self, *, limit: int) -> tuple[Here, ...]:
        """Give users who are connected, the latest connection first."""
        return await self._ask(AskOnline(limit=limit), tuple[Here, ...])

    async def position(self, user_id: UserId, device_id: DeviceId) -> str | None:
        """Give the position that was kept last for a device."""
        return await self._find(AskPosition(user_id=user_id, device_id=device_id), str)

    async def keep_positions(self, positions: Sequence[DevicePosition]) -> None:
        """Keep positions of devices."""
        return await self._ask(AskKeepPositions(positions=tuple(positions)), type(None))

    async def register(self, registration: Registration) -> Login:
        """Make an account and its user."""
        return await self._ask(AskRegister(registration=registration), Login)

    async def login(self, name: str) -> Login | None:
        """Find an account by its username or email."""
        return await self._find(AskLogin(name=name), Login)

    async def login_of(self, user_id: UserId) -> Login | None:
        """Give the account of a user."""
        return await self._find(AskLoginOf(user_id=user_id), Login)
