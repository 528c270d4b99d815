"""The terminal chat as a whole: through pipes, and on a terminal."""

import asyncio
import io
import os
from pathlib import Path

from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from client.chat import converse
from client.commands import HELP
from client.full_screen import FullScreen
from client.plain import Plain
from client.transcript import Line
from tests.fakes.native_server import FakeServer, message
from tests.fakes.terminal import Pipe, heard


async def test_lines_go_in_and_out_of_pipes() -> None:
    typed, shown = Pipe(), Pipe()
    await shown.open()

    async def script(server: FakeServer) -> None:
        connection, _ = await server.welcome()
        history = await heard(connection, "history")
        await connection.reply(history, messages=[message(1)], has_more=False)
        assert [await shown.read() for _ in range(3)] == [f"* {HELP}", "[1] Bob: text 1", "* connected"]
        typed.write("hello")
        said = await heard(connection, "send", "ack")
        if said["type"] == "ack":
            assert (said["data"]["stage"], said["data"]["seq"]) == ("read", 1)
            said = await heard(connection, "send")
        assert (said["data"]["to"], said["data"]["content"]) == ("bob", "hello")
        await connection.store(said, seq=2)
        assert await shown.read() == "[2] alice: hello ✓"
        own = message(2, sender_id="alice", client_id=said["data"]["client_id"], content="hello")
        await connection.push("message", **own)  # says nothing new
        await connection.push("receipt", conversation_id="c", user_id="bob", stage="read", seq=2)
        assert await shown.read() == "[2] alice: hello ✓✓ read"
        await connection.push("message", **message(3))
        assert await shown.read() == "[3] Bob: text 3"
        while (read := (await heard(connection, "ack"))["data"])["seq"] < 3:
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


def test_what_others_write_neither_commands_a_terminal_nor_looks_like_other_lines() -> None:
    shown = io.StringIO()
    Plain(io.StringIO(), shown).show(Line("Eve\x1b[2J", "hi\x07\n[7] alice: yes\x9b", seq=6))
    assert shown.getvalue() == "[6] Eve\ufffd[2J: hi\ufffd\n  [7] alice: yes\ufffd\n"


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
        said = await heard(connection, "send")
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
        typing = await heard(connection, "typing")
        assert typing["data"] == {"to": "bob", "active": True}
        keys.send_text("\r")
        said = await heard(connection, "send", "typing")
        if said["type"] == "typing":
            assert said["data"] == {"to": "bob", "active": False}
            said = await heard(connection, "send")
        assert said["data"]["content"] == "hello"
        await connection.store(said, seq=1)
        keys.send_text("/quit\r")

    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        async with FakeServer.open() as server, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            server.answers["/v1/conversations"] = {"conversations": [], "next_cursor": None}
            tasks.create_task(script(server))
            await converse(server.url, "t", "bob", FullScreen())
