"""The flutter wire's published client beside native ones, through all four services at once."""

import json
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from tests.clients.flutter import SocketManager
from tests.fakes.clock import settle
from tests.slice.socket_io import IoSocket
from tests.slice.sockets import Frame
from tests.slice.test_conversations import room
from tests.slice.warren import Warren, running, send


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running(wires="flutter") as warren:
        warren.start_gateway("gw-2")
        await settle()
        yield warren


class App:
    """The published app of one user."""

    def __init__(self, warren: Warren, user: str, via: str = "gw-1", path: str = "/connector/") -> None:
        self._warren = warren
        self._via = via
        self._path = path
        self.user = user
        self.manager = SocketManager(user, warren.token(user), lambda event, data: self.socket.emit(event, data))
        self.socket: IoSocket

    async def connect(
        self, query: str = "", auth: Frame | None = None, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        query = f"room_id=&room_type=lobby&{query}"
        self.socket = IoSocket(self._warren.app(self._via), self._path, query, headers)
        self._warren._tasks.create_task(self.socket.run(), name="socket")
        await self.socket.open(auth)
        await self.pump()  # connect_info: it enters
        await self.pump()  # enter_server, and what waited

    async def pump(self) -> None:
        """Let everything happen, and take what came."""
        await settle()
        await self._warren.settled()
        await settle()
        for event, data in self.socket.events():
            self.manager.on(event, data)

    async def ask(self, type_: str, msg_id: object = "q", **payload: object) -> Frame:
        """Send something, and give the message that answers it."""
        self.socket.emit("message", json.dumps({"type": type_, "payload": payload, "msg_id": msg_id}))
        before = len(self.manager.heard)
        await self.pump()
        [answer] = [frame for frame in self.manager.heard[before:] if frame["msg_id"] == msg_id]
        return answer

    def heard(self, type_: str) -> list[Any]:
        return [frame["payload"] for frame in self.manager.heard if frame["type"] == type_]

    def texts(self, peer: str) -> list[str]:
        rows = self.manager.database.chat_detail(peer)
        return sorted(row["content"] for row in rows)


@pytest.fixture
async def jack(warren: Warren) -> AsyncIterator[App]:
    app = App(warren, "jack")
    await app.connect()
    yield app
    app.manager.database.close()


@pytest.fixture
async def rose(warren: Warren) -> AsyncIterator[App]:
    app = App(warren, "rose", via="gw-2", path="/socket.io/")
    await app.connect()
    yield app
    app.manager.database.close()


async def test_the_app_enters_by_its_token_and_its_heart_is_answered(jack: App) -> None:
    assert jack.manager.enter_flag
    assert [frame["type"] for frame in jack.manager.heard] == ["connect_info", "enter_server"]
    assert jack.manager.heard[1]["code"] == 1000
    jack.manager.heart()
    assert jack.manager.ping_wait_flag
    await jack.pump()
    assert not jack.manager.ping_wait_flag
    pongs = [frame for frame in jack.manager.heard if frame["type"] == "pong"]
    assert len(pongs) == 2  # as `response` and as `message`
    assert isinstance(pongs[0]["msg_id"], int)


async def test_a_message_goes_from_waiting_to_done_and_reaches_the_peer(jack: App, rose: App) -> None:
    msg_id = jack.manager.send("rose", "你好")
    [waiting] = jack.manager.database.chat_detail("rose")
    assert (waiting["chat_id"], waiting["status"]) == (msg_id, "wait")
    await jack.pump()
    [done] = jack.manager.database.chat_detail("rose")
    assert (done["chat_id"], done["status"]) == (msg_id, "done")
    [place] = jack.heard("cs_cp2p_sr")
    assert place["doc_id"] == msg_id
    assert jack.heard("cs_cp2p_s") == []

    await rose.pump()
    [shown] = rose.manager.database.chat_detail("jack")
    assert (shown["content"], shown["name"], shown["from_id"], shown["to_id"]) == ("你好", "Jack", "jack", "rose")
    [chat] = rose.manager.database.chat_list_for("jack")
    assert (chat["unread_count"], chat["last_msg_text"]) == (1, "你好")
    [pushed] = rose.heard("cs_cp2p_s")
    assert pushed["_id"] == place["r_id"]
    assert pushed["content"] == "你好"


async def test_a_message_sent_again_has_the_same_answer_and_comes_once(jack: App, rose: App) -> None:
    msg_id = jack.manager.send("rose", "once")
    await jack.pump()
    jack.manager.talk("rose", "once", msg_id)
    await jack.pump()
    first, second = jack.heard("cs_cp2p_sr")
    assert first == second
    await rose.pump()
    assert len(rose.heard("cs_cp2p_s")) == 1


async def test_what_was_sent_before_the_connection_was_lost_is_sent_again_and_done(
    warren: Warren, jack: App, rose: App
) -> None:
    msg_id = jack.manager.send("rose", "lost?")
    await settle()
    jack.socket.hang_up()  # with the answer unread
    await settle()
    assert jack.manager.database.chat_detail("rose")[0]["status"] == "wait"
    await jack.connect()
    jack.manager.talk("rose", "lost?", msg_id)
    await jack.pump()
    [row] = jack.manager.database.chat_detail("rose")
    assert (row["chat_id"], row["status"]) == (msg_id, "done")
    assert jack.manager.database.chat_list_for("jack") == []
    await rose.pump()
    assert rose.texts("jack") == ["lost?"]


async def test_a_picture_is_shown_as_one(jack: App, rose: App) -> None:
    jack.manager.send_image("rose", "https://example.com/p.jpg")
    await jack.pump()
    await rose.pump()
    [row] = rose.manager.database.chat_detail("jack")
    assert (row["type"], row["content"]) == (-2, "https://example.com/p.jpg")
    assert rose.manager.database.chat_list_for("jack")[0]["last_msg_text"] == "[图片]"


async def test_what_came_while_away_waits_and_comes_once(warren: Warren, jack: App, rose: App) -> None:
    rose.socket.hang_up()
    await settle()
    for n in range(3):
        jack.manager.send("rose", f"{n}")
        await jack.pump()
    await rose.connect()
    assert [payload["content"] for payload in rose.heard("cs_cp2p_s")] == ["0", "1", "2"]
    rose.manager.heart()  # whoever speaks has what came
    await rose.pump()
    rose.socket.hang_up()
    await settle()
    await rose.connect()
    assert len(rose.heard("cs_cp2p_s")) == 3


async def test_opening_a_chat_brings_its_messages_without_doubles_and_marks_them_read(
    warren: Warren, jack: App, rose: App
) -> None:
    jack.manager.send("rose", "one")
    await jack.pump()
    await rose.pump()
    rose.manager.send("jack", "two")
    await rose.pump()
    await warren.passes(1)
    await jack.pump()
    assert [receipt["status"] for receipt in jack.heard("receipt")] == ["delivered"]
    rose.manager.in_chat("jack")
    rose.manager.get_chat_detail("jack")
    await rose.pump()
    assert rose.texts("jack") == ["one", "two"]
    [page] = rose.heard("cs_gcds_sr")
    assert [each["content"] for each in page["datas"]] == ["two", "one"]
    await warren.passes(1)
    await jack.pump()
    receipt = jack.heard("receipt")[-1]
    assert (receipt["tid"], receipt["status"]) == ("rose", "read")
    jack.manager.get_chat_detail("rose")
    await jack.pump()
    assert jack.texts("rose") == ["one", "two"]


async def test_older_pages_are_reached_by_the_id_of_the_oldest_message(jack: App, rose: App) -> None:
    for n in range(5):
        jack.manager.send("rose", f"{n}")
        await jack.pump()
    newest = await jack.ask("cs_gcds", tid="rose", cType=1, limit=2)
    assert [each["content"] for each in newest["payload"]["datas"]] == ["4", "3"]
    older = await jack.ask("cs_gcds", "q2", tid="rose", limit=2, before=newest["payload"]["datas"][-1]["_id"])
    assert [each["content"] for each in older["payload"]["datas"]] == ["2", "1"]
    last = await jack.ask("cs_gcds", "q3", tid="rose", before=older["payload"]["datas"][-1]["_id"])
    assert [each["content"] for each in last["payload"]["datas"]] == ["0"]
    assert (await jack.ask("cs_gcds", "q4", tid="rose", before="nothing-like-it"))["code"] == 1004


async def test_deleted_messages_are_left_out_of_pages_and_make_none_shorter(
    warren: Warren, jack: App, rose: App
) -> None:
    for n in range(6):
        jack.manager.send("rose", f"{n}")
        await jack.pump()
    desk = await warren.connect("jack", via="gw-2")
    page = await desk.request("history", conversation_id=warren.direct("jack", "rose"))
    for message in page["messages"][2:]:
        await desk.request("delete", message_id=message["id"])
    newest = await rose.ask("cs_gcds", tid="jack", limit=2)
    assert [each["content"] for each in newest["payload"]["datas"]] == ["1", "0"]


async def test_a_page_is_found_by_an_id_from_before_the_connection(jack: App, rose: App) -> None:
    for n in range(3):
        jack.manager.send("rose", f"{n}")
        await jack.pump()
    page = await jack.ask("cs_gcds", tid="rose", limit=2)
    older = await rose.ask("cs_gcds", tid="jack", before=page["payload"]["datas"][-1]["_id"])
    assert [each["content"] for each in older["payload"]["datas"]] == ["0"]


async def test_a_chat_with_somebody_new_is_empty(jack: App) -> None:
    assert (await jack.ask("cs_gcds", tid="nobody", cType=1))["payload"] == {"datas": []}
    assert (await jack.ask("cs_ain", "q2", tid="nobody", cType=1))["code"] == 1000


async def test_native_clients_and_the_app_talk_in_one_conversation(warren: Warren, jack: App) -> None:
    ann = await warren.connect("ann", via="gw-2")
    await send(ann, "jack", "hello", "c1")
    await jack.pump()
    [shown] = jack.heard("cs_cp2p_s")
    assert (shown["from_id"], shown["to_id"], shown["content"]) == ("ann", "jack", "hello")
    assert shown["_id"].isdecimal()
    jack.manager.send("ann", "hi")
    await jack.pump()
    message = await ann.next("message")
    assert (message["content"], message["sender_id"]) == ("hello", "ann")
    message = await ann.next("message")
    assert (message["content"], message["sender_id"], message["seq"]) == ("hi", "jack", 2)
    await warren.passes(1)
    receipt = await ann.next("receipt")
    assert (receipt["user_id"], receipt["stage"]) == ("jack", "delivered")


async def test_an_own_message_from_another_device_is_shown_in_the_peers_chat(warren: Warren, jack: App) -> None:
    other = await warren.connect("jack", via="gw-2")
    await send(other, "ann", "from my desk", "c1")
    await jack.pump()
    [[shown]] = [page["datas"] for page in jack.heard("cs_gcds_sr")]
    assert (shown["from_id"], shown["to_id"]) == ("jack", "ann")
    assert jack.texts("ann") == ["from my desk"]
    assert jack.manager.database.chat_list_for("jack") == []


async def test_a_group_is_written_to_by_tid_or_session_id_or_number(warren: Warren, jack: App, rose: App) -> None:
    group = await room(warren, "ann", "jack", "rose")
    first = await jack.ask("cs_cp2p", "m1", cType=2, tid=group, cd={"data": {"text": "1"}, "mType": -1})
    number = int(first["payload"]["r_id"]) >> 26
    names: list[dict[str, object]] = [{"tid": group}, {"session_id": group}, {"session_id": number}]
    for n, name in enumerate(names, start=2):
        answer = await jack.ask("cs_cp2p", f"m{n}", cd={"data": {"text": f"{n}"}, "mType": -1}, **name)
        assert answer["code"] == 1000, answer
    await rose.pump()
    shown = rose.heard("cs_cp2p_s")
    assert [each["content"] for each in shown] == ["1", "2", "3", "4"]
    assert {(each["from_id"], each["to_id"], each["session_id"], each["cType"]) for each in shown} == {
        ("jack", group, group, 2)
    }
    page = await rose.ask("cs_gcds", tid=group, cType=2, limit=500)
    assert [each["content"] for each in page["payload"]["datas"]] == ["4", "3", "2", "1"]


async def test_plain_messages_are_taken_and_acknowledged(jack: App, rose: App) -> None:
    answer = await jack.ask("chat", to_id="rose", content="plain")
    assert (answer["type"], answer["code"]) == ("chat_sr", 1000)
    jack.socket.emit("message", {"type": "chat", "to_id": "rose", "content": "plainer", "msg_id": "p2"}, ack="7")
    await jack.pump()
    assert json.loads(jack.socket.acks["7"])["payload"]["doc_id"] == "p2"
    await rose.pump()
    assert rose.texts("jack") == ["plain", "plainer"]


async def test_typing_is_told_to_the_peer(jack: App, rose: App) -> None:
    assert (await jack.ask("typing", to_id="rose"))["code"] == 1000
    await rose.pump()
    assert [(each["tid"], each["is_typing"]) for each in rose.heard("typing")] == [("jack", True)]


async def test_another_conversation_stays_shut(warren: Warren, jack: App) -> None:
    ann = await warren.connect("ann")
    group = await room(warren, "ann", "rose")
    direct = warren.direct("ann", "rose")
    names: list[dict[str, object]] = [
        {"tid": group, "cType": 2},
        {"session_id": group},
        {"tid": group},
        {"tid": direct},
    ]
    for n, name in enumerate(names):
        for type_ in ("cs_cp2p", "cs_gcds", "cs_ain"):
            answer = await jack.ask(type_, f"{type_}{n}", content="x", **name)
            assert answer["code"] in (1003, 1004), (type_, name, answer)
    ann_hears = [frame for frame in ann.unread_frames() if frame["type"] == "message"]
    assert ann_hears == []


@pytest.mark.parametrize("way", ["header", "auth", "query"])
async def test_the_connection_may_bring_the_token(warren: Warren, way: str) -> None:
    app = App(warren, "jack")
    app.manager.token = ""
    token = warren.token("jack")
    await app.connect(
        query=f"token={token}" if way == "query" else "",
        auth={"token": token} if way == "auth" else None,
        headers={"x-access-token": token} if way == "header" else {},
    )
    assert app.manager.enter_flag
    app.manager.database.close()


@pytest.mark.parametrize("token", ["", "false", "ey.ey.x"])
async def test_without_a_valid_token_nobody_enters(warren: Warren, token: str) -> None:
    app = App(warren, "jack")
    app.manager.token = token
    await app.connect()
    assert not app.manager.enter_flag
    assert app.manager.heard[-1]["code"] == 1002
    assert await app.socket.ended() == 1008
    app.manager.database.close()


async def test_nobody_enters_as_somebody_else(warren: Warren) -> None:
    app = App(warren, "jack")
    app.manager.token = warren.token("rose")
    await app.connect()
    assert not app.manager.enter_flag
    assert 1003 in [frame["code"] for frame in app.manager.heard]
    assert await app.socket.ended() == 1008
    app.manager.database.close()


async def test_entering_again_is_answered_and_changes_nobody(warren: Warren, jack: App) -> None:
    jack.manager.enter()
    await jack.pump()
    assert len(jack.heard("enter_server")) == 2
    for token, user, code in (
        (warren.token("rose"), "rose", 1003),
        (warren.token("rose"), "", 1003),
        ("false", "jack", 1002),
        (warren.token("jack", lifetime_s=3600), "jack", 1000),
    ):
        answer = await jack.ask("enter", token=token, user={"id": user})
        assert (answer["code"], answer["type"]) == (code, "enter_server" if code == 1000 else "error")
    assert (await jack.ask("cs_ain", "q2", tid="rose"))["code"] == 1000


async def test_a_silent_app_is_closed_and_one_that_pings_is_not(warren: Warren, jack: App, rose: App) -> None:
    for _ in range(5):
        await warren.passes(30)
        rose.manager.heart()
        await rose.pump()
    await jack.pump()
    assert jack.socket.close_code is not None
    assert rose.socket.close_code is None


BAD: list[str | dict[str, Any]] = [
    "",
    "{",
    "[1]",
    "null",
    "5",
    '"text"',
    {},
    {"type": None},
    {"type": 5, "msg_id": "q"},
    {"type": "cs_gift", "msg_id": "q"},
    {"type": "cs_cp2p", "msg_id": "q"},
    {"type": "cs_cp2p", "msg_id": "q", "payload": None},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose"}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "cd": {"data": {"text": ""}, "mType": -1}}},
    {"type": "chat", "msg_id": "q", "payload": {"to_id": "rose", "content": ""}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": ["rose"], "content": "x"}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "content": {"x": 1}}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "cd": {"data": {"text": "x", "attrs": []}}}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "cd": {"data": {"text": "x"}, "mType": "-1"}}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "cType": 1, "content": "x" * 16_385}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "cType": 1, "content": "x" * 200_000}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "content": "x", "from_id": "ann"}},
    {"type": "cs_cp2p", "msg_id": {"a": 1}, "payload": {"tid": "rose", "content": "x"}},
    {"type": "cs_gcds", "msg_id": "q", "payload": {"tid": "rose", "limit": "30"}},
    {"type": "cs_gcds", "msg_id": "q", "payload": {"limit": 30}},
    {"type": "cs_ain", "msg_id": "q", "payload": {}},
    {"type": "cs_alv", "msg_id": "q", "payload": {"session_id": 99}},
    {"type": "typing", "msg_id": "q", "payload": {"tid": "rose"}},
    {"type": "enter", "msg_id": "q", "payload": {"token": 5}},
    {"type": "enter", "msg_id": "q", "payload": {"token": "another"}},
]


async def test_bad_input_is_answered_and_the_connection_stays_usable(jack: App) -> None:
    for n, bad in enumerate(BAD):
        before = len(jack.manager.heard)
        jack.socket.emit("message", bad if isinstance(bad, str) else json.dumps(bad))
        await jack.pump()
        [refusal] = jack.manager.heard[before:]
        assert 1001 <= refusal["code"] <= 1004, bad
        assert refusal["msg"], bad
        if isinstance(bad, dict) and bad.get("msg_id") == "q":
            assert refusal["msg_id"] == "q"
        assert (await jack.ask("cs_ain", f"after-{n}", tid="rose", cType=1))["code"] == 1000


async def test_nothing_can_be_done_before_entering(warren: Warren, rose: App) -> None:
    app = App(warren, "jack")
    app.socket = IoSocket(warren.app(), "/socket.io/", "", {})
    warren._tasks.create_task(app.socket.run(), name="socket")
    await app.socket.open()
    app.socket.events()
    for type_ in ("cs_cp2p", "cs_gcds", "cs_ain", "cs_alv", "typing"):
        assert (await app.ask(type_, type_, tid="rose", cType=1, content="x"))["code"] == 1002
    app.socket.emit("message", json.dumps({"type": "enter", "payload": {"token": warren.token("jack")}}))
    await app.pump()
    assert app.manager.enter_flag
    await rose.pump()
    assert rose.heard("cs_cp2p_s") == []
    app.manager.database.close()


async def test_whoever_is_not_served_is_not_greeted() -> None:
    async with running(wires="service") as warren:
        app = App(warren, "jack")
        await app.connect()
        assert app.manager.heard == []
        app.manager.database.close()


async def test_a_gateway_that_drains_closes_for_a_reconnect_to_another(warren: Warren, jack: App) -> None:
    ann = await warren.connect("ann", via="gw-2")
    await warren.processes["gw-1"].drain()
    await warren.passes(15)
    await settle()
    jack.socket.events()
    assert jack.socket.close_code is not None
    assert not jack.socket.is_disconnected
    await send(ann, "jack", "where are you?", "c1")
    jack._via = "gw-2"
    await jack.connect()
    assert jack.texts("ann") == ["where are you?"]
