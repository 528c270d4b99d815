"""The message stores that the contract is for: the fake one of the tests, and the one on MongoDB."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from pydantic import SecretStr

from history.mongo.store import MongoMessageStore
from history.store import MessageStore
from shared.settings import MongoSettings
from tests.fakes.history_store import FakeMessageStore


def mongo_settings(url: str, database: str = "unused", timeout_s: float = 10) -> MongoSettings:
    return MongoSettings(mongo_url=SecretStr(url), mongo_database=database, mongo_timeout_s=timeout_s)


@pytest.fixture(params=["fake", "mongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[MessageStore]:
    if request.param == "fake":
        yield FakeMessageStore()
        return
    settings = mongo_settings(request.getfixturevalue("mongo_url"), request.getfixturevalue("mongo_database"))
    async with MongoMessageStore.open(settings) as opened:
        await opened.create_indexes()
        yield opened


@pytest.fixture
async def rivals(mongo_url: str, mongo_database: str) -> AsyncIterator[tuple[MongoMessageStore, MongoMessageStore]]:
    """Two processes that both take a shard for theirs."""
    async with AsyncExitStack() as stack:
        settings = mongo_settings(mongo_url, mongo_database)
        one, other = [await stack.enter_async_context(MongoMessageStore.open(settings)) for _ in range(2)]
        await one.create_indexes()
        yield one, other
