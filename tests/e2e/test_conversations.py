"""Everything that people do with conversations, over two gateways and the real parts."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.e2e.stack import Stack, running
from tests.e2e.wire import Device, Person, Refused, mint, people
from tests.nodes import Mongo, Rabbit

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(
    rabbit_node: Rabbit, mongo_node: Mongo, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """Run Warren once for all these tests; each has users of its own."""
    log_dir: Path = tmp_path_factory.mktemp("town")
    environ = {
        "WARREN_AMQP_URL": rabbit_node.add_vhost(f"town-{uuid4().hex}"),
        "WARREN_MONGO_URL": mongo_node.url,
        "WARREN_MONGO_DATABASE": f"town_{uuid4().hex}",
        "WARREN_PRESENCE_MAX_DEVICES": "3",
    }
    async with running(environ, log_dir, gateways=2) as stack:
        yield stack


def contents(messages: list[dict[str, object]]) -> list[object]:
    return [message.get("content") for message in messages]


async def test_a_group_is_made_renamed_and_joined_and_everyone_sees_it(town: Stack) -> None:
    async with people(town, "ann", "ben", "cat") as (ann, ben, cat), ann.on(0) as hers, ben.on(1) as his:
        room = await ann.group("ben", name="Climbing")
        assert (await his.until("conversation", change="created"))["conversation"]["members"] == ["ann", "ben"]
        await ann.say(room, "before cat")
        await ann.call("PATCH", f"/v1/conversations/{room}", name="Bouldering")
        assert (await his.until("conversation", change="updated"))["conversation"]["name"] == "Bouldering"
        with pytest.raises(Refused, match="not_a_member"):
            async with cat.on(1) as stranger:
                await stranger.ask("send", conversation_id=room, content="let me in")
        async with cat.on(1) as theirs:
            await ann.call("PUT", f"/v1/conversations/{room}/members/cat")
            joined = await theirs.until("conversation", change="member_added")
            assert joined["user_ids"] == ["cat"]
            await hers.ask("send", conversation_id=room, content="hi cat")
            assert (await theirs.until("message"))["content"] == "hi cat"
            assert contents(await cat.read(room)) == ["hi cat"]  # who joins a group reads on from there
            assert contents(await ann.read(room)) == ["before cat", "hi cat"]
            await his.until("conversation", change="member_added")
        assert (await cat.call("GET", f"/v1/conversations/{room}"))["role"] == "member"


async def test_who_is_removed_gets_nothing_more_and_reads_no_further(town: Stack) -> None:
    async with people(town, "dan", "eve") as (dan, eve), eve.on(1) as hers:
        room = await dan.group("eve")
        await dan.say(room, "one")
        await hers.until("message", content="one")
        since = hers.welcome["since"]
        await dan.call("DELETE", f"/v1/conversations/{room}/members/eve", 204)
        assert (await hers.until("conversation", change="member_removed"))["user_ids"] == ["eve"]
        await dan.say(room, "two")
        assert "two" not in contents([frame["data"] for frame in await hers.drain() if frame["type"] == "message"])
        with pytest.raises(Refused, match="not_a_member"):
            await hers.ask("history", conversation_id=room)
        assert (await eve.call("GET", "/v1/conversations"))["conversations"] == []
        async with eve.on(0, since=since) as other:
            [changes] = (await other.ask("sync", since=since))["conversations"]
            told = [(event["type"], event["data"].get("content")) for event in changes["events"]]
            assert told == [("conversation", None), ("message", "one"), ("conversation", None)]
            assert "two" not in str(changes)


async def test_a_channel_of_a_space_is_joined_by_the_spaces_members_alone(town: Stack) -> None:
    async with people(town, "fay", "gus", "hal") as (fay, gus, hal):
        space = await fay.call("POST", "/v1/conversations", 201, kind="space", name="Team", member_ids=["gus"])
        made = await fay.call("POST", "/v1/conversations", 201, kind="channel", name="news", parent_id=space["id"])
        channel = made["id"]
        await fay.say(channel, "welcome")
        await fay.call("POST", f"/v1/conversations/{space['id']}/messages", 400, content="hello?")
        found = await gus.call("GET", f"/v1/conversations/{space['id']}/channels")
        assert [each["name"] for each in found["conversations"]] == ["news"]
        await gus.call("PUT", f"/v1/conversations/{channel}/members/gus")
        assert contents(await gus.read(channel)) == ["welcome"]  # a channel shows newcomers everything
        await hal.call("PUT", f"/v1/conversations/{channel}/members/hal", 403)
        async with gus.on(1) as his:
            await fay.call("DELETE", f"/v1/conversations/{space['id']}/members/gus", 204)
            gone = {
                (await his.until("conversation", conversation_id=each))["change"] for each in (space["id"], channel)
            }
        assert gone == {"member_removed"}


async def test_roles_say_who_may_do_what(town: Stack) -> None:
    async with people(town, "ida", "jon", "kim") as (ida, jon, kim):
        room = await ida.group("jon", "kim")
        said = await jon.say(room, "mine")
        await kim.call("PATCH", f"/v1/conversations/{room}", 403, name="taken over")
        await kim.call("DELETE", f"/v1/messages/{said['message_id']}", 403)
        await kim.call("PATCH", f"/v1/messages/{said['message_id']}", 403, content="not mine")
        await ida.call("PUT", f"/v1/conversations/{room}/members/kim", role="admin")
        await kim.call("PATCH", f"/v1/conversations/{room}", name="Ours")
        await kim.call("DELETE", f"/v1/messages/{said['message_id']}")
        await ida.call("DELETE", f"/v1/conversations/{room}/members/ida", 409)  # its last owner
        await ida.call("PUT", f"/v1/conversations/{room}/members/kim", role="owner")
        await ida.call("DELETE", f"/v1/conversations/{room}/members/ida", 204)
        members = (await kim.call("GET", f"/v1/conversations/{room}/members"))["members"]
        assert {each["user_id"]: each["role"] for each in members} == {"jon": "member", "kim": "owner"}


async def test_edits_deletions_reactions_and_replies_reach_everyone_by_one_cursor(town: Stack) -> None:
    async with people(town, "lea", "max") as (lea, max_), lea.on(0) as hers, max_.on(1) as his:
        first = await hers.ask("send", to="max", content="frist")
        room = first["conversation_id"]
        await hers.ask("edit", message_id=first["message_id"], content="first")
        edited = await his.until("message.updated")
        assert (edited["content"], edited["seq"], edited["version"]) == ("first", 1, 2)
        assert edited["edited_at"] is not None
        await his.ask("react", message_id=first["number"], emoji="👍")
        assert (await hers.until("reaction"))["user_id"] == "max"
        second = await his.ask(
            "send", conversation_id=room, content="hm", reply_to=first["message_id"], mentions=["lea"]
        )
        assert (await hers.until("message", content="hm"))["reply_to"] == first["message_id"]
        await his.ask("delete", message_id=second["message_id"])
        assert (await hers.until("message.deleted"))["content"] == ""
        await hers.ask("delete", message_id=first["message_id"], scope="me")
        [shown, gone] = await max_.read(room)
        assert (shown["content"], shown["reactions"], gone["content"]) == ("first", {"👍": ["max"]}, "")
        assert contents(await lea.read(room)) == ["", ""]
        with pytest.raises(Refused, match="invalid"):
            await his.ask("send", conversation_id=room, content="x", reply_to=str(uuid4()))


async def test_numbers_stand_for_ids_everywhere(town: Stack) -> None:
    async with people(town, "nia", "oli") as (nia, oli), oli.on(1) as his:
        sent = await nia.say(
            (await nia.call("POST", "/v1/conversations", 201, kind="direct", member_ids=["oli"]))["id"], "1"
        )
        room = (await oli.call("GET", "/v1/conversations"))["conversations"][0]
        number = room["number"]
        assert sent["number"] == number * 2**26 + 1
        await his.ask("send", conversation_id=number, content="by number")
        await his.ask("send", conversation_id=str(number), content="by digits")
        await nia.call("PATCH", f"/v1/messages/{sent['number']}", content="one")
        assert contents(await oli.read(number)) == ["one", "by number", "by digits"]


async def test_a_sync_brings_a_device_that_was_away_to_the_present(town: Stack) -> None:
    async with people(town, "pam", "quy") as (pam, quy):
        room = await pam.group("quy", name="Away")
        first = await pam.say(room, "one")
        async with quy.on(1) as his:
            since = (await his.ask("sync"))["since"]
        await pam.call("PATCH", f"/v1/messages/{first['message_id']}", content="uno")
        await pam.say(room, "two")
        await pam.call("PUT", f"/v1/messages/{first['message_id']}/reactions/❤")
        async with quy.on(0, since=since) as his:
            await pam.say(room, "three")
            [changes] = (await his.ask("sync", since=since))["conversations"]
            told = [event["type"] for event in changes["events"]]
            assert told[:3] == ["message.updated", "message", "reaction"]
            if "three" not in contents([event["data"] for event in changes["events"]]):
                assert (await his.until("message"))["content"] == "three"
        rest = await quy.call("GET", f"/v1/sync?since={since}")
        assert rest["conversations"][0]["version"] == changes["conversation"]["last_version"]


async def test_receipts_say_who_read_it_and_clear_the_readers_other_devices(town: Stack) -> None:
    async with (
        people(town, "ria", "sam", "tom") as (ria, sam, tom),
        ria.on(0) as hers,
        sam.on(1) as his,
        sam.on(0) as too,
    ):
        room = await ria.group("sam", "tom")
        await hers.ask("send", conversation_id=room, content="read me")
        await his.until("message", content="read me")
        assert (await sam.call("GET", "/v1/unread"))["conversations"] == {room: 1}
        await his.tell("ack", conversation_id=room, seq=1, stage="read")
        assert (await hers.until("receipt", stage="read"))["user_id"] == "sam"
        assert (await too.until("receipt", stage="read"))["seq"] == 1
        assert (await sam.call("GET", "/v1/unread"))["total"] == 0
        receipts = (await ria.call("GET", f"/v1/conversations/{room}/receipts?seq=1"))["receipts"]
        assert [(each["user_id"], each["read"]) for each in receipts] == [("sam", True), ("tom", False)]
        assert receipts[0]["read_at"] is not None
        assert (await tom.call("GET", "/v1/unread"))["total"] == 1


async def test_presence_goes_to_subscribers_and_does_not_flap(town: Stack) -> None:
    async with people(town, "uma", "vic") as (uma, vic), uma.on(0) as hers:
        [now] = (await hers.ask("subscribe", users=["vic"]))["presence"]
        assert now["status"] == "offline"
        async with vic.on(1, device="phone"):
            assert (await hers.until("presence", status="online"))["devices"] == 1
        async with vic.on(1, device="phone") as his:  # back within five seconds
            await his.ask("presence", status="dnd", text="exam")
            assert (await hers.until("presence", status="dnd"))["text"] == "exam"
            assert [each["status"] for each in hers.seen("presence") if each["user_id"] == "vic"] == ["online", "dnd"]
            await his.ask("presence", status="invisible")
            assert (await hers.until("presence", status="offline"))["devices"] == 0
            assert (await uma.call("GET", "/v1/presence?users=vic"))["presence"][0]["status"] == "offline"
            await his.ask("presence", status="online")
            hers.pushed.clear()
            await hers.until("presence", status="online")
        assert (await hers.until("presence", status="offline"))["last_seen"] is not None


async def test_typing_reaches_the_other_members_and_ends_by_itself(town: Stack) -> None:
    async with (
        people(town, "wyn", "xia", "yve") as (wyn, xia, yve),
        wyn.on(0) as hers,
        xia.on(1) as his,
        yve.on(1) as no,
    ):
        room = await wyn.group("xia")
        await his.until("conversation")
        await hers.tell("typing", conversation_id=room)
        assert (await his.until("typing", active=True))["user_id"] == "wyn"
        await his.until("typing", active=False)
        assert [each["type"] for each in await no.drain() if each["type"] != "presence"] == []
        assert hers.seen("typing") == []


async def test_a_profile_is_made_at_sight_found_by_prefix_and_names_the_sender(town: Stack) -> None:
    token = await mint(town.gateways[0], "zoe", name="Zoe Z")
    async with people(town, "zak") as (zak,):
        zoe = Person(town, "zoe", token, zak.rest)
        async with zoe.on(0) as hers, zak.on(1) as his:
            await hers.ask("send", to="zak", content="1")
            assert (await his.until("message", content="1"))["sender_name"] == "Zoe Z"
            headers = {"Authorization": f"Bearer {token}"}
            body = {"name": "Zoë", "username": "zoe.z", "time_zone": "Europe/Berlin"}
            changed = await zak.rest.patch("/v1/users/zoe", json=body, headers=headers)
            assert changed.status_code == 200, changed.text
            assert [user["name"] for user in (await zak.call("GET", "/v1/users?q=zoe.z"))["users"]] == ["Zoë"]
            await zak.call("PATCH", "/v1/users/zoe", 403, name="not mine")
            await _says_as(hers, his, "Zoë")


async def _says_as(sender: Device, reader: Device, name: str) -> None:
    """Send until the messages carry the new name: it goes from one gateway to the other by the broker."""
    async with asyncio.timeout(10):
        for n in range(100):
            content = f"named {n}"
            await sender.ask("send", to="zak", content=content)
            if (await reader.until("message", content=content))["sender_name"] == name:
                return
    raise AssertionError(f"the messages never came to be from {name}")


async def test_a_kicked_device_is_signed_out_until_it_signs_in_again(town: Stack) -> None:
    async with people(town, "abe") as (abe,):
        old = await mint(town.gateways[0], "abe", device_id="laptop")
        async with abe.on(1, token=old) as laptop, abe.on(0, device="phone") as phone:
            await _listed(abe, "laptop", "phone")
            await abe.call("DELETE", "/v1/devices/laptop", 204)
            assert await laptop.closed_with() == 3502
            with pytest.raises(Refused, match="unauthenticated"):
                async with abe.on(0, token=old):
                    pass
            refused = await abe.rest.get("/v1/conversations", headers={"Authorization": f"Bearer {old}"})
            assert refused.status_code == 401
            async with abe.on(1, token=await mint(town.gateways[1], "abe", device_id="laptop")) as again:
                await again.ask("ping")
            await phone.ask("ping")


async def _listed(person: Person, *devices: str) -> None:
    """Ask until these devices are listed as online: presence hears of sessions by the broker."""
    async with asyncio.timeout(10):
        while True:
            listed = (await person.call("GET", "/v1/devices"))["devices"]
            if {each["id"] for each in listed if each["online"]} == set(devices):
                return


async def test_the_oldest_device_makes_room_for_a_new_one(town: Stack) -> None:
    async with people(town, "bea") as (bea,), bea.on(0, device="one") as one, bea.on(1, device="two") as two:
        await _listed(bea, "one", "two")
        async with bea.on(0, device="three") as three, bea.on(1, device="four") as four:
            assert await one.closed_with() == 3503
            for each in (two, three, four):
                await each.ask("ping")


async def test_the_list_is_by_last_activity_and_paged(town: Stack) -> None:
    async with people(town, "cal") as (cal,):
        rooms = [await cal.group(f"friend-{n}", name=f"room {n}") for n in range(5)]
        await cal.say(rooms[1], "up")
        first = await cal.call("GET", "/v1/conversations?limit=3")
        rest = await cal.call("GET", f"/v1/conversations?limit=3&cursor={first['next_cursor']}")
        names = [each["name"] for each in (*first["conversations"], *rest["conversations"])]
        assert names == ["room 1", "room 4", "room 3", "room 2", "room 0"]
        assert rest["next_cursor"] is None
        for n in range(5):
            await cal.say(rooms[0], str(n))
        older = await cal.call("GET", f"/v1/conversations/{rooms[0]}/messages?before=4&limit=2")
        newer = await cal.call("GET", f"/v1/conversations/{rooms[0]}/messages?after=2&limit=2")
        assert [each["seq"] for each in older["messages"]] == [2, 3]
        assert [each["seq"] for each in newer["messages"]] == [3, 4]
        assert older["has_more"]
        assert newer["has_more"]


async def test_a_room_of_ten_thousand_reaches_those_who_are_there(town: Stack) -> None:
    async with people(town, "dee", "crowd-7", "crowd-9999") as (dee, seven, last):
        room = (await dee.call("POST", "/v1/conversations", 201, kind="channel", name="all hands"))["id"]
        for start in range(0, 10_000, 500):
            names = [f"crowd-{n}" for n in range(start, min(start + 500, 9_999 + 1)) if n != 0]
            await dee.call("POST", f"/v1/conversations/{room}/members", user_ids=names)
        async with seven.on(0) as one, last.on(1) as other:
            await dee.say(room, "hello everyone")
            for each in (one, other):
                assert (await each.until("message"))["content"] == "hello everyone"
            await dee.call("DELETE", f"/v1/conversations/{room}/members/crowd-7", 204)
            await one.until("conversation", change="member_removed")
            await dee.say(room, "one less")
            assert (await other.until("message", content="one less"))["seq"] == 2
            assert "one less" not in contents([each["data"] for each in await one.drain()])
        shown = await dee.call("GET", f"/v1/conversations/{room}")
        assert (shown["member_count"], shown["members"]) == (9_999, [])


async def test_events_come_over_http_too_and_resume(town: Stack) -> None:
    async with people(town, "ed", "flo") as (ed, flo):
        room = (await ed.call("POST", "/v1/conversations", 201, kind="direct", member_ids=["flo"]))["id"]
        heard: list[object] = []
        last_id: str | None = None
        for n in range(3):
            headers = {"Last-Event-ID": last_id} if last_id else {}
            async with asyncio.timeout(15), flo.rest.stream("GET", "/sse", headers=headers) as stream:
                lines = stream.aiter_lines()
                heard += (await _hear(lines, "welcome", None))[0]
                await ed.say(room, f"live {n}")
                contents, last_id = await _hear(lines, "message", f"live {n}")
                heard += contents
            await ed.say(room, f"away {n}")
        assert heard == ["live 0", "away 0", "live 1", "away 1", "live 2"]


async def _hear(lines: AsyncIterator[str], type_: str, content: str | None) -> tuple[list[object], str | None]:
    """Read events up to a certain one, and to the id that covers it: only the last event of each burst has one.

    Gives the contents of the messages among them.
    """
    contents: list[object] = []
    heard, id_ = False, None
    async for line in lines:
        if line.startswith("id:"):
            id_ = line[3:].strip()
        elif line.startswith("data:"):
            frame = json.loads(line[5:])
            heard = heard or (frame["type"] == type_ and frame["data"].get("content") == content)
            contents += [frame["data"]["content"]] if frame["type"] == "message" else []
        elif not line and heard and id_ is not None:
            return contents, id_
        elif not line:
            id_ = None
    raise AssertionError("the stream has ended")


async def test_who_was_on_a_gateway_that_dies_is_offline_within_twenty_seconds(town: Stack) -> None:
    async with people(town, "gil", "hob") as (gil, hob), gil.on(0) as hers, hob.on(1):
        [now] = (await hers.ask("subscribe", users=["hob"]))["presence"]
        if now["status"] == "offline":
            await hers.until("presence", user_id="hob", status="online")
        async with asyncio.timeout(20):
            await town.kill("gateway-2")
            await hers.until("presence", user_id="hob", status="offline")
