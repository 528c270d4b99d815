"""The account store in memory."""

import itertools
from datetime import datetime

import msgspec

from presence.profiles import folded
from shared.errors import Conflict
from shared.ids import UserId
from shared.presence_api import Login, Profile, Registration
from tests.fakes.profile_store import FakeProfileStore


class FakeAccountStore(FakeProfileStore):
    """`AccountStore`, on the profiles of the `ProfileStore`."""

    def __init__(self) -> None:
        super().__init__()
        self._accounts: dict[UserId, Login] = {}
        self._numbers = itertools.count(1)

    async def register(self, registration: Registration, *, at: datetime) -> Login:
        self._check()
        username, email = folded(registration.username), folded(registration.email)
        taken = [each.username for each in self.users.values()] + [each.username for each in self._accounts.values()]
        if username in {folded(each) for each in taken if each is not None}:
            raise Conflict("The username is taken.", field="username")
        if email in {folded(each.email) for each in self._accounts.values()}:
            raise Conflict("The email is taken.", field="email")
        user_id = next(each for n in self._numbers if (each := UserId(str(n))) not in self.users)
        login = Login(user_id=user_id, created_at=at, **msgspec.structs.asdict(registration))
        self._accounts[user_id] = login
        self.users[user_id] = Profile(user_id=user_id, name=login.full_name, username=login.username, created_at=at)
        self._named.add(user_id)
        return login

    async def login(self, name: str) -> Login | None:
        self._check()
        accounts, key = self._accounts.values(), folded(name)
        if "@" in key:
            return next((each for each in accounts if folded(each.email) == key), None)
        now = next((each.user_id for each in self.users.values() if folded(each.username or "") == key != ""), None)
        if now is not None:
            return self._accounts.get(now)
        return next((each for each in accounts if folded(each.username) == key), None)

    async def login_of(self, user_id: UserId) -> Login | None:
        self._check()
        return self._accounts.get(user_id)
