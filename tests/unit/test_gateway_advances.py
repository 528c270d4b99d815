"""Whoever waits for an acknowledgement is told by the receipt that history makes of it."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway import advances
from gateway.advances import Advances
from shared.commands import Acknowledge, Stage
from shared.events import ReceiptAdvanced
from tests.fakes.clock import START, settle
from tests.fakes.messages import ALICE, BOB, ROOM

ACK = Acknowledge(conversation_id=ROOM, user_id=BOB, stage=Stage.READ, seq=3)
RECEIPT = ReceiptAdvanced(conversation_id=ROOM, user_id=BOB, stage=Stage.READ, seq=3, at=START, audience=())


@pytest.mark.parametrize("seq", [3, 4])
async def test_a_receipt_that_goes_so_far_ends_the_wait(seq: int) -> None:
    waits = Advances()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(waits.reached(ACK))
        await settle()
        waits.advanced(replace(RECEIPT, seq=2))
        waits.advanced(replace(RECEIPT, user_id=ALICE))
        waits.advanced(replace(RECEIPT, stage=Stage.DELIVERED))
        await settle()
        assert not waiting.done()
        waits.advanced(replace(RECEIPT, seq=seq))
        await settle()
        assert waiting.done()


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advances, "PATIENCE_S", 0.01)
    waits = Advances()
    async with asyncio.timeout(1):
        await waits.reached(ACK)
    waits.advanced(RECEIPT)  # nobody is there any more
