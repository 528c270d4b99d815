"""What presence does with the news of sessions and gateways."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta

import structlog

from presence import metrics
from presence.changes import compare, fold, told
from presence.leases import LEASE_S, LeaseWatch
from presence.limits import DeviceLimit
from presence.outbound import Outbound
from presence.store import Changes, Connection, PresenceStore
from shared.broker.api import NO_FAILURES, Failures, Received
from shared.clock import Clock
from shared.envelope import Envelope
from shared.events import DeviceSignedOut, Session, SessionsWanted, SignOutReason
from shared.ids import GatewayId, NewId, UserId

log = structlog.get_logger()
SETTLED_AT_ONCE = 500  # users
GRACE = timedelta(seconds=5)  # a phone that changes its network is back within it


class TrackSessions:
    """Keep who is connected, and publish whose presence changed by it: once a user and batch.

    One handler for all session events, so that their order is kept. Idempotent: connections are kept by session id, and
    a change is published before it is recorded, so it may come twice but is never lost. Who comes is told at once; who
    goes when they have not come back in the grace.
    """

    def __init__(
        self,
        store: PresenceStore,
        outbound: Outbound,
        watch: LeaseWatch,
        limit: DeviceLimit,
        *,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._outbound = outbound
        self._watch = watch
        self._limit = limit
        self._clock = clock
        self._replica_id = new_id()
        self._announced: set[GatewayId] = set()  # gateways that the store need not be asked about
        self._turn = asyncio.Lock()  # batches and upkeep settle the same users

    async def __call__(self, batch: Sequence[Received]) -> Failures:
        """Handle a batch with a few writes. Raises: StoreUnavailable, BrokerUnavailable."""
        envelopes = [received.envelope for received in batch]
        with self._watch.handling(min(envelope.occurred_at for envelope in envelopes)):
            async with self._turn:
                await self._track(envelopes)
        return NO_FAILURES

    async def upkeep(self) -> None:
        """Settle who stayed away, and take the sessions of dead gateways for closed.

        Not while news wait in the queue: they may say that somebody is back. Raises: StoreUnavailable,
        BrokerUnavailable.
        """
        async with self._turn:
            if self._watch.trusted:
                now = self._clock.now()
                gone = await self._store.expire(at=now, announced_before=now - timedelta(seconds=LEASE_S))
                self._gateways_gone(gone, why="expired")
            if self._watch.punctual:
                await self._settle_gone()

    async def _track(self, envelopes: Sequence[Envelope]) -> None:
        now = self._clock.now()
        changes = fold(envelopes, now=now)
        await self._store.apply(changes, at=now)
        self._gateways_gone(changes.stopped.keys() & self._announced, why="stopped")
        connections = await self._settle(changes.arrived | changes.statuses.keys())
        await self._sign_out(changes, connections)
        await self._ask(changes.alive.keys() - self._announced)
        metrics.SESSIONS.labels("opened").inc(len(changes.opened))
        metrics.SESSIONS.labels("closed").inc(len(changes.closed))

    async def _settle_gone(self) -> None:
        until = self._clock.now() - GRACE
        while users := await self._store.gone_users(until=until, limit=SETTLED_AT_ONCE):
            await self._settle(users)

    async def _settle(self, user_ids: Collection[UserId]) -> Sequence[Connection]:
        if not user_ids:
            return ()
        now = self._clock.now()
        connections = await self._store.connections(user_ids)
        standings = await self._store.standings(user_ids)
        changed = compare(user_ids, connections, standings, at=now, gone_until=now - GRACE)
        news = [change for after in changed if (change := told(standings[after.told.user_id], after))]
        await self._outbound.tell_all(news)
        await self._store.settle(user_ids, changed, gone_until=now - GRACE)
        for change in news:
            metrics.CHANGES.labels(change.status).inc()
        return connections

    async def _sign_out(self, changes: Changes, connections: Iterable[Connection]) -> None:
        """End the sessions of devices that are too many; and, once more, of those that were signed out already."""
        if not changes.opened:
            return
        too_many = self._limit.exceeded(changes.arrived, connections)
        await self._outbound.tell_all(too_many)
        for out in too_many:
            metrics.SIGNED_OUT.labels(out.reason).inc()
            log.info("device_signed_out", user_id=out.user_id, device_id=out.device_id, reason=out.reason)
        await self._remind(changes.opened.values())

    async def _remind(self, opened: Iterable[Session]) -> None:
        """Tell gateways when the devices of these sessions were signed out, those that ever were.

        A token from before may have been let in while presence was away, or the gateway missed the news. How old a
        session's token is the gateway knows: it leaves alone who signed in again.
        """
        sessions = [session for session in opened if not session.device.ephemeral]
        out_at = await self._store.signed_out({(session.user_id, session.device.id) for session in sessions})
        reminders: defaultdict[GatewayId, list[DeviceSignedOut]] = defaultdict(list)
        for session in sessions:
            at = out_at.get((session.user_id, session.device.id))
            if at is not None:
                out = DeviceSignedOut(
                    user_id=session.user_id, device_id=session.device.id, reason=SignOutReason.KICKED, at=at
                )
                reminders[session.gateway_id].append(out)
        for gateway_id, outs in reminders.items():
            await self._outbound.tell_one(gateway_id, outs)

    async def _ask(self, gateway_ids: Collection[GatewayId]) -> None:
        """Ask gateways that are alive, and not known, for their sessions: they were taken for dead, or are new."""
        if not gateway_ids:
            return
        unannounced = await self._store.unannounced(gateway_ids)
        self._announced.update(set(gateway_ids) - unannounced)
        for gateway_id in unannounced:  # who does not hear it is asked again on its next refresh
            await self._outbound.tell_one(gateway_id, [SessionsWanted(replica_id=self._replica_id)])

    def _gateways_gone(self, gateway_ids: Iterable[GatewayId], *, why: str) -> None:
        for gateway_id in gateway_ids:
            self._announced.discard(gateway_id)
            metrics.GATEWAYS_GONE.labels(why).inc()
            log.info("gateway_gone", gateway_id=gateway_id, why=why)
