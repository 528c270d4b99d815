"""Messages between the flutter wire's published client, itself and native ones, through all four services."""

import json

from tests.fakes.clock import settle
from tests.slice import flutter_app
from tests.slice.flutter_app import App
from tests.slice.test_conversations import room
from tests.slice.warren import Warren, send

warren, jack, rose = flutter_app.warren, flutter_app.jack, flutter_app.rose


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
