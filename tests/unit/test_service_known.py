"""What a session of the service wire remembers is what its client has said, and no more than there is room for."""

from gateway.dialects.service_known import MAX_MESSAGES, MAX_SESSIONS, Known
from gateway.dialects.service_sessions import Place
from shared.ids import ConversationId, UserId
from tests.unit.test_service_vectors import message

ROOM = ConversationId("room")


def test_a_session_is_shown_by_the_clients_first_name_for_it() -> None:
    known = Known()
    assert known.name(ROOM) == "room"
    known.called(ROOM, "alice_bob")
    assert known.name(ROOM) == "alice_bob"
    known.found(5, Place(ROOM))
    known.found("room", Place(ROOM))
    assert known.name(ROOM) == 5
    assert known.place("5") == known.place(5) == known.place("room") == Place(ROOM)


def test_a_session_of_digits_is_shown_as_it_was_named() -> None:
    assert Known().name(ConversationId("session.1001")) == "1001"


def test_a_direct_conversation_keeps_its_other_user() -> None:
    known = Known()
    known.found("a_b", Place(ROOM, UserId("b")))
    assert known.place("a_b") == Place(ROOM, UserId("b"))


def test_a_session_that_was_left_is_looked_for_again() -> None:
    known = Known()
    known.found("s1", Place(ROOM))
    known.found("s2", Place(ConversationId("other")))
    known.left(ROOM)
    assert known.place("s1") is None
    assert known.place("s2") is not None


def test_a_message_that_was_pushed_is_found_by_its_number_alone() -> None:
    known = Known()
    known.pushed(message(3))
    number = message(3).number
    assert known.pushed_place(number) == known.pushed_place(str(number)) == (message(3).conversation_id, 3)
    assert known.pushed_place(number + 1) is None
    assert known.pushed_place("m3") is None


def test_only_the_latest_are_remembered() -> None:
    known = Known()
    for number in range(MAX_SESSIONS + 1):
        known.found(f"s{number}", Place(ConversationId(f"c{number}")))
    assert known.place("s0") is None
    assert known.place("s1") is not None
    for number in range(MAX_MESSAGES + 1):
        known.sent(f"k{number}")
    assert not known.was_sent("k0")
    assert known.was_sent("k1")
