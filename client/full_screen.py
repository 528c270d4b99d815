"""The chat on a whole terminal: messages above, the line being typed below, the state between them."""

import asyncio
from collections.abc import Callable

from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.styles import Style
from prompt_toolkit.widgets import TextArea

from client import wording
from client.conversing import Chat
from client.events import ConnectionChanged, ConnectionState
from client.transcript import Line, Tick

_REDRAW_EVERY_S = 0.5  # typing indicators expire
_STYLE = Style.from_dict(
    {"bar": "reverse", "sender": "bold", "read": "ansicyan", "failed": "ansired", "dim": "ansigray"}
)
_TICK_STYLES = {Tick.READ: "class:read", Tick.FAILED: "class:failed"}
_TICK_TEXTS = {Tick.READ: "✓✓"}  # its colour tells it from delivered


class FullScreen:
    """Draws the transcript anew whenever something has changed."""

    def __init__(self) -> None:
        self._remark = ""
        self._application: Application[None] | None = None

    def show(self, what: Line | str | ConnectionChanged | None) -> None:
        """Draw again; a remark stays until the next."""
        if isinstance(what, str):
            self._remark = what
        if self._application is not None:
            self._application.invalidate()

    async def run(self, chat: Chat, on_line: Callable[[str], bool]) -> None:
        """Read lines until Ctrl-C or Ctrl-D, or until `on_line` has had enough."""
        entry = TextArea(height=1, prompt="> ", multiline=False, wrap_lines=False)
        entry.buffer.on_text_changed += lambda buffer: chat.typed(buffer.text)
        entry.buffer.accept_handler = lambda buffer: self._accept(buffer.text.strip(), on_line)
        self._application = Application(
            layout=Layout(HSplit([_transcript(chat), self._bar(chat), entry]), focused_element=entry),
            key_bindings=_quit_keys(),
            style=_STYLE,
            full_screen=True,
            refresh_interval=_REDRAW_EVERY_S,
        )
        await self._application.run_async()

    def _accept(self, text: str, on_line: Callable[[str], bool]) -> bool:
        self._remark = ""
        if text and not on_line(text) and self._application is not None:
            self._application.exit()
        return False  # and empty the line

    def _bar(self, chat: Chat) -> Window:
        def text() -> str:
            typing = chat.transcript.who_types(asyncio.get_running_loop().time())
            told = f"{' and '.join(typing)} typing …" if typing else ""
            parts = [_connection(chat.connection), chat.title, _peer(chat), told, self._remark]
            return "  ".join(part for part in parts if part)

        return Window(FormattedTextControl(text), height=1, style="class:bar")


def _transcript(chat: Chat) -> Window:
    def text() -> StyleAndTextTuples:
        return [part for line in chat.transcript.lines for part in _parts(line)]

    def end() -> Point:  # the window scrolls to where the cursor is
        return Point(0, sum(line.body.count("\n") + 1 for line in chat.transcript.lines))

    return Window(FormattedTextControl(text, get_cursor_position=end), wrap_lines=True)


def _parts(line: Line) -> StyleAndTextTuples:
    if not line.sender:
        return [("class:dim", f"{line.text}\n")]
    number = f"[{line.seq}] " if line.seq is not None else ""
    parts: StyleAndTextTuples = [("class:dim", number), ("class:sender", f"{line.sender}: "), ("", line.body)]
    if line.tick is not None:
        text = _TICK_TEXTS.get(line.tick, line.tick.value)
        parts.append((_TICK_STYLES.get(line.tick, "class:dim"), f" {text}"))
    return [*parts, ("", "\n")]


def _peer(chat: Chat) -> str:
    seen = chat.presence_of_peer()
    return wording.presence(seen) if seen is not None else ""


def _connection(connection: ConnectionChanged) -> str:
    if connection.state is ConnectionState.WAITING and connection.retry_in_s is not None:
        return f"no connection, next attempt in {connection.retry_in_s:.0f} s"
    return connection.state.value


def _quit_keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("c-c")
    @keys.add("c-d")
    def _quit(event: KeyPressEvent) -> None:
        event.app.exit()

    return keys
