"""The terminal chat: what it shows, and that it works through pipes."""

import asyncio
import io
import os
from datetime import UTC, datetime
from pathlib import Path

from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from client.chat import HELP, converse
from client.events import ReceiptAdvanced
from client.full_screen import FullScreen
from client.plain import Plain
from client.sending import Sent
from client.transcript import TYPING_EXPIRES_S, Tick, Transcript
from client.wire import Message, Stage
from tests.fakes.native_server import FakeServer, message


def a_message(seq: int, sender_id: str = "bob", client_id: str = "", status: str = "stored") -> Message:
    return Message(
        id=f"m{seq}",
        conversation_id="c",
        seq=seq,
        version=seq,
        sender_id=sender_id,
        client_id=client_id,
        content=f"text {seq}",
        status=status,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def sent(client_id: str, seq: int | None) -> Sent:
    return Sent(
        client_id=client_id,
        status="accepted" if seq is None else "stored",
        message_id="m",
        conversation_id="c",
        seq=seq,
        settled=asyncio.get_running_loop().create_future(),
    )


def receipt(stage: Stage, seq: int, user_id: str = "bob") -> ReceiptAdvanced:
    return ReceiptAdvanced(conversation_id="c", user_id=user_id, stage=stage, seq=seq)


def ticks(transcript: Transcript) -> list[Tick | None]:
    return [line.tick for line in transcript.lines]


async def test_the_ticks_of_a_message_from_pending_to_read() -> None:
    transcript = Transcript("alice")
    line = transcript.write("k1", "hi")
    seen = [line.tick]
    transcript.sent(await sent("k1", None))
    seen.append(line.tick)
    transcript.sent(await sent("k1", 1))
    seen.append(line.tick)
    for stage in Stage:
        assert transcript.advanced(receipt(stage, 1)) is line
        seen.append(line.tick)
    assert seen == [Tick.PENDING, Tick.ACCEPTED, Tick.STORED, Tick.DELIVERED, Tick.READ]
    assert transcript.advanced(receipt(Stage.DELIVERED, 1)) is None
    assert line.tick is Tick.READ


async def test_a_receipt_that_overtakes_the_answer_counts() -> None:
    transcript = Transcript("alice")
    transcript.write("k1", "hi")
    transcript.advanced(receipt(Stage.DELIVERED, 1))
    transcript.sent(await sent("k1", 1))
    assert ticks(transcript) == [Tick.DELIVERED]


def test_our_own_receipts_are_no_ticks() -> None:
    transcript = Transcript("alice")
    transcript.received(a_message(1, sender_id="alice"))
    transcript.advanced(receipt(Stage.READ, 1, user_id="alice"))
    assert ticks(transcript) == [Tick.STORED]


def test_our_own_message_takes_the_place_of_the_pending_line() -> None:
    transcript = Transcript("alice")
    transcript.write("k1", "text 1")
    assert transcript.received(a_message(1, sender_id="alice", client_id="k1")) is None
    assert ticks(transcript) == [Tick.STORED]


def test_earlier_messages_come_first_and_pending_ones_last() -> None:
    transcript = Transcript("alice")
    transcript.write("k9", "pending")
    for seq in (5, 3, 4, 5):
        transcript.received(a_message(seq))
    assert [line.text for line in transcript.lines] == ["text 3", "text 4", "text 5", "pending"]
    assert transcript.first_seq == 3


def test_history_tells_how_far_our_messages_have_come() -> None:
    transcript = Transcript("alice")
    for seq, status in ((1, "read"), (2, "delivered"), (3, "stored")):
        transcript.received(a_message(seq, sender_id="alice", status=status))
    assert ticks(transcript) == [Tick.READ, Tick.DELIVERED, Tick.STORED]


def test_typing_ends_with_a_message_or_with_time() -> None:
    transcript = Transcript("alice")
    transcript.typing("bob", "Bob", active=True, now=0.0)
    assert transcript.who_types(TYPING_EXPIRES_S - 0.1) == ["Bob"]
    assert transcript.who_types(TYPING_EXPIRES_S) == []
    transcript.received(a_message(1))
    assert transcript.who_types(0.0) == []


class Pipe:
    """What one end writes, the other reads as it comes."""

    def __init__(self) -> None:
        read_end, write_end = os.pipe()
        self.source = os.fdopen(read_end)
        self.target = os.fdopen(write_end, "w")
        self._reader = asyncio.StreamReader()

    async def open(self) -> None:
        """Make it ready for `read`."""
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._reader), self.source)

    def write(self, line: str) -> None:
        print(line, file=self.target, flush=True)

    async def read(self) -> str:
        return (await self._reader.readline()).decode().rstrip("\n")


async def test_lines_go_in_and_out_of_pipes() -> None:
    typed, shown = Pipe(), Pipe()
    await shown.open()

    async def script(server: FakeServer) -> None:
        connection, _ = await server.welcome()
        history = await connection.receive("history")
        await connection.reply(history, messages=[message(1)], has_more=False)
        assert [await shown.read() for _ in range(3)] == [f"* {HELP}", "Bob: text 1", "* connected"]
        typed.write("hello")
        said = await connection.receive("send", "ack")
        if said["type"] == "ack":
            assert (said["data"]["stage"], said["data"]["seq"]) == ("read", 1)
            said = await connection.receive("send")
        assert (said["data"]["to"], said["data"]["content"]) == ("bob", "hello")
        await connection.store(said, seq=2)
        assert await shown.read() == "alice: hello ✓"
        own = message(2, sender_id="alice", client_id=said["data"]["client_id"], content="hello")
        await connection.push("message", **own)  # says nothing new
        await connection.push("receipt", conversation_id="c", user_id="bob", stage="read", seq=2)
        assert await shown.read() == "alice: hello ✓✓ read"
        await connection.push("message", **message(3))
        assert await shown.read() == "Bob: text 3"
        while (read := (await connection.receive("ack"))["data"])["seq"] < 3:
            continue
        assert read == {"conversation_id": "c", "stage": "read", "seq": 3}
        typed.write("/quit")

    async with FakeServer.open() as server, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        direct = {"id": "c", "kind": "direct", "members": ["alice", "bob"]}
        server.answers["/v1/conversations"] = {"conversations": [direct], "next_cursor": None}
        tasks.create_task(script(server))
        await converse(server.url, "t", "bob", Plain(typed.source, shown.target))
    typed.target.close()
    shown.target.close()


async def test_a_word_after_a_slash_is_a_command_and_after_two_a_message() -> None:
    typed, shown = Pipe(), Pipe()
    await shown.open()

    async def script(server: FakeServer) -> None:
        connection, _ = await server.welcome()
        assert [await shown.read() for _ in range(2)] == [f"* {HELP}", "* connected"]
        typed.write("/histroy")
        assert await shown.read() == f"* No such command. {HELP}"
        typed.write("/history")
        assert await shown.read() == "* Nothing before this."
        typed.write("//shrug")
        said = await connection.receive("send")
        assert said["data"]["content"] == "/shrug"
        await connection.store(said, seq=1)
        typed.write("/quit")

    async with FakeServer.open() as server, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        server.answers["/v1/conversations"] = {"conversations": [], "next_cursor": None}
        tasks.create_task(script(server))
        await converse(server.url, "t", "bob", Plain(typed.source, shown.target))
    typed.target.close()
    shown.target.close()


async def test_an_input_that_cannot_be_waited_for_ends_the_chat_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "typed").write_text("")
    for path in (Path(os.devnull), tmp_path / "typed"):
        with path.open() as source:
            async with FakeServer.open() as server, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
                server.answers["/v1/conversations"] = {"conversations": [], "next_cursor": None}
                tasks.create_task(server.welcome())
                await converse(server.url, "t", "bob", Plain(source, io.StringIO()))


async def test_the_whole_terminal_sends_what_is_typed_and_says_that_one_types() -> None:
    async def script(server: FakeServer) -> None:
        connection, _ = await server.welcome()
        keys.send_text("hello")
        typing = await connection.receive("typing")
        assert typing["data"] == {"to": "bob", "active": True}
        keys.send_text("\r")
        said = await connection.receive("send", "typing")
        if said["type"] == "typing":
            assert said["data"] == {"to": "bob", "active": False}
            said = await connection.receive("send")
        assert said["data"]["content"] == "hello"
        await connection.store(said, seq=1)
        keys.send_text("/quit\r")

    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        async with FakeServer.open() as server, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            server.answers["/v1/conversations"] = {"conversations": [], "next_cursor": None}
            tasks.create_task(script(server))
            await converse(server.url, "t", "bob", FullScreen())
