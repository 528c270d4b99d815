"""Schedules of what people do and of what breaks, and the player that makes them happen in a world."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.slice.comparison import assert_kept_alike, assert_same
from tests.slice.device import Device, World
from tests.slice.model import Frame, Reader

MAX_ROUNDS = 300
DEVICES = (("alice", 0), ("alice", 1), ("bob", 0), ("bob", 1), ("carol", 1), ("dave", 0))
USERS = ("alice", "bob", "carol", "dave")
EMOJI = ("👍", "❤", "x")
BURST = 230  # more than a page of a sync holds
DAILY = (
    *("send",) * 6,
    *("edit", "delete", "react") * 3,
    *("ack", "group", "add", "remove") * 2,
    *("change", "role", "sync", "burst"),
    *("drop", "connect") * 3,
    *("pause", "resume", "pass"),
    *("rest",) * 4,
)
FAULTS = ("gateway", "delivery", "history", "store")
MISHAPS = ("lose", "late", "repeat")  # of the next hand-offs


class Step(NamedTuple):
    """One thing that happens; what the numbers choose depends on what is there by then."""

    do: str
    who: int = 0
    room: int = 0
    pick: int = 0


class Player:
    """Plays schedules: each step acts on what the acting client holds by then."""

    def __init__(self, world: World, *, suffix: str = "") -> None:
        self.world = world
        self.users = [user + suffix for user in USERS]  # so that schedules need not share users
        self.devices = [Device(world, user + suffix, via) for user, via in DEVICES]
        self._contents = itertools.count(1)
        self._steps: dict[str, Callable[[Step, Device], None]] = {
            "send": self._send,
            "burst": self._burst,
            "edit": self._edit,
            "delete": self._delete,
            "react": self._react,
            "ack": self._ack,
            "group": self._group,
            "change": self._change,
            "add": self._add,
            "remove": self._remove,
            "role": self._role,
            "drop": lambda step, device: device.drop(),
            "connect": lambda step, device: device.connect(resume=step.pick % 2 == 0),
            "sync": lambda step, device: device.sync() if device.link else None,
            "pause": lambda step, device: device.link.pause() if device.link else None,
            "resume": lambda step, device: device.link.resume() if device.link else None,
        }

    async def open(self) -> None:
        """Let everybody connect, and make three conversations: one direct, a group and an open channel."""
        for device in self.devices:
            device.connect()
        await self.quiet()
        _, bob, carol, dave = self.users
        self.devices[0].tell("send", to=bob, content="hi")
        for body in (
            {"kind": "group", "name": "group", "member_ids": [bob, carol]},
            {"kind": "channel", "name": "channel", "member_ids": [dave]},
        ):
            self._call(self.devices[0], "POST", "/v1/conversations", body)
            await self.quiet()  # the group is made first
        assert len(self.world.created) == 2

    async def play(self, steps: Sequence[Step]) -> None:
        """Let the steps happen one after another; only some of them wait for what the ones before lead to."""
        for step in steps:
            if step.do == "rest":
                await self.quiet()
            elif step.do == "pass":
                await self.world.passes((0.05, 1, 6, 40)[step.pick % 4])
            elif step.do in self._steps:
                self._steps[step.do](step, self.devices[step.who % len(self.devices)])
            else:
                await self.world.breaks(step.do, step.pick)
            self._pump()

    async def finish(self) -> None:
        """Heal the world and bring every client to the present."""
        for device in self.devices:
            if device.link is not None:
                device.link.resume()
        await self.world.heal()
        await self.quiet()
        for _ in range(3):  # a client may be closed as slow while it comes back
            for device in self.devices:
                device.connect()
            await self.quiet()

    async def compare(self) -> None:
        """Compare what each client holds with what one holds that asks for everything anew."""
        for device in tuple(self.devices):
            assert_same(device.reader, await self.fresh(device.user, 1 - device.via))
        for one, other in itertools.combinations(self.devices, 2):
            if one.user == other.user:
                assert_kept_alike(one.reader, other.reader)

    async def fresh(self, user: str, via: int) -> Reader:
        """Read everything that is there for a user, as a client does that holds nothing."""
        device = Device(self.world, user, via)
        self.devices.append(device)
        device.connect()
        await self.quiet()
        assert device.link is not None
        device.drop()
        self.devices.remove(device)
        return device.reader

    async def quiet(self) -> None:
        """Wait until nobody has anything more to say or to read."""
        for _ in range(MAX_ROUNDS):
            await self.world.rest()
            if self._pump():
                continue
            if all(device.is_idle for device in self.devices):
                return
            await self.world.passes(0.5)
        raise AssertionError("The clients do not come to rest.")

    def _pump(self) -> bool:
        return any([device.pump() for device in self.devices])

    def rooms(self, device: Device) -> list[str]:
        """Name the conversations that the client holds messages or news of."""
        return sorted(device.reader.rooms)

    def _rooms(self, device: Device) -> list[str]:
        return list(dict.fromkeys((*self.world.created, *self.rooms(device))))

    def _room(self, step: Step, device: Device) -> str:
        rooms = self._rooms(device)
        return rooms[step.room % len(rooms)] if rooms else "nowhere"

    def _message(self, step: Step, device: Device) -> Frame | None:
        held = device.reader.rooms
        rooms = [held[room_id] for room_id in self._rooms(device) if room_id in held and held[room_id].messages]
        if not rooms:
            return None
        messages = rooms[step.room % len(rooms)].messages
        return messages[sorted(messages)[-1 - step.pick % min(4, len(messages))]]

    def _text(self) -> str:
        return f"text {next(self._contents)}"

    # --- steps

    def _send(self, step: Step, device: Device) -> None:
        if step.pick == 0:
            device.tell("send", to=self.users[step.room % len(self.users)], content=self._text())
        else:
            device.tell("send", conversation_id=self._room(step, device), content=self._text())

    def _burst(self, step: Step, device: Device) -> None:
        room = self._room(step, device)
        for _ in range(BURST):
            device.tell("send", conversation_id=room, content=self._text())

    def _edit(self, step: Step, device: Device) -> None:
        if message := self._message(step, device):
            device.tell("edit", message_id=message["id"], content=self._text(), metadata={"n": step.pick})

    def _delete(self, step: Step, device: Device) -> None:
        if message := self._message(step, device):
            device.tell("delete", message_id=message["id"], scope="me" if step.pick % 2 else "everyone")

    def _react(self, step: Step, device: Device) -> None:
        if message := self._message(step, device):
            device.tell("react", message_id=message["id"], emoji=EMOJI[step.who % 3], remove=step.pick % 3 == 2)

    def _ack(self, step: Step, device: Device) -> None:
        if message := self._message(step, device):
            stage = "read" if step.pick % 2 else "delivered"
            device.tell("ack", conversation_id=message["conversation_id"], seq=message["seq"], stage=stage)

    def _call(self, device: Device, method: str, path: str, body: Frame | None = None) -> None:
        self.world.call(device.user, device.via, method, path, body)

    def _group(self, step: Step, device: Device) -> None:
        kind = ("group", "channel", "space", "group")[step.pick % 4]
        others = [user for number, user in enumerate(self.users) if step.room + step.pick & 1 << number]
        history = (None, "full", "joined")[step.pick % 3]
        body: Frame = {"kind": kind, "name": self._text(), "member_ids": others, "history": history}
        if kind == "channel" and self.world.created:
            body["parent_id"] = self.world.created[step.room % len(self.world.created)]  # refused where it is no space
        self._call(device, "POST", "/v1/conversations", body)

    def _change(self, step: Step, device: Device) -> None:
        body: Frame = {"name": self._text()}
        if step.pick % 3 == 1:
            body = {"history": ("full", "joined")[step.pick % 2], "metadata": {"n": step.pick}}
        self._call(device, "PATCH", f"/v1/conversations/{self._room(step, device)}", body)

    def _add(self, step: Step, device: Device) -> None:
        user = self.users[step.pick % len(self.users)]
        self._call(device, "PUT", f"/v1/conversations/{self._room(step, device)}/members/{user}")

    def _remove(self, step: Step, device: Device) -> None:
        user = self.users[step.pick % len(self.users)]
        self._call(device, "DELETE", f"/v1/conversations/{self._room(step, device)}/members/{user}")

    def _role(self, step: Step, device: Device) -> None:
        user, role = self.users[step.pick % len(self.users)], ("member", "admin", "owner")[step.pick % 3]
        self._call(device, "PUT", f"/v1/conversations/{self._room(step, device)}/members/{user}", {"role": role})
