"""What two clients hold, compared; and what one was told, compared with what it may be told."""

from collections.abc import Callable

from tests.slice.model import Frame, Reader, Room


def assert_same(stale: Reader, fresh: Reader) -> None:
    """Compare what a client came to hold with what one holds that has just read everything: the same.

    Conversations that the user was removed from are not there any more: the client must know that it was.
    """
    for room_id, room in fresh.rooms.items():
        where = f"{stale.user_id} in {room_id}"
        assert room_id in stale.rooms, f"{where}: is unknown"
        _assert_same_room(where, stale.rooms[room_id], room)
    for room_id in stale.rooms.keys() - fresh.rooms.keys():
        assert stale.rooms[room_id].removed, f"{stale.user_id} in {room_id}: was removed and does not know"


def _assert_same_room(where: str, held: Room, room: Room) -> None:
    assert not held.removed, f"{where}: was not removed"
    expected, shown = room.view(), held.view()
    window = {seq: message for seq, message in shown.items() if seq >= room.first_seq}
    for seq in sorted(expected.keys() | window.keys()):
        _assert_same_message(f"{where}, seq {seq}", window.get(seq, {}), expected.get(seq, {}))
    if held.state is not None:  # a direct conversation says nothing of itself but in a sync
        assert held.state == room.state, f"{where}: {held.state}, not {room.state}"
    members = {user for user, _ in room.marks}
    marks = {mark: seq for mark, seq in held.marks.items() if mark[0] in members}
    assert marks == room.marks, f"{where}: {marks}, not {room.marks}"


def _assert_same_message(where: str, held: Frame, expected: Frame) -> None:
    differing = [name for name in {**held, **expected} if held.get(name) != expected.get(name)]
    assert not differing, f"{where}: " + ", ".join(
        f"{name} is {held.get(name)!r}, not {expected.get(name)!r}" for name in differing
    )


def assert_kept_alike(one: Reader, other: Reader) -> None:
    """Compare what two devices of a user keep of what the user was removed from.

    Who was away for too long to be told all of it cannot fetch the rest; who was told late is told without what was
    deleted since, and without reactions.
    """
    for room_id in one.rooms.keys() & other.rooms.keys():
        here, there = one.rooms[room_id], other.rooms[room_id]
        if not (here.removed and there.removed):
            continue
        where = f"{one.user_id}, once in {room_id}"
        if not (here.cut_off or there.cut_off):
            assert here.messages.keys() == there.messages.keys(), where
        for seq in here.messages.keys() & there.messages.keys():
            mine, theirs = here.messages[seq], there.messages[seq]
            if not (mine["deleted_at"] or theirs["deleted_at"]):
                assert _lasting(mine) == _lasting(theirs), f"{where}, seq {seq}"


def _lasting(message: Frame) -> Frame:
    return {name: message[name] for name in ("id", "content", "metadata", "edited_at")}


def assert_told_no_more(reader: Reader, allows: Callable[[str, Frame], bool]) -> None:
    """Look for entries and messages that the user was told, though they were before or after a stay, or hidden."""
    wrong = [frame for frame in reader.told if not allows(reader.user_id, frame)]
    assert not wrong, f"{reader.user_id} was told {wrong[0]}"
