"""Socket.IO's transport: polling, WebSockets and upgrades are one connection to whoever serves it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
import socketio
import websockets

from gateway.dialects.base import BadFrame, Upgrade
from gateway.dialects.socket_io import Connect, ack_frame, decode, event_frame
from gateway.socket_io.server import PATHS, SocketIo
from gateway.transport import Transport
from tests.fakes.socket_io import SEPARATOR, PollingClient, WebSocketClient, listening

pytestmark = pytest.mark.asyncio
MAX_BYTES = 256 * 1024


class Echo:
    """Serves connections: greets, answers each event, and closes where it is told to."""

    def __init__(self) -> None:
        self.upgrades: list[Upgrade] = []
        self.connects: list[Connect] = []
        self.heard: list[str] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.written = 0
        self.served = 0  # connections that are served now
        self.left = asyncio.Event()

    async def __call__(self, upgrade: Upgrade, transport: Transport, *, address: str) -> None:
        self.upgrades.append(upgrade)
        self.served += 1
        with suppress(OSError):
            await self._serve(transport)
        self.served -= 1
        self.left.set()

    async def _serve(self, transport: Transport) -> None:
        while True:
            await self.reads.wait()
            message = await transport.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                said = decode(message["text"])
            except BadFrame as bad:
                error = {"bad": bad.error.message}
                await self._write(transport, ack_frame(bad.reply_to, error) if bad.reply_to else event_frame("bad", 1))
                continue
            if isinstance(said, Connect):
                self.connects.append(said)
                await self._write(transport, event_frame("greeting", said.sid))
                continue
            self.heard.append(said.name)
            if said.name == "close":
                await transport.close(msgspec.json.decode(said.data, type=int), "as it was asked")
                return
            if said.name == "many":
                for number in range(200):
                    await self._write(transport, event_frame("part", f"{number}{'x' * 50_000}"))
            if said.name == "few":
                few = tuple(event_frame("part", number) for number in range(msgspec.json.decode(said.data, type=int)))
                await transport.write(few, None)
            answer = said.data if said.ack is None else msgspec.Raw(b'"ok"')
            await self._write(
                transport, event_frame(said.name, answer) if said.ack is None else ack_frame(said.ack, answer)
            )

    async def _write(self, transport: Transport, frame: str) -> None:
        await transport.write((frame,), None)
        self.written += 1


class Hall:
    """A Socket.IO server that serves echoes."""

    def __init__(self, address: str, echo: Echo, server: SocketIo) -> None:
        self.address = address
        self.echo = echo
        self.server = server


@asynccontextmanager
async def hall(*, ping_s: float = 25, pong_s: float = 20) -> AsyncIterator[Hall]:
    echo = Echo()
    server = SocketIo(echo, max_read_bytes=MAX_BYTES, ping_s=ping_s, pong_s=pong_s)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run())
        async with listening(server, max_read_bytes=MAX_BYTES) as address:
            await asyncio.sleep(0)
            yield Hall(address, echo, server)
            await server.stop()
            await running


async def test_a_client_that_polls_is_greeted_and_answered_in_order() -> None:
    async with hall() as served, PollingClient(served.address) as client:
        said = await client.open()
        assert said["upgrades"] == ["websocket"]
        socket_id = msgspec.json.decode((await client.next()).removeprefix("40"))["sid"]
        assert await client.next() == f'42["greeting","{socket_id}"]'
        assert (await client.post('42["a",1]', '427["b",{"c":2}]', '42["d"]')).text == "OK"
        assert [await client.next() for _ in range(3)] == ['42["a",1]', '437["ok"]', '42["d",null]']


async def test_a_client_with_a_websocket_is_greeted_and_answered_in_order() -> None:
    async with hall() as served, WebSocketClient.dial(served.address) as client:
        assert client.opened["upgrades"] == []
        await client.next(), await client.next()
        await client.send(*(f'42["n",{number}]' for number in range(300)))
        assert [await client.next() for _ in range(300)] == [f'42["n",{number}]' for number in range(300)]


async def test_no_answer_to_a_poll_has_more_packets_than_the_librarys_clients_read() -> None:
    async with hall() as served, PollingClient(served.address) as client:
        await client.open()
        await client.next(), await client.next()
        await client.post('42["few",40]')
        answers: list[list[str]] = []
        while sum(map(len, answers)) < 41:
            answers.append(await client.poll())
        assert max(map(len, answers)) == 16
        expected = [*(f'42["part",{number}]' for number in range(40)), '42["few",40]']
        assert [packet for answer in answers for packet in answer] == expected


async def test_a_client_that_polled_goes_on_over_a_websocket() -> None:
    async with hall() as served, PollingClient(served.address) as client:
        await client.open()
        await client.next(), await client.next()
        polling = asyncio.create_task(client.poll())  # noqa: TID251
        url = f"ws://{served.address}/socket.io/?EIO=4&transport=websocket&sid={client.sid}"
        async with websockets.connect(url) as line:
            await line.send("2probe")
            assert await line.recv() == "3probe"
            assert await polling == ["6"]
            await line.send("5")
            upgraded = WebSocketClient(line)
            await upgraded.send('42["after",1]')
            assert await upgraded.next() == '42["after",1]'
            assert (await client.post('42["late",1]')).status_code == 400
        await served.echo.left.wait()
        assert len(served.echo.upgrades) == 1


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])
async def test_the_librarys_own_client_talks(transports: list[str]) -> None:
    async with hall() as served:

        def talk() -> object:
            with socketio.SimpleClient() as client:
                client.connect(f"http://{served.address}", transports=transports, auth={"token": "t"})
                greeting = client.receive(timeout=5)
                client.emit("plain", {"x": "ü"})
                return greeting[0], client.call("asked", 1, timeout=5), client.receive(timeout=5), client.transport

        answer = await asyncio.to_thread(talk)
        assert answer == ("greeting", "ok", ["plain", {"x": "ü"}], transports[-1])
        assert served.echo.connects[0].token == "t"


async def test_the_upgrade_tells_query_and_token() -> None:
    async with hall() as served:
        async with WebSocketClient.dial(served.address, query="&room_id=r1&token=abc") as client:
            await client.next()
        async with WebSocketClient.dial(served.address, connect='40{"token":"def","n":1}') as client:
            await client.next(), await client.next()
        assert served.echo.upgrades[0].token == "abc"
        assert served.echo.upgrades[0].query["room_id"] == "r1"
        assert served.echo.connects[1].auth == {"token": "def", "n": 1}


# --- its end


@pytest.mark.parametrize(("code", "told"), [(3502, ["41"]), (1008, ["41"]), (3000, [])])
async def test_a_websocket_is_closed_with_its_code_and_told_when_not_to_come_back(code: int, told: list[str]) -> None:
    async with hall() as served, WebSocketClient.dial(served.address) as client:
        await client.next(), await client.next()
        await client.send(f'42["close",{code}]')
        assert await client.rest() == told
        assert await client.closed() == code
        await served.echo.left.wait()
        assert not served.server.connected


@pytest.mark.parametrize(("code", "told"), [(3502, "41"), (3000, "6")])
async def test_a_client_that_polls_is_told_not_to_come_back_or_finds_no_connection(code: int, told: str) -> None:
    async with hall() as served, PollingClient(served.address) as client:
        await client.open()
        await client.next(), await client.next()
        polling = asyncio.create_task(client.poll())  # noqa: TID251
        await client.post(f'42["close",{code}]')
        packets = await polling
        assert told in packets
        assert ("41" in packets) == (told == "41")
        await served.echo.left.wait()
        assert (await client.http.get(client.url)).status_code == 400


async def test_what_a_client_said_before_it_left_is_heard() -> None:
    async with hall() as served:
        served.echo.reads.clear()
        async with WebSocketClient.dial(served.address) as client:
            await client.next()
            await client.send('42["last",1]', "41")
            await client.line.close()
        served.echo.reads.set()
        await served.echo.left.wait()
        assert served.echo.heard == ["last"]


async def test_a_client_that_answers_no_ping_is_lost() -> None:
    async with hall(ping_s=0.05, pong_s=0.1) as served, WebSocketClient.dial(served.address) as client:
        assert [await client.line.recv() for _ in range(3)][2] == "2"
        await served.echo.left.wait()


async def test_a_client_that_never_polls_again_is_lost() -> None:
    async with hall(ping_s=0.05, pong_s=0.1) as served, PollingClient(served.address) as client:
        await client.open()
        await served.echo.left.wait()


async def test_stopping_ends_connections_and_leaves_no_task() -> None:
    async with hall() as served, PollingClient(served.address) as client:
        async with WebSocketClient.dial(served.address, connect="") as silent:
            await client.open()
            await served.server.stop()
            assert await silent.closed() is not None
            await served.echo.left.wait()
        assert (await client.http.get(client.url)).status_code == 503
    assert served.echo.served == 0


# --- back-pressure


async def test_a_connection_that_is_not_read_from_waits_and_stops_no_other() -> None:
    async with (
        hall() as served,
        WebSocketClient.dial(served.address) as slow,
        WebSocketClient.dial(served.address) as other,
    ):
        for client in (slow, other):
            await client.next(), await client.next()
        await slow.send('42["many",0]')
        await other.send('42["quick",1]')
        assert await other.next() == '42["quick",1]'
        assert served.echo.written < 200
        parts = [await slow.next() for _ in range(201)]
        assert parts[0].startswith('42["part","0x')
        assert parts[199].startswith('42["part","199x')


async def test_a_client_that_sends_faster_than_it_is_heard_is_not_read_from() -> None:
    async with hall() as served, PollingClient(served.address) as client:
        await client.open()
        await client.next(), await client.next()
        served.echo.reads.clear()
        posting = asyncio.create_task(client.post(*(f'42["n",{number}]' for number in range(200))))  # noqa: TID251
        async with WebSocketClient.dial(served.address) as other:
            await other.next()
        assert not posting.done()
        served.echo.reads.set()
        assert [await client.next() for _ in range(200)] == [f'42["n",{number}]' for number in range(200)]
        assert (await posting).status_code == 200


# --- what is no packet


@pytest.mark.parametrize(
    "packet", ["", "x", "7", "0", "2", "4", "4x", "5x", '42["a"]' + SEPARATOR, "²", "d=42", "b?", "1x", "\x00"]
)
async def test_a_posted_body_that_holds_something_else_is_refused_and_the_connection_lives(packet: str) -> None:
    async with hall() as served, PollingClient(served.address) as client:
        await client.open()
        assert (await client.post(packet)).status_code == 400
        await client.post('42["still",1]')
        await client.next(), await client.next()
        assert await client.next() == '42["still",1]'


async def test_a_posted_body_that_is_no_text_is_refused() -> None:
    async with hall() as served, PollingClient(served.address) as client:
        await client.open()
        assert (await client.http.post(client.url, content=b"4\xff")).status_code == 400


@pytest.mark.parametrize("packet", ["", "x", "7", "0", "2", "6", "4", "4x", "²", "1x", "3x", "5x"])
async def test_a_frame_that_is_no_packet_closes_a_websocket_with_a_protocol_error(packet: str) -> None:
    async with hall() as served, WebSocketClient.dial(served.address) as client:
        await client.next()
        await client.send(packet)
        assert await client.closed() == 1002
        await served.echo.left.wait()


@pytest.mark.parametrize("connect", ['42["early",1]', "40{", "40[1]", '40{"a":}', "40" + '{"a":' * 2000, "4", "44{}"])
async def test_who_does_not_connect_first_has_to_go(connect: str) -> None:
    async with hall() as served, WebSocketClient.dial(served.address, connect=connect) as client:
        await served.echo.left.wait()
        assert await client.closed() is not None
        assert served.echo.heard == []


async def test_other_namespaces_are_refused_and_the_connection_lives() -> None:
    async with hall() as served, WebSocketClient.dial(served.address, connect="40/admin,") as client:
        assert (await client.next()).startswith("44/admin,")
        await client.send("40")
        await client.next(), await client.next()
        await client.send('42/admin,["a",1]', '42["b",1]')
        assert [await client.next(), await client.next()] == ['42["bad",1]', '42["b",1]']


async def test_connecting_twice_is_refused_and_the_connection_lives() -> None:
    async with hall() as served, WebSocketClient.dial(served.address) as client:
        await client.next(), await client.next()
        await client.send("40", '42["b",1]')
        assert (await client.next()).startswith("44")
        assert await client.next() == '42["b",1]'
        assert len(served.echo.connects) == 1


async def test_binary_arguments_are_a_bad_frame_and_nothing_of_them_is_heard() -> None:
    async with hall() as served, WebSocketClient.dial(served.address) as client:
        await client.next(), await client.next()
        await client.send('452-9["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"x", b"y")
        await client.send(b"z", '42["b",1]')
        assert (await client.next()).startswith('439[{"bad":')
        assert [await client.next(), await client.next()] == ['42["bad",1]', '42["b",1]']


async def test_acknowledgements_that_nobody_asked_for_are_no_event() -> None:
    async with hall() as served, WebSocketClient.dial(served.address) as client:
        await client.next(), await client.next()
        await client.send("431[1]", "46-", '42["b",1]')
        assert await client.next() == '42["b",1]'


@pytest.mark.parametrize(
    ("method", "query", "status"),
    [
        ("GET", "", 400),
        ("GET", "EIO=3&transport=polling", 400),
        ("GET", "EIO=4&transport=carrier-pigeon", 400),
        ("GET", "EIO=4&transport=websocket", 400),
        ("GET", "EIO=4&transport=polling&sid=unknown", 400),
        ("GET", "EIO=4&transport=polling&j=x", 400),
        ("GET", "EIO=4&transport=polling&sid=%00%ff", 400),
        ("POST", "EIO=4&transport=polling", 400),
        ("POST", "EIO=4&transport=polling&sid=unknown", 400),
        ("PUT", "EIO=4&transport=polling", 405),
        ("DELETE", "", 400),
    ],
)
async def test_wrong_requests_are_refused(method: str, query: str, status: int) -> None:
    async with hall() as served, PollingClient(served.address) as client:
        answer = await client.http.request(method, f"/socket.io/?{query}", content=b"3" if method == "POST" else b"")
        assert answer.status_code == status


async def test_a_websocket_of_an_unknown_connection_is_refused() -> None:
    async with hall() as served:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"ws://{served.address}/socket.io/?EIO=4&transport=websocket&sid=unknown")
        assert refused.value.response.status_code == 403


async def test_an_upgrade_that_goes_wrong_leaves_the_client_polling() -> None:
    async with hall() as served, PollingClient(served.address) as client:
        await client.open()
        await client.next(), await client.next()
        url = f"ws://{served.address}/socket.io/?EIO=4&transport=websocket&sid={client.sid}"
        async with websockets.connect(url) as line:
            await line.send("5")
            await line.wait_closed()
        await client.post('42["still",1]')
        assert await client.next() == '42["still",1]'


async def test_too_long_a_frame_ends_the_connection() -> None:
    async with hall() as served, WebSocketClient.dial(served.address) as client:
        await client.next()
        await client.send("42" + "x" * MAX_BYTES)
        assert await client.closed() == 1009
        await served.echo.left.wait()


async def test_all_paths_are_one_place() -> None:
    assert PATHS == ("/socket.io", "/socket.io/", "/connector", "/connector/")
