"""The devices wire's published client, beside itself and native ones, through all four services at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
import pytest

from shared.ids import UserId
from tests.clients.devices import ChatScreen, Json, Message, MessageService, MessageStatus, SessionsScreen
from tests.fakes.clock import settle
from tests.slice.sockets import FakeSocket
from tests.slice.warren import Warren, running, send

T = TypeVar("T")
ACKS_S = 0.3


class Devices:
    """Apps of devices, which name themselves and have no token."""

    def __init__(self, warren: Warren, http: dict[str, httpx.AsyncClient]) -> None:
        self.warren = warren
        self._http = http

    def app(
        self, device_id: str, *, via: str = "gw-1", query: str = "", name: str = "Flutter Device"
    ) -> MessageService:
        def dial(path: str) -> FakeSocket:
            return self.warren.dial(query, via=via, path=path)

        return MessageService(self._http[via], dial, device_id=device_id, device_name=name)

    async def connect(self, device_id: str, *, via: str = "gw-1", query: str = "") -> MessageService:
        app = self.app(device_id, via=via, query=query)
        app.connect()
        await self.rest()
        app.pump()
        return app

    async def call(self, app: MessageService, method: str, path: str, body: Json | None = None) -> httpx.Response:
        return await self._http["gw-1"].request(method, path, json=body, headers={"X-Device-ID": app.device_id})

    async def rest(self, *apps: MessageService) -> None:
        """Let everything happen that is under way, and the apps take it."""
        await settle()
        await self.warren.passes(ACKS_S)
        await settle()
        for app in apps:
            app.pump()

    async def done(self, call: Coroutine[Any, Any, T]) -> T:
        """Make a call that is answered once its acknowledgement counts."""
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(call)
            await self.rest()
        return asked.result()


@asynccontextmanager
async def town(**settings: str) -> AsyncIterator[Devices]:
    async with running(**{"open_devices": "true", "wires": "devices", **settings}) as warren:
        warren.start_gateway("gw-2")
        await settle()
        clients = {
            via: httpx.AsyncClient(transport=httpx.ASGITransport(warren.app(via)), base_url=f"http://{via}")
            for via in ("gw-1", "gw-2")
        }
        yield Devices(warren, clients)
        for client in clients.values():
            await client.aclose()


@pytest.fixture
async def devices() -> AsyncIterator[Devices]:
    async with town() as made:
        yield made


async def made_group(warren: Warren, *members: str) -> str:
    """Have alice make a group."""
    headers = {"Authorization": f"Bearer {warren.token('alice')}"}
    wish = {"kind": "group", "name": "Team", "member_ids": list(members)}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(warren.app()), base_url="http://gw-1") as http:
        return str((await http.post("/v1/conversations", json=wish, headers=headers)).json()["id"])


def contents(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


async def test_two_devices_chat_on_their_chat_screens(devices: Devices) -> None:
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben", via="gw-2")
    here, there = ChatScreen(ann, "phone-ben"), ChatScreen(ben, "phone-ann")
    await here.load()
    await there.load()
    assert (here.shown, there.shown) == ([], [])
    sent = await ann.send_message("phone-ben", "你好")
    assert (sent["status"], sent["delivered"]) == ("sent", True)
    await devices.rest(ann, ben)
    assert contents(here.shown) == contents(there.shown) == ["你好"]
    assert there.shown[0].sender_name == "Device-phone-an"
    await devices.done(there.mark())
    await devices.rest(ann, ben)
    assert ann.receipts == [(sent["message_id"], "delivered"), (sent["message_id"], "read")]
    await ben.send_message("phone-ann", "hallo")
    await devices.rest(ann, ben)
    assert contents(here.shown) == contents(there.shown) == ["你好", "hallo"]
    assert [each.status.name for each in there.shown] == ["delivered", "sent"]
    await devices.done(here.load())
    assert [(each.content, each.status.name) for each in here.shown] == [("你好", "read"), ("hallo", "read")]
    await devices.rest(ann, ben)
    assert ben.receipts[-1] == (here.shown[-1].id, "read")
    assert ben.errors == ann.errors == []


async def test_the_sessions_screen_shows_who_is_there_and_what_is_unread(devices: Devices) -> None:
    ann = await devices.connect("phone-ann", query="name=Ann&type=phone&platform=android")
    ben = await devices.connect("phone-ben", via="gw-2", query="name=Ben")
    screen = SessionsScreen(ben)
    await screen.load()
    assert screen.strangers() == ["Ann: phone - android"]
    assert screen.chats() == []
    await ann.send_message("phone-ben", "1")
    await ann.send_message("phone-ben", "2")
    await ann.send_message("tablet-cat", "away")
    await devices.rest(ann, ben)
    await screen.load()
    assert screen.strangers() == []
    assert screen.chats() == [("phone-ann", "Ann", True, "2", 2)]
    assert await ben.get_unread() == {"total_unread": 2, "by_device": {"phone-ann": 2}}
    ann_screen = SessionsScreen(ann)
    await ann_screen.load()
    assert ann_screen.chats() == [
        ("tablet-cat", "Device-tablet-c", False, "away", 0),
        ("phone-ben", "Ben", True, "2", 0),
    ]
    assert [session.id for session in ann_screen.sessions] == ["phone-ann_tablet-cat", "phone-ann_phone-ben"]
    await devices.done(ben.get_messages(device_id="phone-ann"))
    assert await ben.get_unread() == {"total_unread": 0, "by_device": {}}


async def test_messages_wait_for_a_device_that_is_away(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    sent = [await ann.send_message("phone-ben", str(number)) for number in range(3)]
    assert [each["delivered"] for each in sent] == [False] * 3
    await devices.rest(ann)
    assert ann.receipts == []
    ben = await devices.connect("phone-ben", via="gw-2")
    assert contents(ben.messages) == ["0", "1", "2"]
    await devices.rest(ann)
    assert ann.receipts == [(each["message_id"], "delivered") for each in sent]


@pytest.mark.parametrize("confirmed_by", ["ping", "request", None])
async def test_what_a_device_did_not_confirm_is_pushed_again(devices: Devices, confirmed_by: str | None) -> None:
    ann = await devices.connect("phone-ann")
    ben = await devices.connect("phone-ben")
    ben.beat()
    await devices.rest()
    await ann.send_message("phone-ben", "hi")
    await devices.rest(ben)
    assert contents(ben.messages) == ["hi"]
    if confirmed_by == "ping":
        ben.beat()
    elif confirmed_by == "request":
        await ben.get_unread()
    await settle()
    ben.disconnect()
    back = await devices.connect("phone-ben", via="gw-2")
    assert contents(back.messages) == ([] if confirmed_by else ["hi"])


async def test_what_a_new_device_did_not_confirm_is_pushed_again(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    await ann.send_message("phone-ben", "before")
    ben = await devices.connect("phone-ben")
    await ann.send_message("phone-ben", "since")
    await devices.rest(ben)
    assert contents(ben.messages) == ["before", "since"]
    ben.disconnect()  # it has never said a word
    back = await devices.connect("phone-ben", via="gw-2")
    assert contents(back.messages) == ["before", "since"]


async def test_typing_is_seen_and_ends(devices: Devices) -> None:
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben", via="gw-2")
    screen = ChatScreen(ben, "phone-ann")
    ann.send_typing_indicator("phone-ben", is_typing=True)
    await devices.rest(ann, ben)
    assert screen.is_typing
    assert ann.typing == []
    ann.send_typing_indicator("phone-ben", is_typing=False)
    await devices.rest(ann, ben)
    assert not screen.is_typing
    ann.send_typing_indicator("phone-ben", is_typing=True)
    await devices.rest(ben)
    await devices.warren.passes(6)  # the other end is gone without a word
    await devices.rest(ben)
    assert not screen.is_typing


@pytest.mark.parametrize("via", ["gw-1", "gw-2"])
async def test_a_second_socket_of_a_device_takes_the_place_of_the_first(devices: Devices, via: str) -> None:
    first = await devices.connect("phone-ben")
    second = await devices.connect("phone-ben", via=via)
    assert isinstance(first.socket, FakeSocket)
    assert await first.socket.closed() == 3503
    await (await devices.connect("phone-ann")).send_message("phone-ben", "hi")
    await devices.rest(second)
    assert contents(second.messages) == ["hi"]


async def test_pages_are_adjacent_and_oldest_first(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    ids = [(await ann.send_message("phone-ben", str(number)))["message_id"] for number in range(7)]
    ben = devices.app("phone-ben")
    assert contents(await devices.done(ben.get_messages(device_id="phone-ann", limit=3))) == ["4", "5", "6"]
    session = "phone-ann_phone-ben"
    assert contents(await ben.get_messages(session_id=session, limit=3, before_id=ids[4])) == ["1", "2", "3"]
    assert contents(await ben.get_messages(session_id=session, limit=3, after_id=ids[0])) == ["1", "2", "3"]
    assert contents(await ben.get_messages(session_id=session, limit=3, before_id=ids[0])) == []
    assert contents(await ben.get_messages(session_id=session, limit=200)) == [str(number) for number in range(7)]


async def test_a_message_sent_again_with_its_client_id_is_stored_once(devices: Devices) -> None:
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben")
    first = await ann.send_message("phone-ben", "hi", metadata={"client_id": "c-1"})
    again = await ann.send_message("phone-ben", "otherwise", metadata={"client_id": "c-1"})
    other = await ann.send_message("phone-ben", "hi")
    assert (again["message_id"], again["created_at"]) == (first["message_id"], first["created_at"])
    assert again["message"] == first["message"]
    assert other["message_id"] != first["message_id"]
    await devices.rest(ann, ben)
    assert [each.id for each in ben.messages] == [first["message_id"], other["message_id"]]
    assert ben.messages[0].metadata == {"client_id": "c-1"}


async def test_a_page_is_answered_once_what_is_in_it_counts_as_read(devices: Devices) -> None:
    ann, ben = devices.app("phone-ann"), devices.app("phone-ben")
    await ann.send_message("phone-ben", "hi")
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(ben.get_messages(device_id="phone-ann"))
        await settle()
        assert not asked.done()
        await devices.warren.passes(ACKS_S)
    assert (await ben.get_unread())["total_unread"] == 0
    async with asyncio.timeout(0.5):  # nothing is new: nothing to wait for
        await ben.get_messages(device_id="phone-ann")


async def test_the_recipient_alone_says_what_became_of_a_message_and_it_never_goes_back(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    ids = [(await ann.send_message("phone-ben", str(number)))["message_id"] for number in range(3)]
    ben, eve = devices.app("phone-ben"), devices.app("phone-eve")
    for nobody in (ann, eve):
        assert await nobody.update_message_status(ids, MessageStatus.read) == {"updated_count": 0, "status": "read"}
    assert (await devices.done(ben.update_message_status(ids[:2], MessageStatus.read)))["updated_count"] == 2
    for status in (MessageStatus.delivered, MessageStatus.read, MessageStatus.pending, MessageStatus.failed):
        assert (await ben.update_message_status(ids[:2], status))["updated_count"] == 0
    assert (await devices.done(ben.update_message_status(ids, MessageStatus.delivered)))["updated_count"] == 1
    await devices.rest(ann)
    assert ann.receipts == [(ids[0], "read"), (ids[1], "read"), (ids[2], "delivered")]
    assert [each.status.name for each in await ann.get_messages(device_id="phone-ben")] == ["read", "read", "delivered"]


async def test_a_session_that_is_cleared_is_gone_for_the_caller_until_something_new_comes(devices: Devices) -> None:
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben")
    for number in range(3):
        await ann.send_message("phone-ben", str(number))
    await devices.rest(ann, ben)
    cleared = await devices.done(devices.call(ben, "DELETE", "/api/messages/sessions/phone-ann_phone-ben"))
    assert (cleared.status_code, cleared.json()["deleted_count"], cleared.json()["has_more"]) == (200, 3, False)
    assert await ben.get_sessions() == []
    assert await ben.get_messages(device_id="phone-ann") == []
    assert (await ben.get_unread())["total_unread"] == 0
    assert [(each.content, each.status.name) for each in await ann.get_messages(device_id="phone-ben")] == [
        ("0", "delivered"),
        ("1", "delivered"),
        ("2", "delivered"),
    ]
    await ann.send_message("phone-ben", "new")
    await devices.rest(ann, ben)
    [session] = await ben.get_sessions()
    assert session.last_message is not None
    assert session.last_message.content == "new"
    assert contents(await devices.done(ben.get_messages(device_id="phone-ann"))) == ["new"]


async def test_a_device_and_a_native_user_talk_with_receipts_and_typing(devices: Devices) -> None:
    alice = await devices.warren.connect("alice")
    ben = await devices.connect("phone-ben", query="name=Ben")
    sent = await send(alice, "phone-ben", "hi", "c1")
    await devices.rest(ben)
    assert [(each.content, each.sender_id, each.recipient_name) for each in ben.messages] == [("hi", "alice", "Ben")]
    assert (await alice.next("receipt"))["stage"] == "delivered"
    assert ben.socket is not None
    ben.socket.send_text(f'{{"type": "read_receipt", "message_ids": ["{sent["message_id"]}"]}}')
    await devices.rest(ben)
    assert (await alice.next("receipt"))["stage"] == "read"
    back = await ben.send_message("alice", "hello")
    message = (await alice.next("message"), await alice.next("message"))[1]
    assert (message["id"], message["sender_name"], message["content"]) == (back["message_id"], "Ben", "hello")
    alice.send_frame("ack", conversation_id=message["conversation_id"], seq=message["seq"], stage="read")
    alice.send_frame("typing", to="phone-ben", active=True)
    await devices.rest(ben)
    assert ben.receipts[-1] == (back["message_id"], "read")
    assert ben.typing == [{"alice": True}]


async def test_a_device_that_calls_rest_alone_has_a_name_on_the_other_wires(devices: Devices) -> None:
    alice = await devices.warren.connect("alice")
    shy = devices.app("phone-shy")
    await shy.send_message("alice", "hi")
    assert (await alice.next("message"))["sender_name"] == "Device-phone-sh"
    headers = {"Authorization": f"Bearer {devices.warren.token('alice')}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(devices.warren.app("gw-2")), base_url="http://gw-2"
    ) as http:
        assert (await http.get("/v1/users/phone-shy", headers=headers)).json()["name"] == "Device-phone-sh"
    await devices.connect("phone-shy", query="name=Shy")
    await shy.send_message("alice", "me again")
    assert (await alice.next("message"))["sender_name"] == "Shy"


async def test_a_device_takes_part_in_a_group(devices: Devices) -> None:
    alice = await devices.warren.connect("alice")
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben", via="gw-2")
    room = await made_group(devices.warren, "phone-ann", "phone-ben")
    await alice.request("send", conversation_id=room, content="welcome")
    await devices.rest(ann, ben)
    assert [(each.sender_id, each.recipient_id, each.recipient_name) for each in ben.messages] == [
        ("alice", room, "Team")
    ]
    sent = await ann.send_message(room, "thanks")
    assert sent["message"]["session_id"] == room
    await devices.rest(ann, ben)
    assert contents(ben.messages) == ["welcome", "thanks"]
    assert [frame["content"] for frame in alice.unread("message")] == ["welcome", "thanks"]
    assert ann.receipts == []  # alice does not have it yet
    alice.send_frame("ack", conversation_id=room, seq=2, stage="read")
    await devices.rest(ann, ben)
    assert ann.receipts == [(sent["message_id"], "delivered")]
    await devices.done(ben.get_messages(session_id=room))
    await devices.rest(ann, ben)
    assert ann.receipts[1:] == [(sent["message_id"], "read")]
    [session] = await ben.get_sessions()
    assert (session.id, set(session.participant_ids)) == (room, {"alice", "phone-ann", "phone-ben"})


async def test_receipts_of_what_happened_while_the_sender_was_away_come_with_its_return(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    ids = [(await ann.send_message("phone-ben", str(number)))["message_id"] for number in range(2)]
    ben = await devices.connect("phone-ben")
    await devices.rest(ann, ben)
    await devices.warren.passes(60)
    ann.beat()
    await devices.rest(ann, ben)
    assert ann.receipts == [(each, "delivered") for each in ids]
    await devices.warren.passes(2)
    ann.disconnect()
    await devices.rest()
    await devices.done(ben.update_message_status(ids, MessageStatus.read))
    await devices.warren.passes(60)
    back = await devices.connect("phone-ann", via="gw-2")
    await devices.rest(back)
    assert back.receipts == [(each, "read") for each in ids]


async def test_a_silent_device_is_closed(devices: Devices) -> None:
    ben = await devices.connect("phone-ben")
    for _ in range(4):
        await devices.warren.passes(60)
        ben.beat()
        await devices.rest(ben)
    assert isinstance(ben.socket, FakeSocket)
    await devices.warren.passes(121)
    assert await ben.socket.closed() == 3002


async def test_nobody_sees_or_enters_the_sessions_of_others(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    sent = await ann.send_message("phone-ben", "secret")
    room = await made_group(devices.warren, "phone-ben")
    eve = devices.app("phone-eve")
    direct = devices.warren.direct("phone-ann", "phone-ben")
    number = str((await devices.warren.history_queries.conversation(UserId("phone-ben"), direct)).number)
    for session in ("phone-ann_phone-ben", direct, number, room, "nothing"):
        answers = [
            await devices.call(eve, "POST", "/api/messages/list", {"session_id": session}),
            await devices.call(eve, "POST", "/api/messages/send", {"session_id": session, "content": "x"}),
            await devices.call(eve, "DELETE", f"/api/messages/sessions/{session}"),
        ]
        assert all(answer.status_code in (403, 404) for answer in answers), session
        assert not any("secret" in answer.text for answer in answers)
    page = {"device_id": "phone-ann", "before_id": sent["message_id"]}
    assert (await devices.call(eve, "POST", "/api/messages/list", page)).status_code == 404
    assert await eve.get_sessions() == []
    to_room = {"recipient_id": room, "content": "hi"}
    assert (await devices.call(eve, "POST", "/api/messages/send", to_room)).status_code == 403
    eve.connect()
    eve.send_typing_indicator(direct, is_typing=True)
    await devices.rest(eve)
    assert ann.typing == []


@pytest.mark.parametrize("is_open", ["true", "false"])
async def test_a_socket_is_let_in_by_a_token_of_the_device_or_by_its_id_where_devices_are_open(is_open: str) -> None:
    async with town(open_devices=is_open) as devices:
        token = devices.warren.token("phone-ben")
        for query, lets_in in {
            f"token={token}": True,
            "": is_open == "true",
            "token=": False,
            f"token={token}x": False,
            f"token={devices.warren.token('mallory')}": False,
            f"token={devices.warren.token('phone-ben', lifetime_s=-60)}": False,
        }.items():
            socket = devices.warren.dial(query, path="/api/messages/ws/phone-ben")
            if lets_in:
                assert (await socket.next_where(lambda frame: True))["status"] == "connected"
            else:
                assert await socket.closed() == 1008
                [error] = [frame for frame in socket.unread_frames() if frame["type"] == "error"]
                assert error["code"] in ("unauthenticated", "token_expired", "forbidden")


async def test_a_bad_frame_is_answered_and_the_socket_stays(devices: Devices) -> None:
    ben = await devices.connect("phone-ben")
    assert isinstance(ben.socket, FakeSocket)
    for frame in ("{", "[]", '{"type": "dance"}', '{"type": "typing"}', '{"type": "read_receipt", "message_ids": 7}'):
        ben.socket.send_text(frame)
    await devices.rest(ben)
    assert [error["code"] for error in ben.errors] == [
        "invalid",
        "invalid",
        "unknown_type",
        "invalid_field",
        "invalid_field",
    ]
    await (await devices.connect("phone-ann")).send_message("phone-ben", "still here?")
    await devices.rest(ben)
    assert contents(ben.messages) == ["still here?"]


async def test_what_is_others_is_refused_in_words(devices: Devices) -> None:
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben")
    cat = await devices.connect("phone-cat")
    sent = await ann.send_message("phone-ben", "for ben alone")
    await devices.rest(ann, ben)
    for socket, frame in (
        (cat.socket, {"type": "typing", "session_id": "phone-ann_phone-ben", "is_typing": True}),
        (cat.socket, {"type": "read_receipt", "message_ids": [sent["message_id"]]}),
        (ann.socket, {"type": "read_receipt", "message_ids": [sent["message_id"]]}),
    ):
        assert socket is not None
        socket.send_text(json.dumps(frame))
    await devices.rest(ann, ben, cat)
    assert [error["code"] for error in cat.errors] == ["not_found", "not_found"]
    assert [error["code"] for error in ann.errors] == ["forbidden"]
    assert ann.receipts == [(sent["message_id"], "delivered")]
    assert ben.typing == []


async def test_what_is_said_to_a_group_that_was_left_is_refused(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    room = await made_group(devices.warren, "phone-ann")
    headers = {"Authorization": f"Bearer {devices.warren.token('alice')}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(devices.warren.app()), base_url="http://gw-1") as http:
        assert (await ann.send_message(room, "here"))["session_id"] == room
        await http.delete(f"/v1/conversations/{room}/members/phone-ann", headers=headers)
    await devices.rest(ann)
    refused = await devices.call(ann, "POST", "/api/messages/send", {"recipient_id": room, "content": "still here?"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_a_member")
    assert not [session.id for session in await ann.get_sessions() if session.id != room]


async def test_a_burst_arrives_whole_and_in_order_and_is_told_of_message_by_message(devices: Devices) -> None:
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben", via="gw-2")
    sent = [(await ann.send_message("phone-ben", str(number)))["message_id"] for number in range(300)]
    await devices.rest(ann, ben)
    assert [each.id for each in ben.messages] == [each.id for each in ann.messages] == sent
    assert ann.receipts == [(each, "delivered") for each in sent]
    for start in range(0, 300, 100):
        await devices.done(ben.update_message_status(sent[start : start + 100], MessageStatus.read))
    await devices.rest(ann)
    assert ann.receipts[300:] == [(each, "read") for each in sent]


async def test_all_known_devices_are_listed_with_whether_they_are_there(devices: Devices) -> None:
    ann = await devices.connect("phone-ann", query="name=Ann&platform=ios")
    await devices.connect("phone-ben", query="name=Ben")
    await ann.send_message("phone-ben", "hi")
    ann.disconnect()
    await devices.rest()
    await devices.warren.passes(10)
    answer = await devices.call(devices.app("tablet-cat"), "GET", "/api/sync/devices")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert [(each["id"], each["name"], each["is_online"]) for each in answer.json()] == [
        ("phone-ann", "Ann", False),
        ("phone-ben", "Ben", True),
        ("tablet-cat", "Device-tablet-c", False),
    ]


async def test_a_device_may_write_to_itself(devices: Devices) -> None:
    ann = await devices.connect("phone-ann", query="name=Ann")
    screen = ChatScreen(ann, "phone-ann")
    await ann.send_message("phone-ann", "note")
    await devices.rest(ann)
    assert [(each.content, each.sender_id, each.recipient_name) for each in screen.shown] == [
        ("note", "phone-ann", "Ann")
    ]
    await devices.done(screen.mark())
    await devices.done(screen.load())
    assert contents(screen.shown) == ["note"]
    [session] = await ann.get_sessions()
    assert (session.id, session.participant_ids) == ("phone-ann_phone-ann", ["phone-ann"])


async def test_sessions_are_in_the_order_of_their_last_messages(devices: Devices) -> None:
    alice, ben = await devices.warren.connect("alice"), devices.app("phone-ben")
    first = await send(alice, "phone-ben", "1", "c1")
    await devices.warren.passes(1)
    await devices.app("phone-ann").send_message("phone-ben", "2")
    await devices.warren.passes(1)
    await alice.request("edit", message_id=first["message_id"], content="one")
    assert [each.last_message.content for each in await ben.get_sessions() if each.last_message] == ["2", "one"]


async def test_a_deleted_message_is_shown_nowhere(devices: Devices) -> None:
    alice = await devices.warren.connect("alice")
    ben = devices.app("phone-ben")
    ids = [(await send(alice, "phone-ben", str(number), f"c{number}"))["message_id"] for number in range(3)]
    await alice.request("edit", message_id=ids[0], content="zero")
    await alice.request("delete", message_id=ids[2], scope="everyone")
    [session] = await ben.get_sessions()
    assert session.last_message is not None
    assert session.last_message.content == "1"
    assert contents(await devices.done(ben.get_messages(device_id="alice"))) == ["zero", "1"]
    ben.connect()
    await devices.rest(ben)
    assert contents(ben.messages) == []  # read already
    back = await devices.connect("tablet-cat")
    await alice.request(
        "delete", message_id=(await send(alice, "tablet-cat", "x", "c9"))["message_id"], scope="everyone"
    )
    await devices.rest(back)
    assert contents(back.messages) == ["x"]
