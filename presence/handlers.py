"""What presence does with the news of sessions and gateways."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta

import structlog

from presence import metrics
from presence.changes import compare, fold
from presence.leases import LEASE_S, LeaseWatch
from presence.store import PresenceStore
from shared.broker.api import NO_FAILURES, Failures, Publisher, Received
from shared.broker.topology import PRESENCE_ROUTE, gateway_route
from shared.clock import Clock
from shared.envelope import Body, Envelope
from shared.errors import QueueFull, Unroutable
from shared.events import PresenceChanged, SessionsWanted
from shared.ids import GatewayId, NewId, UserId

log = structlog.get_logger()
SETTLED_AT_ONCE = 500  # users


class TrackSessions:
    """Keep who is connected, and publish whose presence changed by it: once a user and batch.

    One handler for all session events, so that their order is kept. Idempotent: connections are kept by session id, and
    a change is published before it is recorded, so it may come twice but is never lost.
    """

    def __init__(
        self, store: PresenceStore, publisher: Publisher, watch: LeaseWatch, *, clock: Clock, new_id: NewId
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._watch = watch
        self._clock = clock
        self._new_id = new_id
        self._replica_id = new_id()
        self._announced: set[GatewayId] = set()  # gateways that the store need not be asked about
        self._turn = asyncio.Lock()  # batches and expiry settle the same users

    async def __call__(self, batch: Sequence[Received]) -> Failures:
        """Handle a batch with a few writes. Raises: StoreUnavailable, BrokerUnavailable."""
        envelopes = [received.envelope for received in batch]
        with self._watch.handling(min(envelope.occurred_at for envelope in envelopes)):
            async with self._turn:
                await self._track(envelopes)
        return NO_FAILURES

    async def expire(self) -> None:
        """Take the sessions of dead gateways for closed. Raises: StoreUnavailable, BrokerUnavailable."""
        async with self._turn:
            if not self._watch.trusted:
                return
            now = self._clock.now()
            gone = await self._store.expire(at=now, announced_before=now - timedelta(seconds=LEASE_S))
            self._gateways_gone(gone, why="expired")
            await self._settle_gone()

    async def _track(self, envelopes: Sequence[Envelope]) -> None:
        changes = fold(envelopes)
        await self._store.apply(changes, at=self._clock.now())
        self._gateways_gone(changes.stopped, why="stopped")
        if changes.users:
            await self._settle(changes.users)
        if changes.stopped:
            await self._settle_gone()
        await self._ask(changes.alive.keys() - self._announced)
        metrics.SESSIONS.labels("opened").inc(len(changes.opened))
        metrics.SESSIONS.labels("closed").inc(len(changes.closed))

    async def _settle_gone(self) -> None:
        while users := await self._store.gone_users(limit=SETTLED_AT_ONCE):
            await self._settle(users)

    async def _settle(self, user_ids: Collection[UserId]) -> None:
        connections = await self._store.connections(user_ids)
        settled = await self._store.presence_of(user_ids)
        changed = compare(user_ids, connections, settled, at=self._clock.now())
        await self._publish(changed)
        await self._store.settle(user_ids, changed)

    async def _publish(self, changed: Sequence[PresenceChanged]) -> None:
        try:
            await self._publisher.publish(PRESENCE_ROUTE, [self._envelope(change) for change in changed])
        except (
            QueueFull
        ) as error:  # one gateway is far behind; the others have it, and presence is never held up by one
            log.warning("presence_not_told", users=len(changed), error=str(error))
        for change in changed:
            metrics.CHANGES.labels(change.status).inc()

    async def _ask(self, gateway_ids: Collection[GatewayId]) -> None:
        """Ask gateways that are alive, and not known, for their sessions: they were taken for dead, or are new."""
        if not gateway_ids:
            return
        unannounced = await self._store.unannounced(gateway_ids)
        self._announced.update(set(gateway_ids) - unannounced)
        for gateway_id in unannounced:
            question = self._envelope(SessionsWanted(replica_id=self._replica_id))
            try:
                await self._publisher.publish(gateway_route(gateway_id), [question])
            except (Unroutable, QueueFull) as error:  # asked again on its next refresh
                log.debug("gateway_not_asked", gateway_id=gateway_id, error=str(error))

    def _gateways_gone(self, gateway_ids: Iterable[GatewayId], *, why: str) -> None:
        for gateway_id in gateway_ids:
            self._announced.discard(gateway_id)
            metrics.GATEWAYS_GONE.labels(why).inc()
            log.info("gateway_gone", gateway_id=gateway_id, why=why)

    def _envelope(self, body: Body) -> Envelope:
        id_ = self._new_id()
        return Envelope(id=id_, trace_id=id_, occurred_at=self._clock.now(), body=body)
