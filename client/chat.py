"""A chat in the terminal: `python -m client.chat --user alice --to bob`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Protocol

import typer

from client.commands import HELP, Commands
from client.conversing import Chat
from client.errors import ClientError, Closed, ServerError, Unreachable, first_of
from client.events import ConnectionChanged
from client.full_screen import FullScreen
from client.plain import Plain
from client.rest import WarrenRest, http_url
from client.transcript import Line
from client.typed import TypedLines
from client.warren import WarrenClient

DEFAULT_URL = "ws://127.0.0.1:8000/v1/ws"
LAST_ANSWERS_S = 10.0  # how long the end waits for what was just typed


class View(Protocol):
    """Shows a chat and reads what the user types."""

    def show(self, what: Line | str | ConnectionChanged | None) -> None:
        """Show a line, a remark or the connection; None: look again."""
        ...

    async def run(self, chat: Chat, on_line: Callable[[str], bool]) -> None:
        """Read lines until the user has had enough, or `on_line` says False."""
        ...


async def converse(url: str, token: str, peer: str, view: View) -> None:
    """Chat with a peer until the user ends it. Raises: ClientError."""
    async with (
        WarrenRest.open(http_url(url), token=token) as rest,
        WarrenClient(url, token=token) as client,
    ):
        view.show(HELP)
        try:
            async with asyncio.TaskGroup() as tasks:
                await _converse(tasks, client, rest, peer, view)
        except BaseExceptionGroup as group:  # the group is how this is built, and nobody's concern
            raise first_of(group) from group


async def _converse(tasks: asyncio.TaskGroup, client: WarrenClient, rest: WarrenRest, peer: str, view: View) -> None:
    begun: set[asyncio.Task[None]] = set()  # what ends with the chat, whatever it waits for

    def start(work: Coroutine[Any, Any, None]) -> None:
        task = tasks.create_task(work, name="chat.begun")
        begun.add(task)
        task.add_done_callback(begun.discard)

    chat = Chat(client, rest, view.show, start)
    commands = Commands(chat, client, rest, view.show)
    await chat.open(peer)
    start(_watch(chat, view))
    typed = TypedLines(say=chat.send, command=commands.run, show=view.show)
    working = tasks.create_task(typed.run(), name="chat.typed")
    await view.run(chat, typed.take)
    await typed.finish()
    await asyncio.wait([working], timeout=LAST_ANSWERS_S)
    for task in (working, *begun):
        task.cancel()


async def _watch(chat: Chat, view: View) -> None:
    try:
        await chat.watch()
    except Closed as error:
        view.show(f"{error} Type /quit to end.")


async def development_token(url: str, user: str) -> str:
    """Get a token for any user from a server in development mode. Raises: ClientError, with what to do."""
    async with WarrenRest.open(http_url(url)) as rest:
        try:
            return (await rest.mint_token(user)).token
        except ServerError as error:
            raise ClientError(f"The server gives no development token ({error}). Pass yours with --token.") from error


def main(
    user: Annotated[str, typer.Option(help="who you are")],
    to: Annotated[str, typer.Option(help="whom you chat with")],
    url: Annotated[str, typer.Option(help="the gateway's socket")] = DEFAULT_URL,
    token: Annotated[str | None, typer.Option(envvar="WARREN_TOKEN", help="default: a development token")] = None,
) -> None:
    """Chat with someone in the terminal."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty()

    async def run() -> None:
        await converse(url, token or await development_token(url, user), to, FullScreen() if terminal else Plain())

    try:
        asyncio.run(run())
    except Unreachable as error:
        typer.echo(f"The server cannot be reached: {error}. Is it running?", err=True)
        raise typer.Exit(1) from error
    except ClientError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    program.command()(main)
    program()
