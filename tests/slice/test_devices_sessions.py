"""What a device's screens show: sessions, their pages, and who is there."""

import asyncio

from tests.clients.devices import SessionsScreen
from tests.fakes.clock import settle
from tests.slice import devices_town
from tests.slice.devices_town import ACKS_S, Devices, contents
from tests.slice.warren import send

devices = devices_town.devices


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
