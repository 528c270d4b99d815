"""A chat in the terminal: `python -m client.chat --user alice --to bob`."""

import asyncio
import sys
from collections.abc import Callable
from typing import Annotated, Protocol

import typer

from client.conversing import Chat
from client.errors import ClientError, Closed, ServerError, Unreachable
from client.events import ConnectionChanged
from client.full_screen import FullScreen
from client.plain import Plain
from client.rest import WarrenRest, http_url
from client.transcript import Line
from client.warren import WarrenClient

DEFAULT_URL = "ws://127.0.0.1:8000/v1/ws"
HELP = "/history shows earlier messages, /help this, /quit ends; // begins a message with a slash."
LAST_ANSWERS_S = 5.0  # how long the end waits for what was just sent


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
        chat = Chat(client, rest, peer, view.show)
        await chat.open()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(_watch(chat, view), name="chat.watch")
            started: set[asyncio.Task[None]] = set()

            def on_line(text: str) -> bool:
                match text:
                    case "/quit":
                        return False
                    case "/help":
                        view.show(HELP)
                    case "/history":
                        started.add(tasks.create_task(_earlier(chat, view), name="chat.earlier"))
                    case _ if text.startswith("/") and not text.startswith("//"):
                        view.show(f"No such command. {HELP}")
                    case _:
                        text = text.removeprefix("/")
                        started.add(tasks.create_task(chat.send(text), name="chat.send"))
                return True

            await view.run(chat, on_line)
            if started:
                await asyncio.wait(started, timeout=LAST_ANSWERS_S)
            for task in (watching, *started):
                task.cancel()


async def _watch(chat: Chat, view: View) -> None:
    try:
        await chat.watch()
    except Closed as error:
        view.show(f"{error} Type /quit to end.")


async def _earlier(chat: Chat, view: View) -> None:
    try:
        await chat.earlier()
    except (ClientError, TimeoutError) as error:
        view.show(f"No history: {error}")


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
