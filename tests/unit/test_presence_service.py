"""The presence service on a broker in memory: who is there, who came, who went, and which gateways are dead."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from pydantic import SecretStr

from presence import wiring
from presence.queries import StoredPresence
from presence.settings import PresenceSettings
from presence.store import PresenceStore
from shared.admin import build_admin_app
from shared.broker.api import Deliveries
from shared.broker.memory import MemoryBroker
from shared.broker.topology import PRESENCE, Binding, Queue, QueueKind, Topology
from shared.clock import rfc3339
from shared.envelope import decode_batch
from shared.errors import StoreUnavailable, Unavailable
from shared.events import (
    GatewayRefreshed,
    GatewayStopped,
    PresenceChanged,
    SessionOpened,
    SessionsAnnounced,
    SessionsWanted,
)
from shared.ids import GatewayId, UserId, new_id
from shared.presence_http import HttpPresence
from shared.service import Service
from tests.fakes.clock import START, FakeClock, settle
from tests.fakes.presence_store import FakePresenceStore
from tests.fakes.running import PlayedGateway, running
from tests.fakes.sessions import closing, session

ALICE, BOB = UserId("alice"), UserId("bob")
GATEWAY = GatewayId("gw-1")
TOPOLOGY = Topology(shards=2)
SETTINGS = PresenceSettings.from_env(
    {
        "WARREN_MODE": "development",
        "WARREN_PUBLISH_PACE_S": "0",
        "WARREN_ADMIN_TOKEN": "admin",
        "WARREN_INTERNAL_TOKEN": "internal",
    }
)
REFRESHED = GatewayRefreshed(gateway_id=GATEWAY, lease_s=15)


class ForgetfulStore(FakePresenceStore):
    """Fails once to record what was published."""

    forgetful = False

    async def settle(self, user_ids: Collection[UserId], changed: Sequence[PresenceChanged]) -> None:
        if self.forgetful:
            self.forgetful = False
            raise StoreUnavailable("It is lost between telling and recording.")
        await super().settle(user_ids, changed)


class Presence:
    """Presence processes over one store, a gateway, and someone who hears what is published."""

    def __init__(self, clock: FakeClock, broker: MemoryBroker, gateway: PlayedGateway, heard: Deliveries) -> None:
        self.clock = clock
        self.broker = broker
        self.connections: list[MemoryBroker] = []
        self.store = ForgetfulStore()
        self.gateway = gateway
        self._heard = heard

    def build(self, *, store: PresenceStore | None = None) -> Service:
        self.connections.append(self.broker.connect())
        return wiring.build(
            SETTINGS, broker=self.connections[-1], store=store or self.store, clock=self.clock, new_id=new_id
        )

    async def changes(self) -> list[tuple[str, str, int]]:
        """Give who changed to what since the last call: user, status, devices."""
        await settle()
        bodies = []
        while (delivery := self._heard.waiting()) is not None:
            bodies += [envelope.body for envelope in decode_batch(delivery.body)[0]]
            await delivery.ack()
        changed = [body for body in bodies if isinstance(body, PresenceChanged)]
        return [(change.user_id, change.status, change.devices) for change in changed]

    async def last_seen_s(self, user_id: UserId) -> float:
        """Give when the user was last seen, in seconds since the start."""
        last_seen = (await self.store.presence_of([user_id]))[user_id].last_seen
        assert last_seen is not None
        return (last_seen - START).total_seconds()

    async def live(self, seconds: int) -> None:
        """Let the gateway live on, refreshing."""
        for _ in range(seconds // 5):
            await self.gateway.tell(REFRESHED)
            await self.clock.advance(5)


@pytest.fixture
async def presence() -> AsyncIterator[Presence]:
    clock = FakeClock()
    broker = MemoryBroker(clock)
    await broker.declare(TOPOLOGY)
    ear = Queue("ear", (Binding(PRESENCE),), kind=QueueKind.EXCLUSIVE)
    async with (
        PlayedGateway.open(GATEWAY, broker.connect(), clock) as gateway,
        broker.connect().consume(ear, prefetch=1000) as heard,
    ):
        yield Presence(clock, broker, gateway, heard)


async def test_who_comes_and_goes_is_told(presence: Presence) -> None:
    opened = session("s1", "alice")
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=opened))
        assert await presence.changes() == [("alice", "online", 1)]
        await presence.clock.advance(3)
        await presence.gateway.tell(closing(opened, presence.clock.now()))
        assert await presence.changes() == [("alice", "offline", 0)]
        assert await presence.last_seen_s(ALICE) == 3


async def test_a_batch_is_told_once_a_user(presence: Presence) -> None:
    first, second, passing = session("s1", "alice"), session("s2", "alice", device_id="laptop"), session("s3", "bob")
    async with running(presence.build()):
        await presence.gateway.tell(
            SessionOpened(session=first),
            SessionOpened(session=passing),
            SessionOpened(session=second),
            closing(passing, START),
        )
        assert await presence.changes() == [("alice", "online", 2)]


async def test_a_second_socket_of_the_same_device_changes_nothing(presence: Presence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.changes()
        await presence.gateway.tell(SessionOpened(session=session("s2", "alice")))
        await presence.gateway.tell(closing(session("s1", "alice"), START))
        assert await presence.changes() == []


async def test_a_stopped_gateway_takes_its_sessions_along(presence: Presence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(
            SessionOpened(session=session("s1", "alice")),
            SessionOpened(session=session("s2", "bob")),
            SessionOpened(session=session("s3", "bob", gateway_id="gw-2", device_id="laptop")),
        )
        await presence.changes()
        await presence.gateway.tell(GatewayStopped(gateway_id=GATEWAY))
        assert sorted(await presence.changes()) == [("alice", "offline", 0), ("bob", "online", 1)]


async def test_users_of_a_killed_gateway_are_offline_within_20_s(presence: Presence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.live(30)
        assert await presence.changes() == [("alice", "online", 1)]
        await presence.clock.advance(15)  # the last refresh was 5 s before
        assert await presence.changes() == [("alice", "offline", 0)]
        assert await presence.last_seen_s(ALICE) == 25


async def test_a_gateway_that_refreshes_lives(presence: Presence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.live(120)
        assert await presence.changes() == [("alice", "online", 1)]


async def test_a_restart_takes_no_living_gateway_for_dead(presence: Presence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
    await presence.live(120)
    presence.store.available = False  # so that what waits in the queue is handled after the first ticks
    async with running(presence.build()):
        await presence.clock.advance(3.5)
        presence.store.available = True
        await presence.live(60)
        assert await presence.changes() == [("alice", "online", 1)]


async def test_a_gateway_that_died_while_presence_was_down_is_found_out(presence: Presence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(
            SessionOpened(session=session("s1", "alice", gateway_id="gw-2")),
            SessionOpened(session=session("s2", "bob")),
        )
    await presence.live(120)
    async with running(presence.build()):
        await presence.changes()
        await presence.live(25)
        assert await presence.changes() == [("alice", "offline", 0)]


async def test_a_store_that_was_away_takes_no_living_gateway_for_dead(presence: Presence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.live(30)
        presence.store.available = False
        await presence.live(60)
        await presence.clock.advance(2)  # the next tick comes before the held batch is tried again
        presence.store.available = True
        await presence.live(60)
        assert await presence.changes() == [("alice", "online", 1)]


async def test_what_happened_while_the_store_was_away_is_not_lost(presence: Presence) -> None:
    async with running(presence.build()):
        presence.store.available = False
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        assert await presence.changes() == []
        presence.store.available = True
        await presence.clock.advance(10)
        assert await presence.changes() == [("alice", "online", 1)]


async def test_a_change_that_could_not_be_told_is_told_later(presence: Presence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.changes()
        presence.store.forgetful = True
        await presence.gateway.tell(GatewayStopped(gateway_id=GATEWAY))
        await presence.clock.advance(1)
        assert await presence.changes() == [("alice", "offline", 0)] * 2  # once too often, never lost
        assert (await presence.store.presence_of([ALICE]))[ALICE].status == "offline"


async def test_a_standby_leaves_leases_alone(presence: Presence) -> None:
    away = FakePresenceStore()
    await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
    async with running(presence.build()):
        assert await presence.changes() == [("alice", "online", 1)]
    away.available = False
    async with running(presence.build(store=away)), running(presence.build()):
        await presence.live(60)  # the one that reads cannot renew what it hears of
        assert await presence.changes() == []


async def test_one_that_lost_its_queue_to_another_leaves_leases_alone(presence: Presence) -> None:
    away = FakePresenceStore()
    first = presence.build()
    connection = presence.connections[-1]
    async with running(first):
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.live(30)
        assert await presence.changes() == [("alice", "online", 1)]
        away.available = False
        async with running(presence.build(store=away)):
            connection.break_connection()
            connection.restore()
            await presence.live(60)
            assert await presence.changes() == []


async def test_an_unknown_gateway_is_asked_for_its_sessions_until_it_announces_them(presence: Presence) -> None:
    async with running(presence.build()):
        for _ in range(2):
            await presence.gateway.tell(REFRESHED)
            assert len(await presence.gateway.got(SessionsWanted)) == 1
        announced = SessionsAnnounced(gateway_id=GATEWAY, sessions=(session("s1", "alice"),), first=True)
        await presence.gateway.tell(announced)
        assert await presence.changes() == [("alice", "online", 1)]
        await presence.gateway.tell(REFRESHED)
        assert await presence.gateway.got(SessionsWanted) == []
    async with running(presence.build()):  # the store remembers
        await presence.gateway.tell(REFRESHED)
        assert await presence.gateway.got(SessionsWanted) == []


async def test_a_session_that_is_not_announced_again_is_over(presence: Presence) -> None:
    async with running(presence.build()):
        await presence.gateway.tell(
            SessionOpened(session=session("s1", "alice")), SessionOpened(session=session("s2", "bob"))
        )
        await presence.changes()
        await presence.clock.advance(1)
        await presence.gateway.tell(
            SessionsAnnounced(gateway_id=GATEWAY, sessions=(session("s1", "alice"),), first=True)
        )
        assert await presence.changes() == []
        await presence.live(30)
        assert await presence.changes() == [("bob", "offline", 0)]


@asynccontextmanager
async def asking(presence: Presence, token: str) -> AsyncIterator[httpx.AsyncClient]:
    app = build_admin_app(presence.build(), SETTINGS.admin, asyncio.Event())
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://presence", headers=headers
    ) as client:
        yield client


async def test_services_ask_who_is_there(presence: Presence) -> None:
    async with running(presence.build()), asking(presence, "internal") as client:
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        await presence.clock.advance(7)
        known = await HttpPresence(client).presence_of([ALICE, BOB])
        assert (known[ALICE].status, known[ALICE].devices, known[ALICE].last_seen) == (
            "online",
            1,
            presence.clock.now(),
        )
        assert (known[BOB].status, known[BOB].devices, known[BOB].last_seen) == ("offline", 0, None)
        assert known == await StoredPresence(presence.store, clock=presence.clock).presence_of([ALICE, BOB])


async def test_too_many_users_are_refused(presence: Presence) -> None:
    async with asking(presence, "internal") as client:
        answer = await client.post("/internal/presence", json={"user_ids": ["u"] * 501})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")


@pytest.mark.parametrize("what", ["token", "store", "address", "garbage"])
async def test_a_question_that_is_not_answered_is_unavailable(
    presence: Presence, what: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    presence.store.available = what != "store"
    async with asking(presence, "wrong" if what == "token" else "internal") as client:
        if what == "address":
            url = f"http://127.0.0.1:{unused_tcp_port_factory()}"
            async with HttpPresence.open(url, SecretStr("internal"), 1.0) as away:
                with pytest.raises(Unavailable):
                    await away.presence_of([ALICE])
            return
        if what == "garbage":
            client.event_hooks["response"] = [garble]
        with pytest.raises(Unavailable):
            await HttpPresence(client).presence_of([ALICE])


async def garble(response: httpx.Response) -> None:
    await response.aread()
    response._content = b"[]"


async def test_operators_see_who_is_online_page_by_page(presence: Presence) -> None:
    async with running(presence.build()), asking(presence, "admin") as client:
        await presence.gateway.tell(*(SessionOpened(session=session(f"s{n}", f"user-{n}")) for n in range(3)))
        first = (await client.get("/admin/online", params={"limit": 2})).json()
        assert [user["user_id"] for user in first["users"]] == ["user-0", "user-1"]
        assert first["users"][0]["last_seen"] == rfc3339(START)
        rest = (await client.get("/admin/online", params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert [user["user_id"] for user in rest["users"]] == ["user-2"]
        assert rest["next_cursor"] is None


async def test_operators_see_a_users_devices(presence: Presence) -> None:
    async with running(presence.build()), asking(presence, "admin") as client:
        await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
        (device,) = (await client.get("/admin/users/alice/devices")).json()["devices"]
        assert (device["info"]["id"], device["online"]) == ("phone", True)
        assert device["first_seen"] == device["last_seen"] == rfc3339(START)
