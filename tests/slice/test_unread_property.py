"""Unread counts after every single operation, on the server and on both devices, against a count by hand."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from history import listing
from tests.slice.device import Device
from tests.slice.model import Reader
from tests.slice.schedule import Step
from tests.slice.town import Town, town

OWNER, OTHERS = "alice", ("bob", "carol")
USERS = (OWNER, *OTHERS)
ACK_FLUSH_S = 0.3


@dataclass
class Said:
    """A message, as far as it counts."""

    sender: str
    deleted: bool = False
    hidden_for: set[str] = field(default_factory=set)


@dataclass
class Count:
    """One room, counted by hand."""

    full: bool
    window: int = listing.UNREAD_WINDOW  # the server looks at no more last messages
    messages: list[Said] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=lambda: dict.fromkeys(USERS, 1))  # of members only
    read: dict[str, int] = field(default_factory=lambda: dict.fromkeys(USERS, 0))

    def unread(self, user: str) -> int:
        """Count what is unread."""
        return self._after(user, max(self.read[user], self.first[user] - 1))

    def unread_at_last(self, user: str) -> int:
        """Count what is unread among the last messages, as the server does."""
        return self._after(user, max(self.read[user], self.first[user] - 1, len(self.messages) - self.window))

    def _after(self, user: str, seen: int) -> int:
        return sum(
            message.sender != user and not message.deleted and user not in message.hidden_for
            for message in self.messages[seen:]
        )


class Play:
    """Does one thing after another, in the room and in the count."""

    def __init__(self, world: Town, *, full: bool, window: int) -> None:
        self.world = world
        self.count = Count(full, window)
        self.devices = {user: (Device(world, user, 0), Device(world, user, 1)) for user in USERS}
        self._acts = {
            "send": self._send,
            "edit": self._edit,
            "delete": self._delete,
            "hide": self._hide,
            "react": self._react,
            "read": self._read,
            "leave": self._leave,
            "join": self._join,
        }

    async def open(self) -> None:
        for both in self.devices.values():
            for device in both:
                device.connect()
        history = "full" if self.count.full else "joined"
        body = {"kind": "group", "member_ids": list(OTHERS), "history": history}
        self.world.call(OWNER, 0, "POST", "/v1/conversations", body)
        await self._settled()
        [self.room] = self.world.created

    async def act(self, step: Step) -> None:
        user = USERS[step.who % len(USERS)]
        self._acts[step.do](step, user, self.devices[user][step.room % 2])
        await self._settled()
        await self._check()

    async def _check(self) -> None:
        for user in USERS:
            told = await self.world.get(user, 0, "/v1/unread")
            listed = await self.world.get(user, 1, "/v1/conversations")
            expected = self.count.unread_at_last(user) if user in self.count.first else 0
            assert told["conversations"].get(self.room, 0) == told["total"] == expected, user
            shown = {each["id"]: each["unread"] for each in listed["conversations"]}
            assert shown == ({self.room: expected} if user in self.count.first else {}), user
            for number, device in enumerate(self.devices[user]):
                if user in self.count.first:
                    counted, unread = (
                        _counted(device.reader, self.room, self.count.first[user]),
                        self.count.unread(user),
                    )
                    assert counted == unread, f"{user}'s device {number} counts {counted}, not {unread}"

    async def _settled(self) -> None:
        for _ in range(20):
            await self.world.rest()
            if not any([device.pump() for both in self.devices.values() for device in both]):
                break
        await self.world.passes(ACK_FLUSH_S)
        for both in self.devices.values():
            for device in both:
                device.pump()
        await self.world.rest()

    def _chosen(self, step: Step, user: str) -> tuple[Said, str] | None:
        """Choose a message that the user may see and that is not deleted."""
        first = self.count.first.get(user)
        if first is None:
            return None
        held = self.devices[user][0].reader.rooms[self.room].messages
        seen = [
            (said, held[seq]["id"])
            for seq, said in enumerate(self.count.messages, start=1)
            if seq >= first and not said.deleted and user not in said.hidden_for
        ]
        return seen[-1 - step.pick % len(seen)] if seen else None

    def _send(self, step: Step, user: str, device: Device) -> None:
        if user in self.count.first:
            device.tell("send", conversation_id=self.room, content="hi")
            self.count.messages.append(Said(user))

    def _edit(self, step: Step, user: str, device: Device) -> None:
        if (chosen := self._chosen(step, user)) and chosen[0].sender == user:
            device.tell("edit", message_id=chosen[1], content=f"edited {step.pick}")

    def _delete(self, step: Step, user: str, device: Device) -> None:
        if (chosen := self._chosen(step, user)) and user in (chosen[0].sender, OWNER):
            device.tell("delete", message_id=chosen[1])
            chosen[0].deleted = True

    def _hide(self, step: Step, user: str, device: Device) -> None:
        if chosen := self._chosen(step, user):
            device.tell("delete", message_id=chosen[1], scope="me")
            chosen[0].hidden_for.add(user)

    def _react(self, step: Step, user: str, device: Device) -> None:
        if chosen := self._chosen(step, user):
            device.tell("react", message_id=chosen[1], emoji="x", remove=step.pick % 2 == 1)

    def _read(self, step: Step, user: str, device: Device) -> None:
        if user in self.count.first and self.count.messages:
            seq = 1 + step.pick % len(self.count.messages)
            device.tell("ack", conversation_id=self.room, seq=seq, stage="read")
            self.count.read[user] = max(self.count.read[user], seq)

    def _leave(self, step: Step, user: str, device: Device) -> None:
        if user != OWNER and user in self.count.first:
            self.world.call(user, 0, "DELETE", f"/v1/conversations/{self.room}/members/{user}", None)
            del self.count.first[user]

    def _join(self, step: Step, user: str, device: Device) -> None:
        if user not in self.count.first:
            self.world.call(OWNER, 1, "PUT", f"/v1/conversations/{self.room}/members/{user}", None)
            self.count.first[user] = 1 if self.count.full else len(self.count.messages) + 1


def _counted(reader: Reader, room_id: str, first: int) -> int:
    """Count as a client does: messages of others above one's own read watermark that are not deleted."""
    room = reader.rooms[room_id]
    read = max(room.marks.get((reader.user_id, "read"), 0), first - 1)
    return sum(
        seq > read and message["sender_id"] != reader.user_id and message["deleted_at"] is None
        for seq, message in room.messages.items()
    )


DO = (*("send",) * 5, *("read", "hide", "delete") * 2, "edit", "react", "leave", "join", "join")
STEPS = st.lists(
    st.builds(Step, st.sampled_from(DO), st.integers(0, 2), st.integers(0, 1), st.integers(0, 7)),
    min_size=1,
    max_size=25,
)


async def play(steps: list[Step], *, full: bool, window: int) -> None:
    async with asyncio.timeout(60), town() as world:
        game = Play(world, full=full, window=window)
        await game.open()
        for step in steps:
            await game.act(step)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(steps=STEPS, full=st.booleans(), window=st.sampled_from((2, 4, listing.UNREAD_WINDOW)))
def test_unread_counts_are_right_after_every_operation(steps: list[Step], full: bool, window: int) -> None:
    with asyncio.Runner(debug=False) as runner, pytest.MonkeyPatch.context() as patch:  # debugging takes twice the time
        patch.setattr(listing, "UNREAD_WINDOW", window)  # so that schedules reach it
        runner.run(play(steps, full=full, window=window))
