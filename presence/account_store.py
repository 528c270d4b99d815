"""Where the accounts of those who sign in with a password are kept, as a port."""

from datetime import datetime
from typing import Protocol

from shared.ids import UserId
from shared.presence_api import Login, Registration


class AccountStore(Protocol):
    """Durable once a call returns. Every call raises StoreUnavailable where it cannot be carried out in time."""

    async def register(self, registration: Registration, *, at: datetime) -> Login:
        """Make an account and the profile of its user: both, or neither.

        User ids are 1, 2, 3 … in decimals, those left out that are a user's already. Raises: Conflict (`field` is
        username, where another account or user has it, or email; without regard to case).
        """
        ...

    async def login(self, name: str) -> Login | None:
        """Find an account by its email, or by the username that its user has now, without regard to case.

        Where nobody has that username now it is whose it was.
        """
        ...

    async def login_of(self, user_id: UserId) -> Login | None:
        """Give the account of a user, if they have one."""
        ...
