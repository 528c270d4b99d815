"""The presence stores that the contract is for: the fake one of the tests, and the one on MongoDB."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from presence.mongo.store import MongoPresenceStore
from presence.queries import Store
from shared.settings import MongoSettings
from tests.fakes.presence_store import FakePresenceStore


def mongo_settings(url: str, database: str = "unused") -> MongoSettings:
    return MongoSettings(mongo_url=SecretStr(url), mongo_database=database, mongo_timeout_s=5)


@pytest.fixture(params=["fake", "mongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "fake":
        yield FakePresenceStore()
        return
    settings = mongo_settings(request.getfixturevalue("mongo_url"), request.getfixturevalue("mongo_database"))
    async with MongoPresenceStore.open(settings) as opened:
        await opened.create_indexes()
        yield opened
