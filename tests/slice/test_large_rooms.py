"""A room too large to name its members in each event, through all four services."""

from tests.slice.device import Device
from tests.slice.town import Town, town

CROWD = [f"u{n:03}" for n in range(498)]


async def calm(world: Town, *devices: Device) -> None:
    for _ in range(50):
        await world.rest()
        if not any([device.pump() for device in devices]):
            return
    raise AssertionError("The clients do not come to rest.")


def contents(device: Device, room: str) -> list[str]:
    return [message["content"] for _, message in sorted(device.reader.rooms[room].messages.items())]


async def test_members_of_a_large_room_are_told_all_of_their_time_in_it() -> None:
    async with town() as world:
        alice, bob, carol = Device(world, "alice", 0), Device(world, "bob", 1), Device(world, "carol", 1)
        everybody = (alice, bob, carol)
        for device in everybody:
            device.connect()
        body = {"kind": "group", "member_ids": ["bob", *CROWD], "name": "all"}
        world.call("alice", 0, "POST", "/v1/conversations", body)
        await calm(world, *everybody)
        [room] = world.created
        alice.tell("send", conversation_id=room, content="small still")
        await calm(world, *everybody)

        members = f"/v1/conversations/{room}/members"
        world.call("alice", 0, "POST", members, {"user_ids": ["carol", "dave", "erin"]})
        await calm(world, *everybody)
        alice.tell("send", conversation_id=room, content="large now")
        await calm(world, *everybody)
        world.call("alice", 0, "DELETE", f"{members}/bob", None)
        await calm(world, *everybody)
        alice.tell("send", conversation_id=room, content="without bob")
        carol.tell("send", conversation_id=room, content="from carol")
        await calm(world, *everybody)

        assert contents(alice, room) == ["small still", "large now", "without bob", "from carol"]
        assert contents(bob, room) == ["small still", "large now"]
        assert bob.reader.rooms[room].removed
        assert contents(carol, room) == ["large now", "without bob", "from carol"]  # the group's rule: since joining
        state = carol.reader.rooms[room].state
        assert state is not None
        assert (state["member_count"], state["members"]) == (502, [])
