"""One session's feed and what comes out of it, without a socket."""

import msgspec

from gateway.dialects.native import NativeDialect
from gateway.disconnects import Disconnect
from gateway.feed import Feed, Push
from gateway.outbox import Outbox
from shared.history_api import Changes, SyncAnswer
from shared.ids import ConversationId
from shared.position import Position
from tests.fakes.clock import START
from tests.fakes.messages import BOB, stored
from tests.fakes.voice import voice_over


class Reader:
    """Bob's feed and what comes out of it."""

    def __init__(self, *, max_frames: int = 1000, max_held: int = 100, versions: dict[str, int] | None = None) -> None:
        self.wanted = 0
        self.overflows: list[Disconnect] = []
        known = {ConversationId(room): version for room, version in (versions or {}).items()}
        self.outbox = Outbox(
            max_frames=max_frames, max_bytes=10**6, overflow=lambda: self.overflows.append(Disconnect.SLOW)
        )
        self.feed = Feed(
            user_id=BOB,
            dialect=NativeDialect(new_id=lambda: "id", now=lambda: START, max_frame_bytes=1000),
            voice=voice_over(self.outbox),
            position=Position(START, known),
            max_held=max_held,
            wants=self._wants,
        )
        self.feed.release()

    def _wants(self, feed: Feed) -> None:
        self.wanted += 1
        feed.hold()

    def offer(self, *seqs: int) -> None:
        for seq in seqs:
            self.feed.offer(Push(stored(seq)))

    async def read(self) -> list[object]:
        """Everything pushed so far: the seq of messages, the type of the rest."""
        self.outbox.put(["{}"])  # so that there is something to take
        frames = [msgspec.json.decode(frame) for frame in await self.outbox.take()]
        self.feed.written()
        return [frame["data"].get("seq") if frame["type"] == "message" else frame["type"] for frame in frames if frame]


def answer(*conversations: Changes, versions: dict[ConversationId, int] | None = None) -> SyncAnswer:
    since = Position(
        START, versions or {changed.conversation.id: changed.conversation.last_version for changed in conversations}
    )
    return SyncAnswer(conversations=conversations, since=since.token())
