"""Wait until history has taken an acknowledgement: the receipt that it makes of it comes back to every gateway."""

import asyncio
from collections import defaultdict
from typing import TypeAlias

from shared.commands import Acknowledge, Stage
from shared.events import ReceiptAdvanced
from shared.ids import ConversationId, UserId

PATIENCE_S = 1.0

_Key: TypeAlias = tuple[ConversationId, UserId, Stage]
_Waiter: TypeAlias = tuple[int, asyncio.Future[None]]


class Advances:
    """Those who wait for a watermark to move, so that the next question of the same client sees it."""

    def __init__(self) -> None:
        self._waiting: defaultdict[_Key, list[_Waiter]] = defaultdict(list)

    async def reached(self, ack: Acknowledge) -> None:
        """Wait for the receipt of an acknowledgement, a second at most: one that moves nothing has none."""
        key = (ack.conversation_id, ack.user_id, ack.stage)
        waiter: _Waiter = (ack.seq, asyncio.get_running_loop().create_future())
        self._waiting[key].append(waiter)
        try:
            await asyncio.wait([waiter[1]], timeout=PATIENCE_S)
        finally:
            self._waiting[key].remove(waiter)
            if not self._waiting[key]:
                del self._waiting[key]

    def advanced(self, event: ReceiptAdvanced) -> None:
        """Take note of a receipt."""
        for seq, reached in self._waiting.get((event.conversation_id, event.user_id, event.stage), ()):
            if seq <= event.seq and not reached.done():
                reached.set_result(None)
