"""Pages of a chat in the flutter wire's published client: newest first, without holes or doubles."""

from tests.slice import flutter_app
from tests.slice.flutter_app import App
from tests.slice.warren import Warren

warren, jack, rose = flutter_app.warren, flutter_app.jack, flutter_app.rose


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
