"""Edits, deletions and reactions over a socket; names that are numbers; and that nothing overtakes anything."""

import asyncio

import pytest

from shared.commands import (
    Acknowledge,
    DeleteMessage,
    DeleteScope,
    EditMessage,
    SendMessage,
    SetReaction,
    SetTyping,
    Stage,
)
from shared.envelope import Body
from shared.errors import ErrorBody
from shared.events import Changed, ConversationChange, Rejected
from shared.history_api import MessagePlace
from shared.ids import MessageId
from tests.fakes.clock import settle
from tests.fakes.edge import Edge, gateway
from tests.fakes.messages import BOB, ROOM, became, deleted, edited, reacted, stored

PLACE = MessagePlace(message_id=MessageId("room-1"), conversation_id=ROOM, seq=1)


async def bodies(edge: Edge) -> list[Body]:
    return [envelope.body for envelope in await edge.posted()]


async def changed(edge: Edge, version: int = 2) -> Body:
    """Play history: answer the one change that was posted."""
    [envelope] = await edge.posted()
    command = envelope.body
    assert isinstance(command, EditMessage | DeleteMessage | SetReaction)
    assert envelope.id == command.change_id
    answer = Changed(change_id=command.change_id, conversation_id=command.conversation_id, version=version)
    await edge.tell(answer, answer_to=envelope.id)
    return command


@pytest.mark.parametrize("name", ["room-1", 67108865, "67108865"])
async def test_a_message_is_found_by_its_id_or_its_number_and_edited(name: str | int) -> None:
    async with gateway() as edge:
        edge.history.places = {"room-1": PLACE, 67108865: PLACE}  # type: ignore[dict-item]
        bob = await edge.connect()
        bob.send_frame("edit", frame_id="1", message_id=name, content="new")
        command = await changed(edge)
        assert isinstance(command, EditMessage)
        assert (command.message_id, command.conversation_id, command.actor_id) == ("room-1", ROOM, BOB)
        reply = await bob.next("reply")
        assert reply == {"conversation_id": ROOM, "version": 2}


async def test_deleting_and_reacting_are_answered_with_the_version() -> None:
    async with gateway() as edge:
        edge.history.places = {MessageId("room-1"): PLACE}
        bob = await edge.connect()
        bob.send_frame("delete", frame_id="1", message_id="room-1", scope="me")
        deletion = await changed(edge, 4)
        bob.send_frame("react", frame_id="2", message_id="room-1", emoji="👍", remove=True)
        reaction = await changed(edge, 5)
        assert isinstance(deletion, DeleteMessage)
        assert deletion.scope is DeleteScope.ME
        assert isinstance(reaction, SetReaction)
        assert (reaction.emoji, reaction.removed) == ("👍", True)
        assert [(await bob.next("reply"))["version"] for _ in range(2)] == [4, 5]


async def test_history_s_refusal_of_a_change_reaches_who_asked() -> None:
    async with gateway() as edge:
        edge.history.places = {MessageId("room-1"): PLACE}
        bob = await edge.connect()
        bob.send_frame("edit", frame_id="1", message_id="room-1", content="new")
        [envelope] = await edge.posted()
        await edge.tell(Rejected(error=ErrorBody(code="forbidden", message="No.")), answer_to=envelope.id)
        assert (await bob.next_error())["code"] == "forbidden"


async def test_a_message_that_is_not_there_is_not_found_and_what_comes_behind_goes_on() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        bob.send_frame("edit", frame_id="1", message_id="nothing", content="new")
        bob.send_frame("send", frame_id="2", conversation_id=ROOM, content="hi")
        assert (await bob.next_error())["code"] == "not_found"
        [sent] = await bodies(edge)
        assert isinstance(sent, SendMessage)


async def test_a_change_without_an_answer_in_time_is_unavailable() -> None:
    async with gateway() as edge:
        edge.history.places = {MessageId("room-1"): PLACE}
        bob = await edge.connect()
        bob.send_frame("react", frame_id="1", message_id="room-1", emoji="👍")
        await edge.posted()
        await edge.clock.advance(6)
        assert (await bob.next_error())["code"] == "unavailable"


async def test_a_change_whose_answer_may_be_lost_with_the_queue_is_sent_again() -> None:
    async with gateway() as edge:
        edge.history.places = {MessageId("room-1"): PLACE}
        bob = await edge.connect()
        bob.send_frame("react", frame_id="1", message_id="room-1", emoji="👍")
        [first] = await edge.posted()
        edge.broker.break_connection()
        edge.broker.restore()
        await edge.clock.advance(2)
        [again] = await edge.posted()
        assert (again.id, again.body) == (first.id, first.body)


async def test_nothing_overtakes_a_command_whose_message_is_being_found() -> None:
    async with gateway() as edge:
        edge.history.places = {MessageId("room-1"): PLACE}
        bob = await edge.connect()
        edge.history.gate.clear()
        bob.send_frame("edit", message_id="room-1", content="new")
        bob.send_frame("send", conversation_id=ROOM, content="hi")
        bob.send_frame("typing", conversation_id=ROOM)
        bob.send_frame("delete", message_id="room-1")
        await settle()
        assert (await bodies(edge), await edge.signals()) == ([], [])
        edge.history.gate.set()
        kinds = [type(body) for body in await bodies(edge)]
        assert kinds == [EditMessage, SendMessage, DeleteMessage]
        assert len(await edge.signals()) == 1


async def test_the_read_loop_goes_on_while_a_message_is_being_found() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        edge.history.gate.clear()
        bob.send_frame("edit", message_id="room-1", content="new")
        assert await bob.request("ping", x=1) == {"x": 1}


async def test_what_waits_to_be_found_counts_as_in_flight() -> None:
    async with gateway(max_in_flight="2") as edge:
        bob = await edge.connect()
        edge.history.gate.clear()
        for seq in (1, 2, 3):
            bob.send_frame("ack", conversation_id=7, seq=seq, stage="read")
        bob.send_frame("ping", frame_id="late")
        await settle()
        assert bob.unread("reply") == []
        edge.history.gate.set()
        await bob.next_where(lambda frame: frame.get("id") == "late")


async def test_a_number_stands_for_a_conversation_wherever_an_id_may() -> None:
    async with gateway() as edge:
        edge.history.numbers = {7: ROOM}
        edge.history.places = {67108865: PLACE}
        bob = await edge.connect()
        bob.send_frame("send", conversation_id=7, content="hi", reply_to=67108865)
        bob.send_frame("typing", conversation_id="7")
        bob.send_frame("ack", conversation_id=7, seq=1, stage="read")
        await bob.request("history", conversation_id=7)
        await bob.request("sync", conversations={"7": 3})
        await edge.clock.advance(1)
        sent, ack = await bodies(edge)
        assert isinstance(sent, SendMessage)
        assert (sent.conversation_id, sent.reply_to) == (ROOM, "room-1")
        assert isinstance(ack, Acknowledge)
        assert ack.conversation_id == ROOM
        [typing] = await edge.signals()
        assert isinstance(typing, SetTyping)
        assert typing.conversation_id == ROOM
        assert edge.history.asked[-1].versions == {ROOM: 3}


async def test_a_number_of_nothing_is_not_found() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        assert (await bob.refused("send", conversation_id=9, content="hi"))["code"] == "not_found"
        assert (await bob.refused("history", conversation_id=9))["code"] == "not_found"
        assert (await bob.refused("sync", conversations={"9": 1}))["code"] == "not_found"
        await edge.deliver(stored(1))
        assert (await bob.next("message"))["seq"] == 1  # the pushes go on behind the sync that was refused


async def test_what_was_found_is_not_sought_again() -> None:
    async with gateway() as edge:
        edge.history.places = {MessageId("room-1"): PLACE}
        bob = await edge.connect()
        for _ in range(3):
            bob.send_frame("react", message_id="room-1", emoji="👍")
        await edge.posted()
        assert edge.history.sought == ["room-1"]


async def test_every_entry_of_the_log_is_pushed() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        await edge.deliver(stored(1), edited(2, seq=1), reacted(3, seq=1), deleted(4, seq=1))
        await edge.deliver(became(5, ConversationChange.MEMBER_REMOVED, BOB))
        for type_, version in (("message", 1), ("message.updated", 2), ("reaction", 3), ("message.deleted", 4)):
            assert (await bob.next(type_))["version"] == version
        removal = await bob.next("conversation")
        assert (removal["change"], removal["user_ids"]) == ("member_removed", ["bob"])


async def test_an_acknowledgement_of_delivery_says_when_the_message_was_pushed_and_by_whom() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        await edge.clock.advance(1)
        pushed_at = edge.clock.now()
        await edge.deliver(stored(1))
        await edge.clock.advance(1)
        bob.send_frame("ack", conversation_id=ROOM, seq=1, stage=Stage.DELIVERED)
        bob.send_frame("ack", conversation_id=ROOM, seq=1, stage=Stage.READ)
        await edge.clock.advance(1)
        delivered, read = await bodies(edge)
        assert isinstance(delivered, Acknowledge)
        assert isinstance(read, Acknowledge)
        assert (delivered.pushed_at, delivered.gateway_id) == (pushed_at, "gw-1")
        assert (read.pushed_at, read.gateway_id) == (None, None)


async def test_a_session_that_ends_while_a_message_is_being_found_ends() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        edge.history.gate.clear()
        bob.send_frame("edit", message_id="room-1", content="new")
        await settle()
        bob.hang_up()
        await bob.left.wait()
        edge.history.gate.set()
        assert await bodies(edge) == []


async def test_a_drain_waits_for_what_is_being_found() -> None:
    async with gateway() as edge, asyncio.TaskGroup() as tasks:
        edge.history.places = {MessageId("room-1"): PLACE}
        bob = await edge.connect()
        edge.history.gate.clear()
        bob.send_frame("edit", frame_id="1", message_id="room-1", content="new")
        await settle()
        drain = tasks.create_task(edge.drain())
        await settle()
        assert bob.unread("bye") == []
        edge.history.gate.set()
        await changed(edge)
        assert (await bob.next("reply"))["version"] == 2
        assert await bob.closed() == 3000
        await drain
