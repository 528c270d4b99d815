"""A process that stops while its database is away does not wait for it."""

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from history.mongo.store import MongoMessageStore
from presence.mongo.store import MongoPresenceStore
from shared.clock import SystemClock
from shared.settings import MongoSettings
from tests.nodes import Mongo

AT_MOST_S = 5.0  # the driver alone waits 30


@pytest.mark.parametrize("kind", [MongoMessageStore, MongoPresenceStore])
async def test_a_store_closes_while_the_database_is_away(
    new_mongo: Callable[[], Mongo], kind: type[MongoMessageStore | MongoPresenceStore]
) -> None:
    clock, node = SystemClock(), new_mongo()
    node.start()
    async with kind.open(MongoSettings(mongo_url=SecretStr(node.url), mongo_timeout_s=10)) as store:
        assert await store.ping()  # leaves the driver a session to take leave of
        node.stop()
        began = clock.monotonic()
    assert clock.monotonic() - began < AT_MOST_S
