"""A client on a device, and the world it lives in."""

import itertools
from collections.abc import Sequence
from typing import Protocol

from tests.slice.model import Fetch, Frame, Reader

PAGE = 50
GONE = ("not_a_member", "not_found")


class Link(Protocol):
    """A client's end of a socket."""

    @property
    def is_paused(self) -> bool:
        """Whether the client does not read."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether the server or the client has ended it, and everything that came is taken."""
        ...

    def send(self, frame: Frame) -> None:
        """Send a frame."""
        ...

    def take(self) -> list[Frame]:
        """Give the frames that have come."""
        ...

    def hang_up(self) -> None:
        """Go away as a lost network does."""
        ...

    def pause(self) -> None:
        """Read no more."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...


class World(Protocol):
    """A running Warren with two gateways."""

    def connect(self, user: str, via: int, since: str | None) -> Link:
        """Open a socket."""
        ...

    def call(self, user: str, via: int, method: str, path: str, body: Frame | None) -> None:
        """Make a REST request, and wait for nothing."""
        ...

    @property
    def created(self) -> list[str]:
        """The conversations made by requests that were answered so far."""
        ...

    async def breaks(self, what: str, pick: int) -> None:
        """Let something break that comes back by itself."""
        ...

    async def rest(self) -> None:
        """Wait until nothing happens any more unless time passes."""
        ...

    async def passes(self, seconds: float) -> None:
        """Let time pass."""
        ...

    async def heal(self) -> None:
        """Bring everything back that broke, and wait until all work is done."""
        ...


class Device:
    """A client on a device: reacts to what it is told, and never waits."""

    def __init__(self, world: World, user: str, via: int) -> None:
        self.user = user
        self.via = via
        self.reader = Reader(user)
        self.link: Link | None = None
        self._world = world
        self._ids = itertools.count(1)
        self._asked: dict[str, Frame | Fetch] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, or nothing can come of it."""
        return (
            self.link is None or self.link.is_paused or not (self._asked or self.reader.syncing or self.reader.behind)
        )

    def connect(self, *, resume: bool = True) -> None:
        """Connect and sync; without `resume` the server is told only by the sync what is had already."""
        if self.link is None:
            self.link = self._world.connect(self.user, self.via, self.reader.since if resume else None)
            self.sync()

    def drop(self) -> None:
        if self.link is not None:
            self.link.hang_up()
            self._lost()

    def sync(self) -> None:
        if not self.reader.syncing:
            self._ask("sync", self.reader.start())

    def tell(self, type_: str, **data: object) -> None:
        """Send a frame that wants no answer."""
        if self.link is not None:
            self.link.send({"type": type_, "data": data})

    def pump(self) -> bool:
        """Take what has come and react; tells whether there was anything."""
        if self.link is None:
            return False
        frames = self.link.take()
        for frame in frames:
            self._take(frame)
        if self.reader.behind:
            self.sync()
        if not frames and self.link.is_closed:
            self._lost()
            return True
        return bool(frames)

    def _lost(self) -> None:
        self.link = None
        self._asked.clear()
        self.reader.lost()

    def _ask(self, type_: str, data: Frame | Fetch) -> None:
        assert self.link is not None
        id_ = f"{type_}-{next(self._ids)}"
        self._asked[id_] = data
        if isinstance(data, Fetch):
            data = {"conversation_id": data.room_id, "before": data.before, "limit": PAGE}
        self.link.send({"type": type_, "id": id_, "data": data})

    def _fetch(self, fetches: Sequence[Fetch]) -> None:
        for fetch in fetches:
            self._ask("history", fetch)

    def _take(self, frame: Frame) -> None:
        asked = self._asked.pop(frame.get("id", ""), None)
        if asked is None:
            self._fetch(self.reader.push(frame) if "data" in frame else ())
        elif isinstance(asked, Fetch):
            self._take_page(asked, frame)
        elif frame["type"] == "error":
            assert frame["error"]["code"] == "unavailable", frame
            self._ask("sync", asked)
        else:
            self._take_sync(frame["data"])

    def _take_page(self, asked: Fetch, frame: Frame) -> None:
        if frame["type"] == "reply":
            self._fetch(self.reader.page(asked.room_id, frame["data"]))
        elif frame["error"]["code"] in GONE:
            self.reader.no_page(asked.room_id, refused=True)
        else:
            assert frame["error"]["code"] == "unavailable", frame
            self._ask("history", asked)

    def _take_sync(self, answer: Frame) -> None:
        following = self.reader.sync(answer)
        if isinstance(following, dict):
            self._ask("sync", following)
            return
        fetches = {fetch.room_id: fetch for fetch in (*self.reader.unfinished(), *following)}
        self._fetch(tuple(fetches.values()))
