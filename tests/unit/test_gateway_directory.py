"""What clients name by numbers and messages' ids is found once for each of them."""

import pytest

from gateway.directory import Directory
from shared.errors import NotFound, Unavailable
from shared.history_api import MessagePlace
from shared.ids import ConversationId, MessageId, is_number
from tests.fakes.messages import ALICE, BOB, ROOM
from tests.fakes.queries import FakeHistory

PLACE = MessagePlace(message_id=MessageId("m"), conversation_id=ROOM, seq=1)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("7", True),
        ("007", True),
        ("9" * 16, True),
        ("9" * 17, False),
        ("٧", False),
        ("²", False),
        ("d-7", False),
        ("", False),
    ],
)
def test_a_number_is_digits_that_fit(name: str, *, number: bool) -> None:
    assert is_number(name) == number


async def test_an_id_is_itself_and_nobody_is_asked() -> None:
    history = FakeHistory()
    history.down = True
    assert await Directory(history).conversation(BOB, "room") == "room"


async def test_a_conversation_is_found_once_for_each_user() -> None:
    history = FakeHistory()
    history.numbers = {7: ROOM}
    directory = Directory(history)
    assert await directory.conversation(BOB, "7") == ROOM
    history.numbers = {}
    assert await directory.conversation(BOB, "7") == ROOM
    with pytest.raises(NotFound):
        await directory.conversation(ALICE, "7")


@pytest.mark.parametrize(("name", "sought"), [("m", "m"), ("67108865", 67108865)])
async def test_a_message_is_found_by_its_id_or_its_number(name: str, sought: MessageId | int) -> None:
    history = FakeHistory()
    history.places = {sought: PLACE}
    directory = Directory(history)
    assert await directory.message(BOB, name) == PLACE
    assert await directory.message(BOB, name) == PLACE
    assert history.sought == [sought]
    with pytest.raises(NotFound):
        await directory.message(BOB, "other")


async def test_what_could_not_be_asked_is_asked_again() -> None:
    history = FakeHistory()
    history.numbers = {7: ROOM}
    history.down = True
    directory = Directory(history)
    with pytest.raises(Unavailable):
        await directory.conversation(BOB, "7")
    history.down = False
    assert await directory.conversation(BOB, "7") == ROOM


async def test_what_was_found_long_ago_is_forgotten_first() -> None:
    history = FakeHistory()
    history.places = {MessageId(name): PLACE for name in "abc"}
    history.numbers = {number: ConversationId(f"room-{number}") for number in (1, 2, 3)}
    directory = Directory(history, capacity=2)
    for name in "abcba":
        await directory.message(BOB, name)
    for name in "123":
        await directory.conversation(BOB, name)
    assert history.sought == ["a", "b", "c", "a"]
