"""Carry envelopes to gateways and learn which gateways are gone."""

import asyncio

import structlog

from delivery import metrics
from delivery.fanout import Plan
from delivery.routing import RoutingTable
from shared.broker.api import Publisher
from shared.broker.topology import gateway_route
from shared.errors import FailureKind, QueueFull, Unroutable, WarrenError
from shared.ids import GatewayId

log = structlog.get_logger()


class Courier:
    """The one way from delivery to the gateways."""

    def __init__(self, publisher: Publisher, table: RoutingTable) -> None:
        self._publisher = publisher
        self._table = table

    async def carry(self, plan: Plan) -> dict[GatewayId, WarrenError]:
        """Send each gateway its envelopes, in order; gives the gateways that could not be reached, and why.

        Such a gateway is forgotten: when it refreshes it is asked for its sessions, and catches them up once it is told
        of their routes. One wait covers the whole plan. Raises: BrokerUnavailable.
        """
        failed: dict[GatewayId, WarrenError] = {}
        posted: dict[asyncio.Future[None], GatewayId] = {}
        for gateway_id, envelopes in plan.items():
            route = gateway_route(gateway_id)
            try:
                for envelope in envelopes:
                    posted[self._publisher.post(route, envelope)] = gateway_id
            except QueueFull as full:
                failed[gateway_id] = full
        if posted:
            await asyncio.wait(posted)
        outcomes = [(gateway_id, future.exception()) for future, gateway_id in posted.items()]  # look at every one
        for gateway_id, error in outcomes:
            if isinstance(error, WarrenError) and error.kind is FailureKind.TRANSIENT:
                failed[gateway_id] = error
            elif error is not None:
                raise error
        self._learn(plan, failed)
        return failed

    def _learn(self, plan: Plan, failed: dict[GatewayId, WarrenError]) -> None:
        for gateway_id, envelopes in plan.items():
            error = failed.get(gateway_id)
            result = "sent"
            if error is not None:
                result = "unroutable" if isinstance(error, Unroutable) else "queue_full"
                self._table.forget(gateway_id)
                log.info("gateway_forgotten", gateway_id=gateway_id, reason=result)
            metrics.HANDOFFS.labels(result).inc(len(envelopes))
