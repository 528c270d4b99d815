"""What every presence store does: the fake one of the tests, and the one on MongoDB."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace as altered
from pydantic import SecretStr
from pymongo import MongoClient

from presence.mongo.store import MongoPresenceStore
from presence.store import MAX_DEVICES, Changes, Connection, PresenceStore, Sign, Standing
from shared.commands import SetStatus, Status
from shared.errors import StoreUnavailable
from shared.events import Session, SessionClosed
from shared.ids import DeviceId, GatewayId, SessionId, UserId
from shared.presence_api import Presence
from shared.settings import MongoSettings
from tests.contract import presence_stores
from tests.contract.presence_stores import mongo_settings
from tests.fakes.clock import START
from tests.fakes.sessions import closing, session
from tests.nodes import Mongo

ALICE, BOB = UserId("alice"), UserId("bob")
GATEWAY, OTHER = GatewayId("gw-1"), GatewayId("gw-2")
LEASE = timedelta(seconds=15)
SECOND = timedelta(seconds=1)
LATER = START + timedelta(hours=1)


store = presence_stores.store


def changes(
    *opened: Session,
    closed: tuple[SessionClosed, ...] = (),
    stopped: tuple[GatewayId, ...] = (),
    announced: dict[GatewayId, bool] | None = None,
    alive: tuple[GatewayId, ...] = (),
    statuses: tuple[SetStatus, ...] = (),
) -> Changes:
    gateways = {item.gateway_id for item in opened} | set(announced or {}) | set(alive)
    return Changes(
        opened={item.id: item for item in opened},
        closed={item.session_id: item for item in closed},
        stopped=dict.fromkeys(stopped, START),
        alive={gateway_id: Sign(START, LEASE.total_seconds()) for gateway_id in gateways},
        announced=announced or {},
        statuses={said.user_id: said for said in statuses},
    )


def connected(user_id: UserId, device_id: str = "phone", gone_at: datetime | None = None) -> Connection:
    return Connection(user_id, DeviceId(device_id), START, gone_at)


def online(user_id: UserId, devices: int = 1) -> Standing:
    told = Presence(user_id=user_id, status="online", last_seen=START, devices=devices)
    return Standing(told, devices=devices)


def choose(user_id: UserId, status: Status, text: str = "", *, at: datetime = START) -> SetStatus:
    return SetStatus(user_id=user_id, session_id=SessionId("s1"), status=status, text=text, at=at)


async def test_an_opened_session_is_a_connection_of_its_user(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice"), session("s2", "bob")), at=START)
    assert await store.connections([ALICE]) == [connected(ALICE)]


async def test_a_batch_carried_out_twice_changes_nothing_more(store: PresenceStore) -> None:
    first = session("s1", "alice")
    for _ in range(2):
        await store.apply(changes(first), at=START)
    assert len(await store.connections([ALICE])) == 1
    for _ in range(2):
        await store.apply(changes(closed=(closing(first, START + SECOND),)), at=START + SECOND)
    assert await store.connections([ALICE]) == [connected(ALICE, gone_at=START + SECOND)]


async def test_a_session_that_closed_is_gone_from_then_on_and_dropped_when_settled(store: PresenceStore) -> None:
    first, second = session("s1", "alice"), session("s2", "bob")
    await store.apply(changes(first, second), at=START)
    await store.apply(changes(closed=(closing(first, START + SECOND), closing(second, START + 2 * SECOND))), at=START)
    assert await store.gone_users(until=START, limit=10) == frozenset()
    assert await store.gone_users(until=START + SECOND, limit=10) == {ALICE}
    await store.settle([ALICE, BOB], [], gone_until=START + SECOND)
    assert await store.connections([ALICE, BOB]) == [connected(BOB, gone_at=START + 2 * SECOND)]


async def test_a_session_closed_by_a_repeated_batch_went_when_it_went_first(store: PresenceStore) -> None:
    first = session("s1", "alice")
    await store.apply(changes(first), at=START)
    for at in (START + SECOND, START + 2 * SECOND):
        await store.apply(changes(closed=(closing(first, at),)), at=at)
    assert await store.connections([ALICE]) == [connected(ALICE, gone_at=START + SECOND)]


async def test_a_standing_is_what_was_settled(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice")), at=START)
    before = (await store.standings([ALICE, BOB]))[ALICE]
    assert before == Standing(Presence(user_id=ALICE, status="offline"))
    await store.settle([ALICE], [online(ALICE, 2)], gone_until=START)
    assert await store.standings([ALICE, BOB]) == {ALICE: online(ALICE, 2)}


async def test_what_a_user_chose_outlasts_what_is_settled(store: PresenceStore) -> None:
    away = choose(ALICE, Status.AWAY, "Lunch")
    await store.apply(changes(session("s1", "alice"), statuses=(away,)), at=START)
    await store.settle([ALICE], [online(ALICE)], gone_until=START)
    assert (await store.standings([ALICE]))[ALICE] == replace(online(ALICE), chosen=Status.AWAY, text="Lunch")


async def test_of_two_wishes_the_later_stands_in_whatever_order_they_come(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice")), at=START)
    for said in (choose(ALICE, Status.DND, at=START + SECOND), choose(ALICE, Status.AWAY)):
        await store.apply(changes(statuses=(said,)), at=START)
    assert (await store.standings([ALICE]))[ALICE].chosen is Status.DND


async def test_an_invisible_user_has_devices_and_is_told_to_have_none(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice"), statuses=(choose(ALICE, Status.INVISIBLE),)), at=START)
    hidden = Standing(Presence(user_id=ALICE, status="offline"), devices=1, chosen=Status.INVISIBLE)
    await store.settle([ALICE], [hidden], gone_until=START)
    assert await store.standings([ALICE]) == {ALICE: hidden}
    assert await store.online(after=None, limit=10) == [hidden]


async def test_closing_for_an_unknown_user_makes_no_user(store: PresenceStore) -> None:
    gone = closing(session("s1", "alice"), START)
    await store.apply(changes(closed=(gone,), statuses=(choose(ALICE, Status.AWAY),)), at=START)
    assert await store.standings([ALICE]) == {}
    assert await store.connections([ALICE]) == []
    assert await store.devices_of(ALICE) == []


async def test_a_stopped_gateway_leaves_its_connections_to_be_settled(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice"), session("s2", "bob", gateway_id=OTHER)), at=START)
    await store.apply(changes(stopped=(GATEWAY,)), at=START + SECOND)
    assert await store.connections([ALICE]) == [connected(ALICE, gone_at=START)]
    assert await store.gone_users(until=LATER, limit=10) == {ALICE}
    await store.settle([ALICE], [], gone_until=LATER)
    assert await store.connections([ALICE, BOB]) == [connected(BOB)]
    assert await store.gone_users(until=LATER, limit=10) == frozenset()


async def test_a_gateway_that_starts_again_at_once_keeps_its_new_sessions(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice")), at=START)
    await store.apply(changes(session("s2", "bob"), stopped=(GATEWAY,)), at=START + SECOND)
    assert await store.gone_users(until=LATER, limit=10) == {ALICE}
    assert await store.expire(at=START + LEASE, announced_before=START) == ()


async def test_a_lease_runs_from_when_it_was_heard(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice")), at=START)
    await store.apply(changes(alive=(GATEWAY,)), at=START + 5 * SECOND)
    almost = START + 5 * SECOND + LEASE - timedelta(milliseconds=1)
    assert await store.expire(at=almost, announced_before=START) == ()
    assert await store.expire(at=START + 5 * SECOND + LEASE, announced_before=START) == (GATEWAY,)
    assert await store.connections([ALICE]) == [connected(ALICE, gone_at=START)]
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
    assert await store.gone_users(until=LATER, limit=10) == frozenset()
    await store.expire(at=START + 2 * SECOND, announced_before=START + SECOND)
    assert await store.gone_users(until=LATER, limit=10) == {BOB}


async def test_a_session_announced_after_all_is_not_gone(store: PresenceStore) -> None:
    first = session("s1", "alice")
    await store.apply(changes(first), at=START)
    await store.expire(at=START + LEASE, announced_before=START)
    await store.apply(changes(first, announced={GATEWAY: True}), at=START + LEASE)
    assert await store.gone_users(until=LATER, limit=10) == frozenset()
    assert await store.connections([ALICE]) == [connected(ALICE)]


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
    while users := await store.gone_users(until=LATER, limit=2):
        assert len(users) <= 2
        await store.settle(users, [], gone_until=LATER)
        seen |= users
    assert len(seen) == 5


async def test_who_is_online_comes_in_pages_by_user_id(store: PresenceStore) -> None:
    names = [UserId(f"user-{n}") for n in range(5)]
    await store.apply(changes(*(session(f"s-{name}", name) for name in names), session("s", "away")), at=START)
    await store.settle(names, [online(name) for name in names], gone_until=START)
    page = await store.online(after=None, limit=2)
    assert [standing.told.user_id for standing in page] == names[:2]
    rest = await store.online(after=names[1], limit=10)
    assert [standing.told.user_id for standing in rest] == names[2:]


async def test_devices_show_when_they_were_seen_and_whether_they_are_there(store: PresenceStore) -> None:
    phone = session("s1", "alice")
    laptop = session("s2", "alice", device_id="laptop", opened_at=START + SECOND)
    await store.apply(changes(phone, laptop), at=START)
    await store.apply(changes(closed=(closing(phone, START + 5 * SECOND),)), at=START)
    first, second = await store.devices_of(ALICE)
    assert (first.info, first.online) == (phone.device, False)
    assert (first.first_seen, first.last_seen) == (START, START + 5 * SECOND)
    assert (second.info, second.online, second.last_seen) == (laptop.device, True, START + SECOND)


async def test_of_too_many_devices_those_last_seen_are_given(store: PresenceStore) -> None:
    many = [session(f"s{n}", "alice", device_id=f"d{n}", opened_at=START + n * SECOND) for n in range(MAX_DEVICES + 1)]
    await store.apply(changes(*many), at=START)
    given = [device.info.id for device in await store.devices_of(ALICE)]
    assert given == [each.device.id for each in reversed(many[1:])]


async def test_nothing_is_kept_of_a_device_with_a_made_up_id(store: PresenceStore) -> None:
    named = session("s1", "alice")
    nameless = altered(named, device=altered(named.device, ephemeral=True))
    await store.apply(changes(nameless), at=START)
    assert await store.connections([ALICE]) == [connected(ALICE)]
    assert await store.devices_of(ALICE) == []


async def test_a_device_that_was_signed_out_stays_so_when_it_comes_back(store: PresenceStore) -> None:
    phone, laptop = session("s1", "alice"), session("s2", "alice", device_id="laptop")
    await store.apply(changes(phone, laptop), at=START)
    assert await store.sign_out(ALICE, phone.device.id, at=START + SECOND) is True
    await store.apply(changes(session("s3", "alice", opened_at=START + 2 * SECOND)), at=START)
    assert await store.signed_out_of(ALICE) == {"phone": START + SECOND}
    assert await store.signed_out_of(BOB) == {}
    asked = [(ALICE, phone.device.id), (ALICE, laptop.device.id), (BOB, phone.device.id)]
    assert await store.signed_out(asked) == {(ALICE, "phone"): START + SECOND}
    assert [device.signed_out_at for device in await store.devices_of(ALICE)] == [START + SECOND, None]


async def test_an_unknown_device_is_not_signed_out(store: PresenceStore) -> None:
    await store.apply(changes(session("s1", "alice")), at=START)
    assert await store.sign_out(BOB, DeviceId("phone"), at=START) is False
    assert await store.devices_of(BOB) == []
    assert await store.signed_out_of(BOB) == {}


async def test_a_device_that_never_connected_can_be_signed_out_where_it_need_not_be_known(store: PresenceStore) -> None:
    assert await store.sign_out(BOB, DeviceId("web"), at=START, known=False) is True
    assert await store.sign_out(BOB, DeviceId("web"), at=LATER, known=False) is True
    assert await store.signed_out_of(BOB) == {DeviceId("web"): LATER}
    [device] = await store.devices_of(BOB)
    assert (device.first_seen, device.online, device.info.name) == (START, False, "")


async def test_the_store_on_mongodb_says_so_when_it_cannot(new_mongo: Callable[[], Mongo]) -> None:
    away = new_mongo()
    settings = MongoSettings(mongo_url=SecretStr(away.url), mongo_timeout_s=0.2)
    async with MongoPresenceStore.open(settings) as store:
        assert await store.ping() is False
        with pytest.raises(StoreUnavailable):
            await store.apply(changes(session("s1", "alice")), at=START)
        with pytest.raises(StoreUnavailable):
            await store.standings([ALICE])


async def test_a_crowd_is_one_write_a_collection(mongo_url: str, mongo_database: str) -> None:
    crowd = [session(f"s{n}", f"user-{n}") for n in range(1000)]
    users = [item.user_id for item in crowd]
    again = tuple(closing(item, START) for item in crowd)
    async with MongoPresenceStore.open(mongo_settings(mongo_url, mongo_database)) as store:
        await store.create_indexes()
        with MongoClient[dict[str, Any]](mongo_url) as client:
            before = written(client)
            await store.apply(changes(*crowd), at=START)
            await store.settle(users, [online(user_id) for user_id in users], gone_until=START)
            came = written(client)
            await store.apply(changes(closed=again), at=START)
            await store.settle(users, [], gone_until=START)
            assert came - before <= 4 + 2 + 2  # two, should the server do something for itself
            assert written(client) - came <= 2 + 1 + 2


def written(client: MongoClient[dict[str, Any]]) -> int:
    """Give how many writes the server has been asked for, bulk writes counting once."""
    commands = client.admin.command("serverStatus")["metrics"]["commands"]
    return sum(commands[name]["total"] for name in ("insert", "update", "delete", "findAndModify"))


@pytest.mark.parametrize(
    ("collection", "query", "sort"),
    [
        ("connections", {"user_id": {"$in": ["alice"]}}, None),
        ("connections", {"gateway_id": "gw-1", "gone_at": {"$exists": False}}, None),
        ("connections", {"user_id": "alice", "gone_at": {"$exists": False}}, None),
        ("connections", {"gone_at": {"$lte": START}}, None),
        ("users", {"online": True, "_id": {"$gt": ""}}, "_id"),
        ("users", {"username_key": "alice"}, None),
        ("devices", {"user_id": "alice"}, "last_seen"),
        ("devices", {"user_id": "alice", "signed_out_at": {"$exists": True}}, None),
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
