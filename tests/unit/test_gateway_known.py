"""What can be shown of conversations is remembered for a minute, and no longer."""

from gateway.known import FRESH_S, Rooms
from shared.ids import ConversationId
from tests.fakes.clock import FakeClock
from tests.fakes.messages import ALICE, BOB, ROOM, conversation
from tests.fakes.queries import FakeHistory

OTHER_ROOM = ConversationId("other-room")


async def test_what_is_a_minute_old_takes_no_room_any_more() -> None:
    history, clock = FakeHistory(), FakeClock()
    history.known = {ROOM: conversation(1), OTHER_ROOM: conversation(1)}
    rooms = Rooms(history, clock=clock)
    await rooms.of(ALICE, ROOM)
    await rooms.of(BOB, ROOM)
    assert len(rooms) == 2
    await clock.advance(FRESH_S)
    await rooms.of(BOB, OTHER_ROOM)
    assert len(rooms) == 1
