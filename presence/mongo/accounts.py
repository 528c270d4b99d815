"""Accounts of those who sign in with a password, on MongoDB."""

from datetime import datetime
from functools import partial

from motor.motor_asyncio import AsyncIOMotorClientSession
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from presence.mongo.connection import Document, MongoConnection
from presence.mongo.profiles import newcomer
from presence.profiles import folded, terms
from shared.errors import Conflict
from shared.ids import UserId
from shared.presence_api import Login, Registration

FIELDS = {"username_key": "username", "email_key": "email"}
FIELDS_OF_A_LOGIN = ("username", "email", "full_name", "password_hash", "created_at")


class MongoAccounts(MongoConnection):
    """`AccountStore` on MongoDB."""

    async def register(self, registration: Registration, *, at: datetime) -> Login:
        """See `AccountStore.register`: account and profile in one transaction, that is lost to who was there before."""
        with self._asking():
            while True:
                make = partial(self._make_account, await self._next_user_id(), registration, at)
                try:
                    async with await self._client.start_session() as session:
                        return await session.with_transaction(make)
                except DuplicateKeyError as error:
                    key = _key_of(error)
                    if key in FIELDS:
                        field = FIELDS[key]
                        raise Conflict(f"The {field} is taken.", field=field) from error
                    if key != "_id":
                        raise

    async def login(self, name: str) -> Login | None:
        """See `AccountStore.login`."""
        key = folded(name)
        if "@" in key:
            return await self._account({"email_key": key})
        with self._asking():
            user = await self._users.find_one({"username_key": key}, ["_id"])
        return await self._account({"username_key": key} if user is None else {"_id": user["_id"]})

    async def login_of(self, user_id: UserId) -> Login | None:
        """See `AccountStore.login_of`."""
        return await self._account({"_id": user_id})

    async def _account(self, which: Document) -> Login | None:
        with self._asking():
            account = await self._accounts.find_one(which)
        return None if account is None else _login(account)

    async def _next_user_id(self) -> UserId:
        number = await self._account_numbers.find_one_and_update(
            {"_id": "last"}, {"$inc": {"number": 1}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        assert number is not None  # it was made, if it was not there
        return UserId(str(number["number"]))

    async def _make_account(
        self, user_id: UserId, registration: Registration, at: datetime, session: AsyncIOMotorClientSession
    ) -> Login:
        name, username = registration.full_name, registration.username
        profile = newcomer(user_id, name, at) | {
            "_id": user_id,
            "named": True,
            "username": username,
            "username_key": folded(username),
            "search": terms(user_id, name, username),
        }
        account: Document = {
            "_id": user_id,
            "username": username,
            "username_key": folded(username),
            "email": registration.email,
            "email_key": folded(registration.email),
            "full_name": name,
            "password_hash": registration.password_hash,
            "created_at": at,
        }
        await self._users.insert_one(profile, session=session)
        await self._accounts.insert_one(account, session=session)
        return _login(account)


def _key_of(error: DuplicateKeyError) -> str:
    pattern: Document = (error.details or {}).get("keyPattern", {})
    return next(iter(pattern), "")


def _login(account: Document) -> Login:
    return Login(user_id=UserId(account["_id"]), **{name: account[name] for name in FIELDS_OF_A_LOGIN})
