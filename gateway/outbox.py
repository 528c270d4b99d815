"""What one session still has to read, bounded; its overflow closes the session as SLOW."""

import asyncio
from collections.abc import Callable, Sequence

from gateway.dialects.base import Frame


class Outbox:
    """Frames in order, taken all at once by one writer. Nobody who puts ever waits."""

    def __init__(self, *, max_frames: int, max_bytes: int, overflow: Callable[[], None]) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._overflow = overflow
        self._frames: list[Frame] = []
        self._bytes = 0
        self._closed = False
        self._filled = asyncio.Event()

    @property
    def crowded(self) -> bool:
        """Whether more than half of the room is taken: what can wait or be dropped should."""
        return len(self._frames) * 2 > self._max_frames or self._bytes * 2 > self._max_bytes

    @property
    def empty(self) -> bool:
        """Whether all was taken."""
        return not self._frames

    def put(self, frames: Sequence[Frame]) -> None:
        """Append frames; once closed they are dropped. A frame of any size fits while there is room at all."""
        if self._closed or not frames:
            return
        full = self._bytes > self._max_bytes
        for frame in frames:
            self._frames.append(frame)
            self._bytes += len(frame)
        self._filled.set()
        if full or len(self._frames) > self._max_frames:
            self.overflow()

    def overflow(self) -> None:
        """Take note that there is more to read than there is room for."""
        self._overflow()

    def clear(self) -> None:
        """Drop what waits."""
        self._frames = []
        self._bytes = 0

    def close(self, last: Sequence[Frame] = ()) -> None:
        """Take nothing after these last frames."""
        if not self._closed:
            self._frames.extend(last)
            self._closed = True
            self._filled.set()

    async def take(self) -> list[Frame]:
        """Wait for frames and take all of them; none: closed and empty. Cancelling loses nothing."""
        await self._filled.wait()
        frames = self._frames
        self.clear()
        if not self._closed:
            self._filled.clear()
        return frames
