"""Brings a timeline up to date with the server's `sync` and `history` whenever it has fallen behind."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from client import wire
from client.errors import ConnectionLost, ServerError
from client.events import Entry, Event
from client.requests import Requests
from client.timeline import Timeline

log = logging.getLogger("warren.client")

_PAGE = 200
_PAUSE_S = 0.5
MAX_HELD = 10_000


class CatchUp:
    """Owns the timeline's way back to the present.

    What it brings goes to `tell`, in order, and each conversation as the server now shows it to `know`.
    """

    def __init__(
        self,
        timeline: Timeline,
        requests: Requests,
        *,
        tell: Callable[[Sequence[Event]], None],
        know: Callable[[wire.Conversation], None],
        drop: Callable[[], None],
    ) -> None:
        self._timeline = timeline
        self._requests = requests
        self._tell = tell
        self._know = know
        self._drop = drop
        self._fell_behind = asyncio.Event()
        self._up_to_date = asyncio.Event()
        self._up_to_date.set()

    def take(self, entry: Entry) -> None:
        """Take a live entry; a gap starts a sync."""
        was_behind = self._timeline.behind
        self._tell(self._timeline.take(entry))
        if self._timeline.behind and not was_behind:
            self.fall_behind()
        if self._timeline.held > MAX_HELD:  # the next connection begins with a sync that brings them
            self._drop()

    def fall_behind(self) -> None:
        """Start a sync."""
        self._timeline.fall_behind()
        self._up_to_date.clear()
        self._fell_behind.set()

    def lost(self) -> None:
        """After a lost connection: start a sync on the next one."""
        self._timeline.lost()
        self.fall_behind()

    async def up_to_date(self) -> None:
        """Wait for the end of the sync."""
        await self._up_to_date.wait()

    async def run(self) -> None:
        """Sync whenever the timeline has fallen behind, until the connection is lost."""
        while True:
            await self._fell_behind.wait()
            self._fell_behind.clear()
            try:
                await self._sync()
                if self._timeline.behind:  # a gap that this sync did not fill
                    await asyncio.sleep(_PAUSE_S)
                    self._fell_behind.set()
                else:
                    self._up_to_date.set()
            except ConnectionLost:
                return
            except ServerError as error:
                log.warning("sync refused, tried again: %s", error)
                if error.code == "invalid":  # the token; without one everything is asked for
                    self._timeline.forget_since()
                await asyncio.sleep(_PAUSE_S if error.retry_after_ms is None else error.retry_after_ms / 1000)
                self._fell_behind.set()
            except msgspec.MsgspecError as error:
                log.warning("an answer to sync or history cannot be read, asked again: %s", error)
                await asyncio.sleep(_PAUSE_S)
                self._fell_behind.set()

    async def _sync(self) -> None:
        self._timeline.asking()
        more = True
        while more:
            since, versions = self._timeline.position()
            data: dict[str, Any] = {"conversations": versions, **wire.given({"since": since})}
            answer = await self._requests.ask("sync", data, wire.SyncAnswer)
            for changes in answer.conversations:
                self._tell(self._timeline.stale(changes))
                if self._timeline.missing_pages(changes):
                    await self._fetch_pages(changes)
                self._tell(self._timeline.apply(changes))
                self._know(changes.conversation)
            self._timeline.synced(answer.since)
            more = answer.has_more
        self._tell(self._timeline.caught_up())

    async def _fetch_pages(self, changes: wire.Changes) -> None:
        """Fetch what lies between what was had and the page of a limited answer."""
        more = True
        while more and self._timeline.missing_pages(changes):
            had = self._timeline.seq(changes.conversation.id) or 0
            data = {"conversation_id": changes.conversation.id, "after": had, "limit": _PAGE}
            page = await self._requests.ask("history", data, wire.UnreadPage)
            messages = wire.readable(page.messages)
            wanted = [message for message in messages if changes.before is None or message.seq < changes.before]
            self._tell(self._timeline.fill(wanted))
            more = page.has_more and bool(wanted)
