"""A client that does not say what it has: delivered once written, and never again once it has confirmed it."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from gateway.acks import FLUSH_S, Acks
from gateway.backlog import backlog
from gateway.deliveries import MAX_UNCONFIRMED, Deliveries
from gateway.dialects.base import Confirms, Habits
from gateway.positions import RETRY_S, Positions
from shared.broker.topology import Topology
from shared.commands import Acknowledge, ConversationKind, Stage
from shared.errors import Unavailable
from shared.events import DeviceInfo
from shared.history_api import MessagePage, Watermark
from shared.ids import ConversationId, DeviceId, direct_conversation_id
from shared.position import Position
from tests.fakes.clock import START, FakeClock, settle
from tests.fakes.edge import gateway
from tests.fakes.messages import ALICE, BOB, ROOM, conversation, message, stored
from tests.fakes.publisher import FakePublisher
from tests.fakes.queries import FakeHistory, FakePresence

PHONE = DeviceInfo(id=DeviceId("phone"))
SPEECH = Habits(resumes=False, acknowledges=False, fetches=False)
ACKS = Habits(resumes=False, confirms=Confirms.ACKS, fetches=False)
OTHER_ROOM = ConversationId("other-room")
DIRECT = direct_conversation_id(ALICE, BOB)


class Kept:
    """Bob's deliveries, and what they come to."""

    def __init__(self, habits: Habits, device: DeviceInfo = PHONE) -> None:
        self.clock = FakeClock()
        self.publisher = FakePublisher()
        self.presence = FakePresence()
        self.acks = Acks(self.publisher, Topology(shards=1), clock=self.clock, new_id=lambda: "id")
        self.positions = Positions(self.presence, clock=self.clock)
        self.device = device
        self.position = Position(START)
        self.deliveries = Deliveries(BOB, device, habits, self.position, acks=self.acks, positions=self.positions)

    def push(self, *seqs: int, room: ConversationId = ROOM) -> None:
        for seq in seqs:
            self.position.advance(room, seq)
            self.deliveries.pushed(message(seq, room=room), seq)

    async def version(self, room: ConversationId = ROOM) -> int | None:
        """Tell from where the device would go on."""
        kept = await self.positions.of(BOB, self.device.id)
        return None if kept is None else kept.versions.get(room)

    async def delivered(self) -> list[object]:
        await self.acks.flush()
        return list(self.publisher.bodies)


async def test_what_was_written_counts_as_delivered_once() -> None:
    kept = Kept(SPEECH)
    kept.push(1, 2)
    assert await kept.delivered() == []
    kept.deliveries.written()
    kept.deliveries.written()
    assert await kept.delivered() == [Acknowledge(conversation_id=ROOM, user_id=BOB, stage=Stage.DELIVERED, seq=2)]


async def test_ones_own_messages_are_not_delivered_to_oneself() -> None:
    kept = Kept(SPEECH)
    kept.deliveries.pushed(message(1, sender=BOB), 1)
    kept.deliveries.written()
    assert await kept.delivered() == []


async def test_what_was_written_is_the_clients_once_it_speaks() -> None:
    kept = Kept(SPEECH)
    kept.push(1)
    kept.deliveries.written()
    assert await kept.version() is None
    kept.deliveries.heard(kept.position, all_written=True)
    assert await kept.version() == 1


async def test_a_word_before_all_is_written_confirms_nothing() -> None:
    kept = Kept(SPEECH)
    kept.push(1)
    kept.deliveries.written()
    kept.push(2)
    kept.deliveries.heard(kept.position, all_written=False)
    assert await kept.version() is None


async def test_a_client_that_acknowledges_confirms_by_that_alone() -> None:
    kept = Kept(ACKS)
    kept.push(1, 2, 3)
    kept.deliveries.written()
    kept.deliveries.heard(kept.position, all_written=True)
    assert await kept.version() is None
    kept.deliveries.acknowledged(ROOM, 2, kept.position)
    assert await kept.version() == 2
    kept.deliveries.acknowledged(ROOM, 3, kept.position)
    assert await kept.version() == 3
    assert await kept.delivered() == []  # it says itself what was delivered


async def test_what_waits_in_one_conversation_is_not_confirmed_by_another() -> None:
    kept = Kept(ACKS)
    kept.push(1)
    kept.push(1, room=OTHER_ROOM)
    kept.deliveries.acknowledged(OTHER_ROOM, 1, kept.position)
    assert (await kept.version(), await kept.version(OTHER_ROOM)) == (None, 1)


async def test_what_a_closing_session_still_has_to_write_is_neither_delivered_nor_confirmed() -> None:
    kept = Kept(SPEECH)
    kept.push(1)
    kept.deliveries.end()
    kept.deliveries.written()
    kept.deliveries.heard(kept.position, all_written=True)
    assert (await kept.version(), await kept.delivered()) == (None, [])


async def test_an_acknowledgement_confirms_what_came_before_however_much_that_is() -> None:
    kept = Kept(ACKS)
    kept.push(*range(1, MAX_UNCONFIRMED + 12))
    kept.deliveries.acknowledged(ROOM, 5, kept.position)
    assert await kept.version() is None  # it is too long ago to be known by itself
    kept.deliveries.acknowledged(ROOM, 500, kept.position)
    assert await kept.version() == 500


async def test_positions_outlive_the_gateway() -> None:
    kept = Kept(SPEECH)
    kept.push(4)
    kept.deliveries.written()
    kept.deliveries.heard(kept.position, all_written=True)
    await kept.positions.flush()
    elsewhere = Positions(kept.presence, clock=kept.clock)
    found = await elsewhere.of(BOB, PHONE.id)
    assert found is not None
    assert found.versions == {ROOM: 4}


async def test_positions_wait_while_presence_is_away() -> None:
    kept = Kept(SPEECH)
    kept.push(1)
    kept.positions.keep(BOB, PHONE, kept.position)
    kept.presence.down = True
    await kept.positions.flush()
    kept.presence.down = False
    await kept.positions.flush()
    assert await kept.presence.position(BOB, PHONE.id) == kept.position.token()


async def test_positions_are_handed_over_at_once_and_again_after_an_outage() -> None:
    kept = Kept(SPEECH)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kept.positions.run(), name="positions")
        kept.positions.keep(BOB, PHONE, Position(START, {ROOM: 1}))
        await settle()
        assert await kept.presence.position(BOB, PHONE.id) == Position(START, {ROOM: 1}).token()
        kept.presence.down = True
        kept.positions.keep(BOB, PHONE, Position(START, {ROOM: 2}))
        await settle()
        kept.presence.down = False
        await kept.clock.advance(RETRY_S)
        await settle()
        assert await kept.presence.position(BOB, PHONE.id) == Position(START, {ROOM: 2}).token()
        await kept.positions.stop()


async def test_a_position_on_its_way_is_found() -> None:
    kept = Kept(SPEECH)
    kept.positions.keep(BOB, PHONE, Position(START, {ROOM: 1}))
    kept.presence.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kept.positions.flush(), name="flush")
        await settle()
        assert await kept.version() == 1
        kept.presence.gate.set()


async def test_a_device_without_a_name_has_no_position() -> None:
    kept = Kept(SPEECH, DeviceInfo(id=DeviceId("made-up"), ephemeral=True))
    kept.push(1)
    kept.deliveries.written()
    kept.deliveries.heard(kept.position, all_written=True)
    assert await kept.version() is None


async def test_a_new_device_begins_before_what_the_user_was_not_delivered() -> None:
    history = FakeHistory()
    history.at = Position(START + timedelta(hours=1), {ROOM: 9})
    history.counts = {ROOM: 3}
    history.known[ROOM] = conversation(9, watermarks=(Watermark(user_id=BOB, delivered_seq=6),))
    history.page = MessagePage(messages=(message(7),), watermarks=(), has_more=True)
    position = await backlog(history, BOB)
    assert position.versions == {ROOM: message(7).version - 1}


async def test_a_new_device_begins_at_the_first_word_of_a_chat_of_which_nothing_came() -> None:
    history = FakeHistory()
    history.counts = {DIRECT: 2, ROOM: 1}
    direct = replace(conversation(2), id=DIRECT, kind=ConversationKind.DIRECT)
    read = replace(conversation(9), watermarks=(Watermark(user_id=BOB, delivered_seq=1, read_seq=8),))
    history.known = {DIRECT: direct, ROOM: read, OTHER_ROOM: replace(conversation(3), id=OTHER_ROOM)}
    history.page = MessagePage(messages=(message(9),), watermarks=(), has_more=True)
    position = await backlog(history, BOB)
    assert position.versions == {DIRECT: 0, ROOM: 8}
    assert history.asked_messages == [(ROOM, None, 8)]


async def test_who_leaves_in_this_moment_has_nothing_to_wait_for() -> None:
    history = FakeHistory()
    history.counts = {ROOM: 1}
    history.known[ROOM] = replace(conversation(9), kind=ConversationKind.GROUP)
    history.closed = {ROOM}
    assert (await backlog(history, BOB)).versions == {}


async def test_without_history_nobody_guesses_where_a_device_begins() -> None:
    history = FakeHistory()
    history.down = True
    with pytest.raises(Unavailable):
        await backlog(history, ALICE)


async def test_what_was_dropped_since_a_device_reads_too_slowly_does_not_count_as_delivered() -> None:
    async with gateway(open_devices="true", wires="devices", max_outbox_frames="16") as edge:
        bob = edge.dial("", path="/api/messages/ws/bob")
        await settle()
        bob.stall()
        await edge.deliver(stored(1, room=DIRECT))  # the writer has it
        await edge.deliver(*(stored(seq, room=DIRECT) for seq in range(2, 9)))
        for _ in range(20):
            bob.send_text('{"type": "ping"}')
        await settle()
        bob.resume()
        assert await bob.closed() == 3001
        assert [frame["message"]["content"] for frame in bob.taken() if frame["type"] == "message"] == ["1"]
        await edge.clock.advance(FLUSH_S)
        assert await edge.posted() == []
