"""What delivery does with each event: entries of the log, typing signals, and the news of sessions."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice

import structlog
from msgspec.structs import replace

from delivery import fanout, metrics
from delivery.courier import Courier
from delivery.fanout import Parcel
from delivery.members import Members
from delivery.routing import RoutingTable
from shared.broker.api import NO_FAILURES, Failures, Publisher, Received
from shared.broker.topology import SESSIONS_ROUTE
from shared.clock import Clock
from shared.commands import SetStatus, SetTyping
from shared.envelope import Body, Envelope
from shared.errors import Failed, QueueFull, Unavailable, WarrenError
from shared.events import (
    ConversationChanged,
    Entry,
    GatewayRefreshed,
    GatewayStopped,
    LogEvent,
    Session,
    SessionClosed,
    SessionOpened,
    SessionsAnnounced,
    SessionsRouted,
    SessionsWanted,
    TypingChanged,
)
from shared.ids import GatewayId, NewId, SessionId, UserId, direct_conversation_id

log = structlog.get_logger()
MAX_ROUTED = 1000  # session ids in one envelope: 40 KB


class DeliverEntries:
    """Hand the entries of conversations' logs to the gateways that hold their audience.

    Idempotent: the gateways drop what a session has had. An event for a gateway that is gone fails as transient, and
    finds the recipients' new gateways on its next attempt. Who has no session gets it from history later.
    """

    def __init__(self, table: RoutingTable, courier: Courier, members: Members, *, clock: Clock) -> None:
        self._table = table
        self._courier = courier
        self._members = members
        self._clock = clock

    async def __call__(self, batch: Sequence[Received]) -> Failures:
        """Hand over a batch, with one wait for all of it.

        Raises: BrokerUnavailable; Unavailable where history must name the members of a large room.
        """
        parcels: list[Parcel] = []
        failures: dict[str, WarrenError] = {}
        for received in batch:
            envelope = received.envelope
            event = envelope.body
            assert isinstance(event, LogEvent)
            if event.members_version is None:
                parcels.append(self._named(envelope, event))
                continue
            try:
                parcels.append(await self._listed(envelope, event))
            except Failed as error:
                failures[envelope.id] = error
        plan = fanout.plan(parcels, self._table)
        failed = await self._courier.carry(plan)
        self._count(batch, {envelope.id for envelopes in plan.values() for envelope in envelopes})
        failures.update((envelope.id, error) for gateway_id, error in failed.items() for envelope in plan[gateway_id])
        return failures

    def _named(self, envelope: Envelope, event: Entry) -> Parcel:
        """Wrap an entry that names every member, and who is removed by it."""
        members = event.conversation.member_ids if isinstance(event, ConversationChanged) else event.audience
        self._members.learn(event.conversation_id, members)
        # The hand-off names its recipients: the gateway needs no list of a large group's members besides.
        return Parcel(envelope, replace(event, audience=()), event.audience)

    async def _listed(self, envelope: Envelope, event: Entry) -> Parcel:
        """Wrap an entry of a large room: what it costs depends on who is online, not on how many members there are."""
        roster = await self._members.at(event)
        online = roster.recipients(event, self._table.among(roster.members)) if roster is not None else []
        hidden_from = tuple(set(event.hidden_from).intersection(online)) if event.hidden_from else ()
        return Parcel(envelope, replace(event, members_version=None, hidden_from=hidden_from), online)

    def _count(self, batch: Sequence[Received], online: set[str]) -> None:
        metrics.ENTRIES.labels("online").inc(len(online))
        metrics.ENTRIES.labels("offline").inc(len(batch) - len(online))
        metrics.LATENCY.observe(max(0.0, (self._clock.now() - batch[0].envelope.occurred_at).total_seconds()))


class RelayTyping:
    """Show typing to the other members that are there. A signal that cannot be relayed at once is dropped."""

    def __init__(self, table: RoutingTable, courier: Courier, members: Members) -> None:
        self._table = table
        self._courier = courier
        self._members = members

    async def __call__(self, batch: Sequence[Received]) -> Failures:
        """Relay a batch; never fails."""
        parcels: list[Parcel] = []
        try:
            for received in batch:
                parcels.extend(await self._parcel(received.envelope))
            await self._courier.carry(fanout.plan(parcels, self._table))
        except Unavailable as error:  # they would be stale by the time that history or the broker is back
            metrics.DROPPED_SIGNALS.labels("unavailable").inc(len(batch))
            log.debug("signals_dropped", error=str(error), signals=len(batch))
        return NO_FAILURES

    async def _parcel(self, envelope: Envelope) -> Iterable[Parcel]:
        command = envelope.body
        assert isinstance(command, SetTyping)
        members = await self._audience(command)
        if command.user_id not in members:
            metrics.DROPPED_SIGNALS.labels("not_a_member").inc()
            return ()
        event = TypingChanged(
            conversation_id=command.conversation_id, user_id=command.user_id, name=command.name, active=command.active
        )
        return (Parcel(envelope, event, self._table.among(members) - {command.user_id}),)

    async def _audience(self, command: SetTyping) -> AbstractSet[UserId]:
        if command.to is not None and command.conversation_id == direct_conversation_id(command.user_id, command.to):
            return {command.user_id, command.to}  # derived: so it is before the first message too
        return await self._members.of(command.conversation_id)


class KeepRoutes:
    """Keep the routing table, and tell each gateway which of its sessions it is routed to.

    One handler for all session events, so that their order is kept. Idempotent. A gateway that could not be told is
    forgotten: its next refresh makes this replica ask for its sessions again.
    """

    def __init__(
        self,
        table: RoutingTable,
        courier: Courier,
        publisher: Publisher,
        *,
        replica_id: str,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._table = table
        self._courier = courier
        self._publisher = publisher
        self._replica_id = replica_id
        self._clock = clock
        self._new_id = new_id

    async def ask(self) -> None:
        """Ask every gateway for its sessions: the queue is new, and nothing from before it will come."""
        try:
            await self._publisher.publish(SESSIONS_ROUTE, [self._envelope(SessionsWanted(replica_id=self._replica_id))])
        except QueueFull as error:  # some reader's queue; that gateway is asked when it refreshes
            log.warning("gateways_not_all_asked", error=str(error))

    async def expire(self) -> None:
        """Drop the gateways whose lease ran out."""
        for gateway_id in self._table.expire():
            log.info("gateway_forgotten", gateway_id=gateway_id, reason="lease_expired")
        metrics.SESSIONS.set(self._table.session_count)
        metrics.GATEWAYS.set(self._table.gateway_count)

    async def __call__(self, batch: Sequence[Received]) -> Failures:
        """Apply a batch in order, then answer the gateways. Raises: BrokerUnavailable."""
        routed: dict[GatewayId, list[SessionId]] = {}
        silent: set[GatewayId] = set()
        for received in batch:
            event = received.envelope.body
            for session in self._apply(event):
                routed.setdefault(session.gateway_id, []).append(session.id)
            if isinstance(event, GatewayRefreshed) and not self._table.has_announced(event.gateway_id):
                silent.add(event.gateway_id)
        answers = {gateway_id: self._answers(sessions) for gateway_id, sessions in routed.items()}
        for gateway_id in silent:
            question = self._envelope(SessionsWanted(replica_id=self._replica_id))
            answers.setdefault(gateway_id, []).append(question)
        await self._tell(answers)
        return NO_FAILURES

    def _apply(self, event: Body) -> Sequence[Session]:
        """Change the table; gives the sessions that their gateway must be told of."""
        match event:
            case SessionOpened(session=session):
                self._table.add(session)
                return (session,)
            case SessionsAnnounced():
                return self._table.announce(event.gateway_id, event.sessions, first=event.first)
            case SessionClosed():
                self._table.remove(event.gateway_id, event.session_id)
            case GatewayRefreshed():
                self._table.refresh(event.gateway_id, event.lease_s)
            case GatewayStopped():
                self._table.forget(event.gateway_id)
            case _:
                assert isinstance(event, SessionsWanted | SetStatus)  # to the gateways and presence, on the same fanout
        return ()

    async def _tell(self, answers: dict[GatewayId, list[Envelope]]) -> None:
        failed: dict[GatewayId, WarrenError] = {}
        try:
            failed = await self._courier.carry(answers)
        except Unavailable as error:
            failed = dict.fromkeys(answers, error)
            raise
        finally:
            for gateway_id in failed:
                self._table.forget(gateway_id)

    def _answers(self, sessions: list[SessionId]) -> list[Envelope]:
        rest = iter(sessions)
        chunks = iter(lambda: tuple(islice(rest, MAX_ROUTED)), ())
        return [
            self._envelope(SessionsRouted(replica_id=self._replica_id, session_ids=session_ids))
            for session_ids in chunks
        ]

    def _envelope(self, body: Body) -> Envelope:
        id_ = self._new_id()
        return Envelope(id=id_, trace_id=id_, occurred_at=self._clock.now(), body=body)
