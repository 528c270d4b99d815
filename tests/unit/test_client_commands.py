"""The commands of the terminal chat: what each asks of the server, and what it shows."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx
import pytest

from client.commands import HELP, Commands
from client.conversing import Chat
from client.events import ConnectionChanged
from client.rest import WarrenRest
from client.transcript import Line
from client.typed import TypedLines
from tests.fakes.native_server import message
from tests.fakes.pair import DEADLINE_S, Pair
from tests.fakes.terminal import heard

TEAM = {
    "id": "c",
    "number": 7,
    "kind": "group",
    "name": "Team",
    "members": ["alice", "bob"],
    "member_count": 2,
    "role": "owner",
    "last_seq": 2,
    "watermarks": [{"user_id": "bob", "read_seq": 1}, {"user_id": "alice", "read_seq": 2}],
}


class Stage:
    """A chat in which commands are typed, with a server that the test plays."""

    def __init__(self, pair: Pair, start: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self.pair = pair
        self.answers: dict[str, Any] = {}  # of the REST API, by method and path
        self.asked: list[tuple[str, Any]] = []
        self.shown: list[str] = []
        rest = WarrenRest(httpx.AsyncClient(transport=httpx.MockTransport(self._answer), base_url="http://warren"))
        self.chat = Chat(pair.alice, rest, self._show, start)
        self.commands = Commands(self.chat, pair.alice, rest, self._show)

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        async with Pair.open() as pair, asyncio.TaskGroup() as tasks:
            begun: list[asyncio.Task[None]] = []
            stage = cls(pair, lambda work: begun.append(tasks.create_task(work)))
            yield stage
            for task in begun:
                task.cancel()

    async def says(self, command: str, *replies: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Carry out a command; the server hears and answers these frames, whose data it gives."""
        self.shown.clear()
        self.asked.clear()
        said = []
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.commands.run(command))
            for kind, reply in replies:
                frame = await heard(self.pair.connection, kind)
                said.append(frame["data"])
                await self.pair.connection.reply(frame, **reply)
        return said

    async def in_team(self) -> None:
        """Go to a group in which bob has said [1] and alice [2]."""
        self.answers["GET /v1/conversations/7"] = TEAM
        own = message(2, sender_id="alice", content="mine")
        await self.says("/open 7", ("history", {"messages": [message(1), own], "has_more": False}))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        asked = f"{request.method} {request.url.path}"
        self.asked.append((asked, json.loads(request.content) if request.content else None))
        answer = self.answers.get(asked)
        if answer is None:
            return httpx.Response(404, json={"code": "not_found", "message": "There is no\nsuch thing."})
        return httpx.Response(200, json=answer)

    def _show(self, what: Line | str | ConnectionChanged | None) -> None:
        match what:
            case Line(sender=""):
                self.shown.append(what.text)
            case Line():
                self.shown.append(f"[{what.seq}] {what.sender}: {what.body}")
            case str():
                self.shown.append(what)
            case ConnectionChanged() | None:
                pass


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage.open() as stage:
        yield stage


CHANGED = {"conversation_id": "c", "version": 9}


async def test_open_goes_to_a_conversation_by_its_number(stage: Stage) -> None:
    await stage.in_team()
    assert stage.shown == ["[1] Bob: text 1", "[2] Alice: mine", "This is Team."]
    assert stage.chat.conversation_id == "c"


async def test_open_goes_to_a_user_with_whom_nothing_was_said_yet(stage: Stage) -> None:
    stage.answers["GET /v1/conversations"] = {"conversations": [TEAM]}
    await stage.says("/open carol")
    assert stage.shown == ["This is carol."]
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.chat.send("hi"))
        frame = await heard(stage.pair.connection, "send")
        assert frame["data"]["to"] == "carol"
        await stage.pair.connection.store(frame, seq=1, conversation_id="d-1")
    assert stage.chat.conversation_id == "d-1"


async def test_what_is_said_in_a_group_goes_to_the_group(stage: Stage) -> None:
    await stage.in_team()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.chat.send("hi"))
        frame = await heard(stage.pair.connection, "send")
        assert frame["data"]["conversation_id"] == "c"
        await stage.pair.connection.store(frame, seq=3)


async def test_a_group_is_made_and_gone_to(stage: Stage) -> None:
    stage.answers["POST /v1/conversations"] = TEAM
    await stage.says("/group 'The team' bob carol", ("history", {"messages": []}))
    assert stage.asked == [
        ("POST /v1/conversations", {"kind": "group", "name": "The team", "member_ids": ["bob", "carol"]})
    ]
    assert stage.shown == ["This is Team."]


async def test_joining_puts_oneself_among_the_members(stage: Stage) -> None:
    stage.answers["PUT /v1/conversations/7/members/alice"] = TEAM
    await stage.says("/join 7", ("history", {"messages": []}))
    assert stage.shown == ["This is Team."]


async def test_the_list_tells_numbers_names_and_what_is_unread(stage: Stage) -> None:
    direct = {"id": "d", "number": 8, "kind": "direct", "members": ["alice", "bob"], "unread": 3, "role": "member"}
    stage.answers["GET /v1/conversations"] = {"conversations": [TEAM, direct]}
    await stage.says("/list")
    assert stage.shown == ["7  Team (group, 2 members)", "8  bob (direct, 3 unread)"]


@pytest.mark.parametrize(
    ("command", "kind", "data"),
    [
        ("/edit better", "edit", {"message_id": "m2", "content": "better"}),
        ("/edit 1 better", "edit", {"message_id": "m1", "content": "better"}),
        ("/edit 30 apples", "edit", {"message_id": "m2", "content": "30 apples"}),
        ("/delete", "delete", {"message_id": "m2", "scope": "everyone"}),
        ("/delete 1", "delete", {"message_id": "m1", "scope": "everyone"}),
        ("/react 👍", "react", {"message_id": "m2", "emoji": "👍", "remove": False}),
        ("/react 👍 1", "react", {"message_id": "m1", "emoji": "👍", "remove": False}),
        ("/status away at lunch", "presence", {"status": "away", "text": "at lunch"}),
    ],
)
async def test_a_command_says_its_frame(stage: Stage, command: str, kind: str, data: dict[str, Any]) -> None:
    await stage.in_team()
    assert await stage.says(command, (kind, CHANGED)) == [data]


async def test_reacting_again_takes_it_back(stage: Stage) -> None:
    stage.answers["GET /v1/conversations/7"] = TEAM
    liked = message(1, reactions={"👍": ["bob", "alice"]})
    await stage.says("/open 7", ("history", {"messages": [liked]}))
    (said,) = await stage.says("/react 👍", ("react", CHANGED))
    assert said["remove"] is True


async def test_a_reply_names_the_message_and_shows_it(stage: Stage) -> None:
    await stage.in_team()
    place = {"status": "stored", "message_id": "m3", "conversation_id": "c", "seq": 3, "version": 3}
    (said,) = await stage.says("/reply 1 indeed", ("send", place))
    assert (said["content"], said["reply_to"]) == ("indeed", "m1")
    assert stage.shown == ["[3] alice: ↪ Bob: text 1 · indeed"]


async def test_who_tells_of_each_member_whether_they_are_there_and_how_far_they_have_read(stage: Stage) -> None:
    await stage.in_team()
    stage.answers["GET /v1/conversations/c"] = TEAM
    members = [{"user_id": "alice", "role": "owner"}, {"user_id": "bob", "role": "member"}]
    stage.answers["GET /v1/conversations/c/members"] = {"members": members, "next_cursor": None}
    presence = [{"user_id": "alice", "status": "online"}, {"user_id": "bob", "status": "away", "text": "lunch"}]
    stage.answers["GET /v1/presence"] = {"presence": presence}
    await stage.says("/who")
    assert stage.shown == ["alice (owner) online, read up to [2]", "bob away (lunch), read up to [1]"]


async def test_members_are_added_and_removed(stage: Stage) -> None:
    await stage.in_team()
    stage.answers["POST /v1/conversations/c/members"] = TEAM
    stage.answers["DELETE /v1/conversations/c/members/bob"] = {}
    await stage.says("/members add carol dave")
    added = stage.asked[:]
    await stage.says("/members remove bob")
    assert [*added, *stage.asked] == [
        ("POST /v1/conversations/c/members", {"user_ids": ["carol", "dave"]}),
        ("DELETE /v1/conversations/c/members/bob", None),
    ]
    assert stage.shown == []


async def test_a_conversation_gets_another_name(stage: Stage) -> None:
    await stage.in_team()
    stage.answers["PATCH /v1/conversations/c"] = TEAM
    await stage.says("/rename The A team")
    assert stage.asked == [("PATCH /v1/conversations/c", {"name": "The A team"})]


async def test_devices_are_listed_and_signed_out(stage: Stage) -> None:
    stage.answers["GET /v1/devices"] = {"devices": [{"id": "d1", "name": "Laptop", "online": True}, {"id": "d2"}]}
    stage.answers["DELETE /v1/devices/d2"] = {}
    await stage.says("/devices")
    assert stage.shown == ["d1  Laptop, online", "d2  other, last seen never"]
    await stage.says("/kick d2")
    assert stage.shown == ["d2 is signed out."]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("/histroy", f"No such command. {HELP}"),
        ("/open", "Say it like this: /open N|USER"),
        ("/group Team", "Say it like this: /group NAME USER…"),
        ("/group 'Team bob", "A quotation mark is missing."),
        ("/members", "Say it like this: /members add|remove USER…"),
        ("/members promote bob", "Say it like this: /members add|remove USER…"),
        ("/edit", "Say it like this: /edit [N] TEXT"),
        ("/reply 1", "Say it like this: /reply N TEXT"),
        ("/react", "Say it like this: /react EMOJI [N]"),
        ("/status asleep", "Say it like this: /status online|away|dnd|invisible [TEXT]"),
        ("/delete 9", "There is no message 9 here."),
        ("/open 12", "There is no such thing."),
    ],
)
async def test_what_goes_wrong_is_told_in_one_line(stage: Stage, command: str, told: str) -> None:
    await stage.in_team()
    await stage.says(command)
    assert stage.shown == [told]


async def test_help_tells_of_each_command(stage: Stage) -> None:
    await stage.says("/help")
    assert "/edit [N] TEXT: say the last message, or message N, otherwise" in stage.shown
    assert "/who: the members, who is there, and how far they have read" in stage.shown
    assert len(stage.shown) == 16


async def test_without_a_conversation_there_is_nothing_to_edit(stage: Stage) -> None:
    await stage.says("/edit better")
    before = stage.shown[:]
    await stage.says("/rename Team")
    assert [*before, *stage.shown] == [
        "You have said nothing here.",
        "There is no conversation here yet; say something first.",
    ]


async def test_what_happens_in_other_conversations_is_told_beside(stage: Stage) -> None:
    stage.answers["GET /v1/conversations"] = {"conversations": [TEAM]}
    await stage.says("/open carol")
    stage.shown.clear()
    room = {**TEAM, "id": "e", "number": 9, "name": "Plans"}
    added = {"conversation_id": "e", "version": 1, "change": "created", "actor_id": "bob", "user_ids": ["alice"]}
    await stage.pair.connection.push("conversation", **added, conversation=room)
    await stage.pair.connection.push("message", **message(1, conversation_id="e", version=2))
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(stage.chat.watch())
        ack = await heard(stage.pair.connection, "ack")
        watching.cancel()
    assert ack["data"] == {"conversation_id": "e", "seq": 1, "stage": "delivered"}
    assert stage.shown == ["Plans (/open 9): bob made Plans.", "Bob in Plans (/open 9): text 1"]


async def test_what_changes_here_is_shown_in_its_line(stage: Stage) -> None:
    await stage.in_team()
    stage.shown.clear()
    push = stage.pair.connection.push
    at = {"edited_at": "2026-01-01T00:00:01.000Z"}
    await push("message.updated", **message(1, version=3, content="other", **at))
    reaction = {"conversation_id": "c", "version": 4, "message_id": "m2", "seq": 2, "user_id": "bob", "emoji": "👍"}
    await push("reaction", **reaction)
    gone = {"deleted_at": "2026-01-01T00:00:02.000Z", "content": ""}
    await push("message.deleted", **message(1, version=5, **at, **gone))
    left = {"conversation_id": "c", "version": 6, "change": "member_removed", "actor_id": "bob", "user_ids": ["bob"]}
    await push("conversation", **left, conversation={**TEAM, "members": ["alice"]})
    await push("message", **message(3, version=7))
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(stage.chat.watch())
        while (await heard(stage.pair.connection, "ack"))["data"]["seq"] < 3:
            continue
        watching.cancel()
    assert stage.shown == [
        "[1] Bob: other (edited)",
        "[2] Alice: mine 👍",
        "[1] Bob: (deleted)",
        "bob left.",
        "[3] Bob: text 3",
    ]


async def test_what_is_stale_is_fetched_again_where_it_is_shown(stage: Stage) -> None:
    await stage.in_team()
    stage.shown.clear()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(stage.chat.watch())
        await stage.pair.connection.push("message", **message(2))
        await stage.pair.connection.push("lagged", conversation_id="c", from_seq=3)
        sync = await heard(stage.pair.connection, "sync")
        changes = {"conversation": TEAM, "version": 9, "events": [], "limited": True, "before": 3}
        await stage.pair.connection.reply(sync, conversations=[changes], since="since-1")
        history = await heard(stage.pair.connection, "history")
        assert (history["data"]["after"], history["data"]["conversation_id"]) == (0, "c")
        anew = message(1, content="other", edited_at="2026-01-01T00:00:01.000Z")
        await stage.pair.connection.reply(history, messages=[anew, message(2)], has_more=False)
        await stage.pair.connection.push("message", **message(3, version=10))
        while (await heard(stage.pair.connection, "ack"))["data"]["seq"] < 3:
            continue
        watching.cancel()
    assert stage.shown[0] == "[1] Bob: other (edited)"


async def test_a_command_waits_for_what_was_said_before_it() -> None:
    begun, answered = asyncio.Semaphore(0), asyncio.Event()
    done: list[str] = []

    async def say(text: str) -> None:
        done.append(f"say {text}")
        begun.release()
        await answered.wait()
        done.append(f"said {text}")

    async def command(text: str) -> bool:
        done.append(text)
        return True

    typed = TypedLines(say=say, command=command, show=lambda _: None)
    lines = ("one", "//two", "/edit three", "four", "/quit")
    assert [typed.take(line) for line in lines] == [True, True, True, True, False]
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(typed.run())
        tasks.create_task(typed.finish())
        for _ in range(2):
            await begun.acquire()
        assert done == ["say one", "say /two"]
        answered.set()
    assert done == ["say one", "say /two", "said one", "said /two", "/edit three", "say four", "said four"]


async def test_what_was_typed_for_elsewhere_is_not_said_here() -> None:
    said: list[str] = []
    shown: asyncio.Queue[object] = asyncio.Queue()

    async def say(text: str) -> None:
        said.append(text)

    async def command(_: str) -> bool:
        typed.take("also for bob")
        return False

    typed = TypedLines(say=say, command=command, show=shown.put_nowait)
    for line in ("here", "/open bob", "for bob"):
        typed.take(line)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(typed.run())
        left_out = [str(await shown.get()).rpartition(": ")[2] for _ in range(2)]
        typed.take("here, then")
        tasks.create_task(typed.finish())
    assert (said, left_out) == (["here", "here, then"], ["for bob", "also for bob"])


async def test_a_move_that_fails_says_so() -> None:
    async with Stage.open() as stage:
        for failing in ("/join 99", "/open 99", "/group Team"):
            assert not await stage.commands.run(failing)
        for other in ("/kick nobody", "/nonsense", "/help"):
            assert await stage.commands.run(other)
