"""What presence tells the gateways."""

from collections.abc import Sequence

import structlog

from shared.broker.api import Publisher
from shared.broker.topology import PRESENCE_ROUTE, gateway_route
from shared.clock import Clock
from shared.envelope import Body, Envelope
from shared.errors import QueueFull, Unroutable
from shared.ids import GatewayId, NewId

log = structlog.get_logger()


class Outbound:
    """Publishes news of presence; confirmed before return.

    A gateway that is far behind, or gone, holds nobody up: it asks anew for what it missed.
    """

    def __init__(self, publisher: Publisher, *, clock: Clock, new_id: NewId) -> None:
        self._publisher = publisher
        self._clock = clock
        self._new_id = new_id

    async def tell_all(self, news: Sequence[Body]) -> None:
        """Tell every gateway. Raises: BrokerUnavailable."""
        if not news:
            return
        try:
            await self._publisher.publish(PRESENCE_ROUTE, [self._envelope(body) for body in news])
        except QueueFull as error:  # one of the gateways; the others have it
            log.warning("presence_not_told", news=len(news), error=str(error))

    async def tell_one(self, gateway_id: GatewayId, news: Sequence[Body]) -> None:
        """Tell one gateway, if it is there. Raises: BrokerUnavailable."""
        try:
            await self._publisher.publish(gateway_route(gateway_id), [self._envelope(body) for body in news])
        except (Unroutable, QueueFull) as error:
            log.debug("gateway_not_told", gateway_id=gateway_id, news=len(news), error=str(error))

    def _envelope(self, body: Body) -> Envelope:
        id_ = self._new_id()
        return Envelope(id=id_, trace_id=id_, occurred_at=self._clock.now(), body=body)
