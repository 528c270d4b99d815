"""Server-sent events over a real socket: what they carry, and that a client resumes without loss or repeat."""

import asyncio
import uuid
from datetime import timedelta

import httpx
import pytest
from starlette.types import Message

from shared.events import DeviceSignedOut, SessionClosed, SessionOpened, SignOutReason
from shared.history_api import SyncAnswer
from shared.ids import ConversationId, DeviceId
from shared.position import Position
from shared.presence_api import Account
from tests.fakes.clock import START, settle
from tests.fakes.edge import Edge, gateway
from tests.fakes.listener import Listener, listening, served
from tests.fakes.messages import BOB, ROOM, changes, stored


def versions(since: str | None) -> dict[ConversationId, int]:
    assert since is not None
    return Position.from_token(since).versions


async def contents(listener: Listener, count: int) -> list[str]:
    return [(await listener.next("message"))["content"] for _ in range(count)]


def path(edge: Edge, **query: str) -> str:
    return str(httpx.URL("/sse", params={"token": edge.token(), **query}))


async def test_a_listener_is_told_what_a_socket_is() -> None:
    async with gateway() as edge, served(edge.app) as http, listening(http, path(edge)) as listener:
        assert listener.headers["content-type"].startswith("text/event-stream")
        welcome = await listener.next("welcome")
        assert (welcome["user_id"], versions(listener.last_id)) == ("bob", {})
        await edge.deliver(stored(1))
        assert await contents(listener, 1) == ["1"]
        assert versions(listener.last_id) == {ROOM: 1}


async def test_a_listener_is_a_session_until_it_hangs_up() -> None:
    async with gateway() as edge, served(edge.app) as http:
        async with listening(http, path(edge)) as listener:
            session_id = (await listener.next("welcome"))["connection_id"]
            [opened] = [told for told in await edge.announced() if isinstance(told, SessionOpened)]
            assert (opened.session.id, opened.session.name, opened.session.dialect) == (session_id, "Bob", "sse")
        await http.get("/openapi.json")  # by its answer the server has seen that the other connection is gone
        assert SessionClosed in [type(told) for told in await edge.announced()]
        assert (await edge.service.stats())["sessions"] == 0


async def test_each_of_what_is_written_together_has_the_id_behind_it() -> None:
    async with gateway() as edge, served(edge.app) as http, listening(http, path(edge)) as listener:
        await listener.next("welcome")
        await edge.deliver(stored(1), stored(2), stored(3))
        ids = [(await listener.told()).id for _ in range(3)]
        assert [versions(id_) for id_ in ids] == [{ROOM: 1}, {ROOM: 2}, {ROOM: 3}]


async def test_an_id_that_is_long_is_at_the_end_of_what_is_written_together_alone() -> None:
    async with gateway() as edge, served(edge.app) as http, listening(http, path(edge)) as listener:
        await listener.next("welcome")
        await edge.deliver(*(stored(1, room=ConversationId(f"room-{number}")) for number in range(60)))
        ids = [(await listener.told()).id for _ in range(60)]
        assert [id_ is not None for id_ in ids] == [True] * 50 + [False] * 9 + [True]
        assert len(versions(ids[-1])) == 60


async def test_what_changes_no_position_has_no_id() -> None:
    async with gateway() as edge, served(edge.app) as http, listening(http, path(edge)) as listener:
        await listener.next("welcome")
        await edge.deliver(stored(1))
        first = await listener.told()
        edge.history.down = True
        await edge.deliver(stored(1))  # a repeat
        await edge.deliver(stored(2))
        second = await listener.told()
        assert first.id != second.id
        assert second.frame is not None
        assert second.frame["data"]["seq"] == 2


async def test_an_id_never_grows_too_long_for_a_header() -> None:
    async with gateway() as edge, served(edge.app) as http, listening(http, path(edge)) as listener:
        await listener.next("welcome")
        shorter = Position(START + timedelta(seconds=0.5)).token()
        edge.history.answers = [SyncAnswer(conversations=(), since=shorter)]
        rooms = [ConversationId(str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))) for number in range(300)]
        for room in rooms:
            await edge.deliver(stored(1, room=room))
        told = [await listener.told() for _ in rooms]
        assert max(len(each.id or "") for each in told) < 8_000
        assert told[100].id is not None
        await edge.deliver(stored(2, room=rooms[-1]))
        last = await listener.told()
        assert versions(last.id)[rooms[-1]] == 2
        assert len(edge.history.asked) == 1


async def test_a_listener_that_comes_back_is_told_what_it_missed_once_and_in_order() -> None:
    async with gateway() as edge, served(edge.app) as http:
        async with listening(http, path(edge)) as listener:
            await listener.next("welcome")
            await edge.deliver(stored(1))
            await contents(listener, 1)
            last_id = listener.last_id
        assert last_id is not None
        missed = Position(START, {ROOM: 3}).token()
        edge.history.answers = [SyncAnswer(conversations=(changes(2, 3),), since=missed)]
        edge.history.gate.clear()
        async with listening(http, path(edge, since="overruled"), last_event_id=last_id) as listener:
            await listener.next("welcome")
            await edge.deliver(stored(3), stored(4))  # while history is asked
            edge.history.gate.set()
            assert await contents(listener, 3) == ["2", "3", "4"]
            assert versions(listener.last_id) == {ROOM: 4}
            await edge.deliver(stored(5))
            assert await contents(listener, 1) == ["5"]
        assert edge.history.asked[-1].versions == {ROOM: 1}


async def test_since_resumes_too() -> None:
    async with gateway() as edge, served(edge.app) as http:
        since = Position(START, {ROOM: 7}).token()
        edge.history.answers = [SyncAnswer(conversations=(changes(8),), since=Position(START, {ROOM: 8}).token())]
        async with listening(http, path(edge, since=since)) as listener:
            await listener.next("welcome")
            assert await contents(listener, 1) == ["8"]


async def test_a_position_that_is_none_is_told_and_events_go_on_from_now() -> None:
    async with (
        gateway() as edge,
        served(edge.app) as http,
        listening(http, path(edge), last_event_id="nonsense") as listener,
    ):
        assert (await listener.next("error"))["code"] == "invalid"
        await listener.next("welcome")
        await edge.deliver(stored(1))
        assert await contents(listener, 1) == ["1"]


async def test_an_empty_position_is_none() -> None:
    async with (
        gateway() as edge,
        served(edge.app) as http,
        listening(http, path(edge, since=""), last_event_id="") as listener,
    ):
        await listener.next("welcome")


async def test_a_silent_stream_has_a_comment_each_fifteen_seconds() -> None:
    async with gateway() as edge, served(edge.app) as http, listening(http, path(edge)) as listener:
        await listener.next("welcome")
        await edge.clock.advance(15)
        assert await listener.told() == (None, None, None)
        await edge.clock.advance(15)
        assert await listener.told() == (None, None, None)


async def test_a_draining_gateway_says_bye_and_ends_the_stream() -> None:
    async with gateway() as edge, served(edge.app) as http, listening(http, path(edge)) as listener:
        await listener.next("welcome")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(edge.drain())
            bye = await listener.next("bye")
            assert (bye["code"], bye["reconnect"]) == (3000, True)
            assert await listener.ended()
            await edge.clock.advance(10)
        refused = await http.get(path(edge))
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")


async def test_a_signed_out_device_s_stream_ends_and_its_token_opens_no_other() -> None:
    async with gateway() as edge, served(edge.app) as http:
        token = edge.token(device="phone")
        async with listening(http, f"/sse?token={token}") as listener:
            await listener.next("welcome")
            at = edge.clock.now()
            signed_out = DeviceSignedOut(user_id=BOB, device_id=DeviceId("phone"), reason=SignOutReason.KICKED, at=at)
            await edge.tell(signed_out)
            assert (await listener.next("bye"))["code"] == 3502
            assert await listener.ended()
        edge.presence.accounts[BOB] = Account(user_id=BOB, name="Bob", signed_out={DeviceId("phone"): at})
        refused = await http.get(f"/sse?token={token}")
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


async def test_a_sign_out_while_a_stream_is_opened_is_not_overlooked() -> None:
    async with gateway() as edge, served(edge.app) as http, asyncio.TaskGroup() as tasks:
        edge.history.gate.clear()
        asking = tasks.create_task(http.get(f"/sse?token={edge.token(device='phone')}"))
        while not edge.presence.asked_accounts:
            await settle()
        kicked = SignOutReason.KICKED
        await edge.tell(DeviceSignedOut(user_id=BOB, device_id=DeviceId("phone"), reason=kicked, at=edge.clock.now()))
        edge.history.gate.set()
        assert (await asking).status_code == 401


async def test_a_token_that_expires_ends_the_stream() -> None:
    async with (
        gateway() as edge,
        served(edge.app) as http,
        listening(http, f"/sse?token={edge.token(lifetime_s=2)}") as listener,
    ):
        await listener.next("welcome")
        await edge.clock.advance(5)
        assert (await listener.next("bye"))["code"] == 3501
        assert await listener.ended()


@pytest.mark.parametrize("query", ["", "?token=", "?token=nonsense"])
async def test_nobody_listens_without_a_token(query: str) -> None:
    async with gateway() as edge, served(edge.app) as http:
        refused = await http.get(f"/sse{query}")
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


async def test_the_authorization_header_will_do() -> None:
    async with (
        gateway() as edge,
        served(edge.app) as http,
        listening(http, "/sse", authorization=f"Bearer {edge.token()}") as listener,
    ):
        assert (await listener.next("welcome"))["user_id"] == "bob"


async def test_listeners_count_as_sessions_of_their_user_and_address() -> None:
    async with gateway(max_user_sessions="1") as edge, served(edge.app) as http:
        await edge.connect()
        assert (await http.get(path(edge))).status_code == 429
    async with gateway(max_address_sessions="1") as edge, served(edge.app) as http:
        await edge.connect("alice")
        refused = await http.get(path(edge))
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")


async def test_a_listener_that_does_not_read_cannot_hold_up_its_end() -> None:
    async with gateway(close_s="0.01") as edge:
        writing, never = asyncio.Event(), asyncio.Event()

        async def receive() -> Message:
            await never.wait()
            raise AssertionError

        async def send(_: Message) -> None:
            writing.set()
            await never.wait()

        async def serve() -> None:
            query = f"token={edge.token(device='phone')}".encode()
            scope = {"type": "http", "method": "GET", "path": "/sse", "query_string": query, "headers": []}
            await edge.app(scope, receive, send)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(), name="sse")
            await writing.wait()
            assert (await edge.service.stats())["sessions"] == 1
            kicked = SignOutReason.KICKED
            await edge.tell(
                DeviceSignedOut(user_id=BOB, device_id=DeviceId("phone"), reason=kicked, at=edge.clock.now())
            )
        assert (await edge.service.stats())["sessions"] == 0


async def test_web_pages_of_the_origins_that_are_set_may_listen_and_others_not() -> None:
    async with gateway(cors_origins="https://chat.example") as edge, served(edge.app) as http:
        async with listening(http, path(edge), origin="https://chat.example") as listener:
            assert listener.headers["access-control-allow-origin"] == "https://chat.example"
        async with listening(http, path(edge), origin="https://evil.example") as listener:
            assert "access-control-allow-origin" not in listener.headers
        asked = {"Origin": "https://chat.example", "Access-Control-Request-Method": "PATCH"}
        assert (await http.options("/v1/users/bob", headers=asked)).status_code == 200


@pytest.mark.parametrize("origin", ["http://localhost:5173", "http://127.0.0.1:3000", "https://localhost"])
async def test_in_development_pages_of_the_same_machine_may_by_default(origin: str) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    async with gateway() as edge, served(edge.app) as http:
        answer = await http.options("/v1/users/bob", headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)


@pytest.mark.parametrize("origin", ["http://localhost.evil.example", "http://evil.example/localhost:80", "null"])
async def test_pages_that_only_look_like_it_may_not(origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    async with gateway() as edge, served(edge.app) as http:
        assert (await http.options("/v1/users/bob", headers=asked)).status_code == 400


async def test_by_default_no_other_origin_may() -> None:
    async with (
        gateway() as edge,
        served(edge.app) as http,
        listening(http, path(edge), origin="https://chat.example") as listener,
    ):
        assert "access-control-allow-origin" not in listener.headers
