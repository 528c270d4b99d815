"""What every presence store does: the fake one of the tests, and the one on MongoDB."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import SecretStr
from pymongo import MongoClient

from deploy.local.mongodb import MongoNode
from presence.mongo import MongoPresenceStore
from presence.store import Changes, Connection, PresenceStore, Sign
from shared.errors import StoreUnavailable
from shared.events import PresenceChanged, Session, SessionClosed
from shared.ids import DeviceId, GatewayId, UserId
from shared.settings import MongoSettings
from tests.fakes.clock import START
from tests.fakes.presence_store import FakePresenceStore
from tests.fakes.sessions import closing, session

ALICE, BOB = UserId("alice"), UserId("bob")
GATEWAY, OTHER = GatewayId("gw-1"), GatewayId("gw-2")
LEASE = timedelta(seconds=15)
SECOND = timedelta(seconds=1)


def mongo_settings(url: str, database: str = "unused") -> MongoSettings:
    return MongoSettings(mongo_url=SecretStr(url), mongo_database=database, mongo_timeout_s=5)


@pytest.fixture(params=["fake", "mongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[PresenceStore]:
    if request.param == "fake":
        yield FakePresenceStore()
        return
    settings = mongo_settings(request.getfixturevalue("mongo_url"), request.getfixturevalue("mongo_database"))
    async with MongoPresenceStore.open(settings) as opened:
        await opened.create_indexes()
        yield opened


def changes(
    *opened: Session,
    closed: tuple[SessionClosed, ...] = (),
    stopped: tuple[GatewayId, ...] = (),
    announced: dict[GatewayId, bool] | None = None,
    alive: tuple[GatewayId, ...] = (),
) -> Changes:
    gateways = {item.gateway_id for item in opened} | set(announced or {}) | set(alive)
    return Changes(
        opened={item.id: item for item in opened},
        closed={item.session_id: item for item in closed},
        stopped=dict.fromkeys(stopped, START),
        alive={gateway_id: Sign(START, LEASE.total_seconds()) for gateway_id in gateways},
        announced=announced or {},
    )


def online(user_id: UserId, devices: int = 1) -> PresenceChanged:
    return PresenceChanged(user_id=user_id, status="online", last_seen=START, devices=devices)


async def test_an_opened_session_is_a_connection_of_its_user(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice"), session("s2", "bob")), at=START)
    assert await store.connections([ALICE]) == [Connection(ALICE, DeviceId("phone"))]


async def test_a_batch_carried_out_twice_changes_nothing_more(store: PresenceStore) -> None:
    first = session("s1", "alice")
    for _ in range(2):
        await store.apply(changes(first), at=START)
    assert len(await store.connections([ALICE])) == 1
    for _ in range(2):
        await store.apply(changes(closed=(closing(first, START + SECOND),)), at=START + SECOND)
    assert await store.connections([ALICE]) == []


async def test_presence_is_what_was_settled(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice")), at=START)
    assert (await store.presence_of([ALICE, BOB]))[ALICE].status == "offline"
    await store.settle([ALICE], [online(ALICE, 2)])
    known = await store.presence_of([ALICE, BOB])
    assert known.keys() == {ALICE}
    assert (known[ALICE].status, known[ALICE].devices, known[ALICE].last_seen) == ("online", 2, START)


async def test_last_seen_never_goes_back(store: PresenceStore) -> None:
    opened = session("s1", "alice", opened_at=START + 2 * SECOND)
    await store.apply(changes(opened), at=START)
    await store.apply(changes(closed=(closing(opened, START + SECOND),)), at=START)
    assert (await store.presence_of([ALICE]))[ALICE].last_seen == START + 2 * SECOND
    await store.apply(changes(closed=(closing(opened, START + 3 * SECOND),)), at=START)
    assert (await store.presence_of([ALICE]))[ALICE].last_seen == START + 3 * SECOND


async def test_closing_for_an_unknown_user_makes_no_user(store: PresenceStore) -> None:
    await store.apply(changes(closed=(closing(session("s1", "alice"), START),)), at=START)
    assert await store.presence_of([ALICE]) == {}
    assert await store.devices_of(ALICE) == []


async def test_a_stopped_gateway_leaves_its_connections_to_be_settled(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice"), session("s2", "bob", gateway_id=OTHER)), at=START)
    await store.apply(changes(stopped=(GATEWAY,)), at=START + SECOND)
    assert await store.connections([ALICE]) == [Connection(ALICE, DeviceId("phone"), gone_at=START)]
    assert await store.gone_users(limit=10) == {ALICE}
    await store.settle([ALICE], [])
    assert await store.connections([ALICE, BOB]) == [Connection(BOB, DeviceId("phone"))]
    assert await store.gone_users(limit=10) == frozenset()


async def test_a_gateway_that_starts_again_at_once_keeps_its_new_sessions(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice")), at=START)
    await store.apply(changes(session("s2", "bob"), stopped=(GATEWAY,)), at=START + SECOND)
    assert await store.gone_users(limit=10) == {ALICE}
    assert await store.expire(at=START + LEASE, announced_before=START) == ()


async def test_a_lease_runs_from_when_it_was_heard(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice")), at=START)
    await store.apply(changes(alive=(GATEWAY,)), at=START + 5 * SECOND)
    almost = START + 5 * SECOND + LEASE - timedelta(milliseconds=1)
    assert await store.expire(at=almost, announced_before=START) == ()
    assert await store.expire(at=START + 5 * SECOND + LEASE, announced_before=START) == (GATEWAY,)
    assert await store.connections([ALICE]) == [Connection(ALICE, DeviceId("phone"), gone_at=START)]
    assert await store.expire(at=START + 2 * LEASE, announced_before=START) == ()


async def test_an_opened_session_does_not_shorten_a_longer_lease(store: PresenceStore) -> None:
    long = Changes(opened={}, closed={}, stopped={}, alive={GATEWAY: Sign(START, 60)}, announced={})
    await store.apply(long, at=START)
    await store.apply(changes(session("s1", "alice")), at=START)
    assert await store.expire(at=START + 59 * SECOND, announced_before=START) == ()


async def test_what_an_announcement_leaves_out_is_gone_once_it_must_have_ended(store: PresenceStore) -> None:
    first, second = session("s1", "alice"), session("s2", "bob")
    await store.apply(changes(first, second), at=START)
    await store.apply(changes(first, announced={GATEWAY: True}), at=START + SECOND)
    assert await store.expire(at=START + 2 * SECOND, announced_before=START) == ()
    assert await store.gone_users(limit=10) == frozenset()
    await store.expire(at=START + 2 * SECOND, announced_before=START + SECOND)
    assert await store.gone_users(limit=10) == {BOB}


async def test_a_session_announced_after_all_is_not_gone(store: PresenceStore) -> None:
    first = session("s1", "alice")
    await store.apply(changes(first), at=START)
    await store.expire(at=START + LEASE, announced_before=START)
    await store.apply(changes(first, announced={GATEWAY: True}), at=START + LEASE)
    assert await store.gone_users(limit=10) == frozenset()
    assert await store.connections([ALICE]) == [Connection(ALICE, DeviceId("phone"))]


async def test_a_gateway_counts_as_announced_until_it_is_forgotten(store: PresenceStore) -> None:
    await store.apply(changes(alive=(GATEWAY, OTHER)), at=START)
    assert await store.unannounced([GATEWAY, OTHER]) == {GATEWAY, OTHER}
    await store.apply(changes(announced={GATEWAY: False}), at=START)
    assert await store.unannounced([GATEWAY, OTHER]) == {OTHER}
    await store.apply(changes(stopped=(GATEWAY,)), at=START)
    assert await store.unannounced([GATEWAY]) == {GATEWAY}


async def test_gone_users_come_in_portions(store: PresenceStore) -> None:
    await store.apply(changes(*(session(f"s{n}", f"user-{n}") for n in range(5))), at=START)
    await store.apply(changes(stopped=(GATEWAY,)), at=START)
    seen: set[UserId] = set()
    while users := await store.gone_users(limit=2):
        assert len(users) <= 2
        await store.settle(users, [])
        seen |= users
    assert len(seen) == 5


async def test_who_is_online_comes_in_pages_by_user_id(store: PresenceStore) -> None:
    names = [UserId(f"user-{n}") for n in range(5)]
    await store.apply(changes(*(session(f"s-{name}", name) for name in names), session("s", "away")), at=START)
    await store.settle(names, [online(name) for name in names])
    page = await store.online(after=None, limit=2)
    assert [presence.user_id for presence in page] == names[:2]
    rest = await store.online(after=names[1], limit=10)
    assert [presence.user_id for presence in rest] == names[2:]


async def test_devices_show_when_they_were_seen_and_whether_they_are_there(store: PresenceStore) -> None:
    phone = session("s1", "alice")
    laptop = session("s2", "alice", device_id="laptop", opened_at=START + SECOND)
    await store.apply(changes(phone, laptop), at=START)
    await store.apply(changes(closed=(closing(phone, START + 5 * SECOND),)), at=START)
    first, second = await store.devices_of(ALICE)
    assert (first.info, first.online) == (phone.device, False)
    assert (first.first_seen, first.last_seen) == (START, START + 5 * SECOND)
    assert (second.info, second.online, second.last_seen) == (laptop.device, True, START + SECOND)


async def test_nothing_is_kept_of_a_device_with_a_made_up_id(store: PresenceStore) -> None:
    named = session("s1", "alice")
    nameless = replace(named, device=replace(named.device, ephemeral=True))
    await store.apply(changes(nameless), at=START)
    assert await store.connections([ALICE]) == [Connection(ALICE, named.device.id, None)]
    assert await store.devices_of(ALICE) == []


async def test_the_store_on_mongodb_says_so_when_it_cannot(new_mongo: Callable[[], MongoNode]) -> None:
    away = new_mongo()
    settings = MongoSettings(mongo_url=SecretStr(away.url), mongo_timeout_s=0.2)
    async with MongoPresenceStore.open(settings) as store:
        assert await store.ping() is False
        with pytest.raises(StoreUnavailable):
            await store.apply(changes(session("s1", "alice")), at=START)
        with pytest.raises(StoreUnavailable):
            await store.presence_of([ALICE])


@pytest.mark.parametrize(
    ("collection", "query", "sort"),
    [
        ("connections", {"user_id": {"$in": ["alice"]}}, None),
        ("connections", {"gateway_id": "gw-1", "gone_at": {"$exists": False}}, None),
        ("connections", {"gone_at": {"$exists": True}}, None),
        ("users", {"online": True, "_id": {"$gt": ""}}, "_id"),
        ("devices", {"user_id": "alice"}, "last_seen"),
    ],
)
async def test_every_query_uses_an_index(
    mongo_url: str, mongo_database: str, collection: str, query: dict[str, Any], sort: str | None
) -> None:
    async with MongoPresenceStore.open(mongo_settings(mongo_url, mongo_database)) as store:
        await store.create_indexes()
    with MongoClient[dict[str, Any]](mongo_url) as client:
        found = client[mongo_database][collection].find(query)
        plan = str((found.sort(sort) if sort else found).explain()["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in plan
    assert "COLLSCAN" not in plan
    assert "'SORT'" not in plan
