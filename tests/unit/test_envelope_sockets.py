"""The envelope wire's sockets at a gateway: who is let in, what becomes of bad frames, that the connection goes on."""

import asyncio
import json
from typing import Any

import jwt
import pytest
from msgspec.structs import replace
from starlette.types import Message

from shared.commands import Role, SendMessage, SetStatus
from shared.errors import ErrorBody
from shared.events import Rejected, SessionOpened, Stored
from shared.history_api import MessagePage, MessagePlace
from tests.fakes.clock import START, settle
from tests.fakes.edge import SECRET, Edge, gateway
from tests.fakes.messages import BOB, ROOM, conversation, stored
from tests.slice.sockets import FakeSocket, Frame

PATH = "/ws/envelope"


async def envelope(edge: Edge, **query: str) -> FakeSocket:
    asked = {"token": edge.token(device="phone"), **query}
    socket = edge.dial("&".join(f"{key}={value}" for key, value in asked.items()), path=PATH)
    await settle()
    return socket


async def answer(socket: FakeSocket, frame: object) -> list[Frame]:
    """What comes of one frame."""
    socket.send_text(frame if isinstance(frame, str) else json.dumps(frame))
    await settle()
    return socket.taken()


def chat(id_: str | None = "c-1", **data: Any) -> Frame:
    return {"type": "chat", "id": id_, "data": {"content": "hi", **data}, "timestamp": "2026-01-01T12:00:00.000"}


async def test_the_subprotocol_that_browsers_insist_on_is_chosen() -> None:
    async with gateway() as edge:
        said: list[Message] = []
        heard = iter(({"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}))

        async def receive() -> Message:
            return next(heard)

        async def send(message: Message) -> None:
            said.append(message)

        query = f"token={edge.token()}".encode()
        scope = {"type": "websocket", "path": PATH, "query_string": query, "headers": [], "subprotocols": ["websocket"]}
        await edge.app(scope, receive, send)
        assert said[0] == {"type": "websocket.accept", "subprotocol": "websocket"}


@pytest.mark.parametrize("key", ["device_id", "deviceId"])
async def test_a_client_may_name_its_device(key: str) -> None:
    async with gateway() as edge:
        edge.dial(f"token={edge.token()}&{key}=tablet", path=PATH)
        [opened] = [told for told in await edge.announced() if isinstance(told, SessionOpened)]
        assert (opened.session.device.id, opened.session.dialect) == ("tablet", "envelope")


def _tokens(edge: Edge) -> dict[str, str]:
    claims = {"sub": "bob", "exp": START.timestamp() + 3600}
    head, body, signature = edge.token().split(".")
    return {
        "none": "",
        "empty": "token=",
        "nonsense": "token=nonsense",
        "tampered": f"token={head}.{body}.{signature[::-1]}",
        "another key": f"token={jwt.encode(claims, 'another-secret-of-thirty-two-bytes', 'HS256')}",
        "alg none": f"token={jwt.encode(claims, '', 'none')}",
        "expired": f"token={jwt.encode({**claims, 'exp': START.timestamp() - 60}, SECRET, 'HS256')}",
        "a device that is none": f"token={edge.token()}&device_id=%00",
        "somebody else": f"token={edge.token()}&userId=alice",
    }


@pytest.mark.parametrize(
    "case",
    [
        "none",
        "empty",
        "nonsense",
        "tampered",
        "another key",
        "alg none",
        "expired",
        "a device that is none",
        "somebody else",
    ],
)
async def test_who_has_no_valid_token_is_told_so_and_closed(case: str) -> None:
    async with gateway() as edge:
        socket = edge.dial(_tokens(edge)[case], path=PATH)
        assert await socket.closed() == 1008
        [error, bye] = socket.taken()
        assert error["type"] == "error"
        assert error["data"]["code"] in ("unauthenticated", "token_expired", "invalid_field", "forbidden")
        assert (bye["type"], bye["data"]["action"], bye["data"]["reconnect"]) == ("systemMessage", "bye", False)


async def test_the_wire_can_be_switched_off() -> None:
    async with gateway(wires="devices") as edge:
        socket = edge.dial(f"token={edge.token()}", path=PATH)
        assert await socket.closed() == 1000


@pytest.mark.parametrize(
    ("frame", "code", "id_"),
    [
        ("{", "invalid", None),
        ("[]", "invalid", None),
        ("null", "invalid", None),
        ("", "invalid", None),
        ({"data": {}}, "invalid_field", None),
        ({"type": "dance", "id": "1"}, "unknown_type", "1"),
        ({"type": "chat", "id": "1"}, "invalid_field", "1"),
        ({"type": "chat", "id": "1", "data": "hi"}, "invalid_field", "1"),
        (chat(to="bob", content=None), "invalid_field", "c-1"),
        (chat(), "invalid", "c-1"),
        (chat(to="bob", content="x" * 16_385), "too_large", "c-1"),
        (chat(to="bob", content="x" * 131_072), "too_large", "c-1"),
        (chat(to="bob", metadata="{}"), "invalid_field", "c-1"),
        *(
            (chat(to="alice", **{name: "carol"}), "forbidden", "c-1")
            for name in ("senderId", "userId", "sender_id", "user_id", "fromUserId", "from_user_id", "sender", "from")
        ),
        (chat(to="alice", sender={"id": "carol", "name": "Carol"}), "forbidden", "c-1"),
        ({"type": "userStatus", "id": "1", "data": {"status": "away", "user_id": "carol"}}, "forbidden", "1"),
        (chat(channelId="nothing"), "not_found", "c-1"),
        (chat(channelId=999), "not_found", "c-1"),
        (chat(channelId="alice_carol"), "not_found", "c-1"),  # other people's
        (chat(channelId="Kein Kanal! 🦀"), "not_found", "c-1"),
        (chat(channelId=str(ROOM)), "not_a_member", "c-1"),
        ({"type": "systemMessage", "id": "1", "data": {"action": "dance"}}, "invalid_field", "1"),
        ({"type": "systemMessage", "id": "1", "data": {"action": "subscribe"}}, "invalid_field", "1"),
        ({"type": "systemMessage", "id": "1", "data": {"action": "subscribe", "channel": "no"}}, "not_found", "1"),
        ({"type": "systemMessage", "id": "1", "data": {"action": "subscribe", "channel": ROOM}}, "not_a_member", "1"),
        ({"type": "systemMessage", "id": "1", "data": {"action": "unsubscribe", "channel": ROOM}}, "not_a_member", "1"),
        ({"type": "systemMessage", "id": "1", "data": {"action": "typing", "channel": ROOM}}, "not_a_member", "1"),
        (
            {"type": "systemMessage", "id": "1", "data": {"action": "read", "channel": ROOM, "seq": 1}},
            "not_a_member",
            "1",
        ),
        ({"type": "systemMessage", "id": "1", "data": {"action": "read", "channel": ROOM}}, "invalid", "1"),
        ({"type": "systemMessage", "id": "1", "data": {"action": "read", "messageId": "m"}}, "not_found", "1"),
        ({"type": "userStatus", "id": "1", "data": {"status": "asleep"}}, "invalid_field", "1"),
    ],
)
async def test_a_bad_frame_is_answered_by_one_error_and_the_connection_goes_on(
    frame: object, code: str, id_: str | None
) -> None:
    async with gateway() as edge:
        edge.history.closed = {ROOM}
        socket = await envelope(edge)
        [error] = await answer(socket, frame)
        assert (error["type"], error["id"], error["data"]["code"]) == ("error", id_, code)
        assert error["data"]["message"]
        assert await edge.posted() == []
        [pong] = await answer(socket, {"type": "ping", "data": {"n": 1}, "id": None})
        assert (pong["type"], pong["data"], pong["id"]) == ("pong", {"n": 1}, None)


async def test_ten_unreadable_frames_in_a_row_close_the_socket() -> None:
    async with gateway() as edge:
        socket = await envelope(edge)
        for _ in range(10):
            socket.send_text("{")
        assert await socket.closed() == 3504


async def test_what_a_subscription_is_refused_for_names_the_action_and_the_channel() -> None:
    async with gateway() as edge:
        socket = await envelope(edge)
        data = {"action": "subscribe", "channel": "City news"}
        [error] = await answer(socket, {"type": "systemMessage", "id": "s-1", "data": data})
        assert (error["data"]["action"], error["data"]["channel"], error["data"]["ok"]) == (*data.values(), False)


async def test_a_message_speaks_for_the_token_s_user_under_the_client_s_id() -> None:
    async with gateway() as edge:
        socket = await envelope(edge)
        assert await answer(socket, chat(to="alice", senderId="bob", senderName="Mallory")) == []
        [envelope_] = await edge.posted()
        command = envelope_.body
        assert isinstance(command, SendMessage)
        assert (command.sender_id, command.sender_name, command.client_id) == ("bob", "Bob", "c-1")


async def test_what_history_refuses_is_told_by_the_frame_s_id() -> None:
    async with gateway() as edge:
        socket = await envelope(edge)
        await answer(socket, chat(to="alice"))
        [asked] = await edge.posted()
        rejected = Rejected(error=ErrorBody(code="forbidden", message="No."))
        await edge.tell(rejected, answer_to=asked.id)
        [error] = socket.taken()
        assert (error["type"], error["id"], error["data"]) == ("error", "c-1", {"code": "forbidden", "message": "No."})


async def test_a_message_for_an_id_is_taken_while_history_is_away_and_one_for_a_name_is_not() -> None:
    async with gateway() as edge:
        socket = await envelope(edge)
        edge.history.down = True
        assert await answer(socket, chat(channelId=ROOM)) == []
        [asked] = await edge.posted()
        assert isinstance(asked.body, SendMessage)
        assert asked.body.conversation_id == ROOM
        [error] = await answer(socket, chat("c-2", channelId="City news"))
        assert (error["id"], error["data"]["code"]) == ("c-2", "unavailable")


async def test_messages_keep_their_order_also_behind_one_whose_channel_is_to_be_found() -> None:
    async with gateway() as edge:
        socket = await envelope(edge)
        edge.history.down = True  # found or not, the ids are taken as they are
        edge.history.gate.clear()
        for number in range(3):
            socket.send_text(json.dumps(chat(f"c-{number}", channelId=ROOM)))
        socket.send_text(json.dumps(chat("c-3", to="alice")))
        edge.history.gate.set()
        sent = [each.body.client_id for each in await edge.posted() if isinstance(each.body, SendMessage)]
        assert [each for each in sent if each != "c-3"] == ["c-0", "c-1", "c-2"]


async def test_a_rate_is_kept_to() -> None:
    async with gateway(rate_per_s="1", rate_burst="3") as edge:
        socket = await envelope(edge)  # the first one
        told = [await answer(socket, chat(f"c-{number}", to="alice")) for number in range(4)]
        assert [len(each) for each in told] == [0, 0, 1, 1]
        [error] = told[3]
        assert (error["id"], error["data"]["code"]) == ("c-3", "rate_limited")
        assert error["data"]["retryAfterMs"] > 0


async def test_a_server_s_pong_is_not_asked_for_and_a_client_s_is_taken() -> None:
    async with gateway() as edge:
        socket = await envelope(edge)
        assert await answer(socket, {"type": "pong", "data": {}, "id": None}) == []


async def test_a_status_goes_to_presence_for_the_token_s_user() -> None:
    async with gateway() as edge:
        socket = await envelope(edge)
        done = await answer(socket, {"type": "userStatus", "id": "u", "data": {"status": "dnd"}})
        [command] = [told for told in await edge.announced() if isinstance(told, SetStatus)]
        assert (command.user_id, command.status) == ("bob", "dnd")
        assert [frame["id"] for frame in done or socket.taken()] == ["u"]


async def test_a_draining_gateway_says_so_before_it_closes() -> None:
    async with gateway() as edge, asyncio.TaskGroup() as tasks:
        socket = await envelope(edge)
        tasks.create_task(edge.drain())
        assert await socket.closed() == 3000
        [bye] = socket.taken()
        assert (bye["type"], bye["data"]["action"], bye["data"]["reconnect"]) == ("systemMessage", "bye", True)
        await edge.clock.advance(10)


async def test_a_message_that_was_taken_answers_also_once_its_channel_is_silenced() -> None:
    async with gateway() as edge:
        edge.history.known = {ROOM: replace(conversation(0), role=Role.MEMBER)}
        socket = await envelope(edge)
        await answer(socket, chat(channelId=ROOM))
        [asked] = await edge.posted()
        assert isinstance(asked.body, SendMessage)
        own = replace(stored(1, sender=BOB).message, id=asked.body.message_id, client_id="c-1")
        taken = Stored(
            message_id=own.id,
            conversation_id=ROOM,
            client_id="c-1",
            seq=1,
            version=1,
            number=own.number,
            created_at=START,
        )
        await edge.tell(taken, answer_to=asked.id)
        [done] = await answer(
            socket, {"type": "systemMessage", "id": "1", "data": {"action": "unsubscribe", "channel": ROOM}}
        )
        assert done["data"]["ok"]
        await edge.deliver(replace(stored(1), message=own), stored(2))
        assert [(told["type"], told["id"]) for told in socket.taken()] == [("chat", "c-1")]


async def test_a_repeat_is_answered_by_the_message_that_was_stored_first() -> None:
    async with gateway() as edge:
        socket = await envelope(edge)
        await answer(socket, chat(to="alice", content="again"))
        [asked] = await edge.posted()
        assert isinstance(asked.body, SendMessage)
        first = stored(1).message
        place = MessagePlace(message_id=first.id, conversation_id=ROOM, seq=1)
        edge.history.places, edge.history.page = (
            {first.id: place},
            MessagePage(messages=(first,), watermarks=(), has_more=False),
        )
        await edge.tell(
            Stored(
                message_id=first.id,
                conversation_id=ROOM,
                client_id="c-1",
                seq=1,
                version=1,
                number=first.number,
                created_at=START,
            ),
            answer_to=asked.id,
        )
        [told] = socket.taken()
        assert (told["type"], told["data"]["id"], told["data"]["content"]) == ("chat", first.id, "1")
