"""What a client has had of each conversation: drops repeats, notices gaps, says what to fetch. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from client.events import Event, MessageReceived, ReceiptAdvanced, Truncated
from client.wire import Changes, Message, Stage, Watermark, readable


class Timeline:
    """The judge of messages and receipts: each comes out once, and messages of a conversation in order.

    While `behind`, live messages are held back: a sync brings what is missing, then `caught_up` lets them through.
    The server leaves out of a sync what it pushed on the same connection, so held messages complete its answer.
    """

    def __init__(self) -> None:
        self.since: str | None = None
        self.behind = False
        self._versions: dict[str, int] = {}
        self._fresh: dict[str, int] = {}  # versions that `since` does not know
        self._seqs: dict[str, int] = {}
        self._marks: dict[tuple[str, str, Stage], int] = {}
        self._held: list[Message] = []

    @property
    def held(self) -> int:
        """How many messages are held back."""
        return len(self._held)

    def seq(self, conversation_id: str) -> int | None:
        """Give the last seq had of a conversation, None where nothing was had since the start."""
        return self._seqs.get(conversation_id)

    def fresh_versions(self) -> dict[str, int]:
        """Give the versions had beyond `since`: together they say all that a sync needs."""
        return dict(self._fresh)

    def fall_behind(self) -> None:
        """Hold messages back until `caught_up`."""
        self.behind = True

    def lost(self) -> None:
        """After a lost connection: the next sync brings everything, what was held included."""
        self.behind = True
        self._held.clear()

    def take(self, message: Message) -> Sequence[Event]:
        """Judge a live message; what comes out is new and next. A gap makes the timeline fall behind."""
        if self.behind:
            self._held.append(message)
            return ()
        last = self._versions.get(message.conversation_id)
        if last is not None and message.version > last + 1:
            self.behind = True
            self._held.append(message)
            return ()
        return self._accept(message)

    def advance(self, receipt: ReceiptAdvanced) -> Sequence[Event]:
        """Judge a receipt; repeats and older ones come out empty."""
        key = (receipt.conversation_id, receipt.user_id, receipt.stage)
        if receipt.seq <= self._marks.get(key, 0):
            return ()
        self._marks[key] = receipt.seq
        return (receipt,)

    def missing_pages(self, changes: Changes) -> bool:
        """Tell whether messages between what is had and the page of `changes` are to be fetched first."""
        had = self.seq(changes.conversation.id)
        return changes.limited and changes.before is not None and had is not None and had + 1 < changes.before

    def fill(self, messages: Sequence[Message]) -> Sequence[Event]:
        """Take messages fetched from history, in order, which go before the page of a limited `changes`.

        They come as they are now, with the version of their last change: only the page says which version is had.
        """
        return [event for message in messages for event in self._in_order(message)]

    def apply(self, changes: Changes) -> Sequence[Event]:
        """Take one conversation of a sync answer."""
        conversation = changes.conversation
        events: list[Event] = []
        if changes.limited and changes.before is not None and self.seq(conversation.id) is None:
            events.append(Truncated(conversation_id=conversation.id, before=changes.before))
        page = readable(frame.data for frame in changes.events if frame.type == "message")
        pushed = [
            message
            for message in self._held
            if message.conversation_id == conversation.id and message.version <= changes.version
        ]
        for message in sorted((*page, *pushed), key=_version):
            events.extend(self._accept(message))
        self._had(conversation.id, changes.version)  # the last may be a change of a kind that is unknown here
        events.extend(self._marks_of(conversation.id, conversation.watermarks))
        return events

    def synced(self, since: str) -> None:
        """Take the `since` of a sync answer whose conversations were all applied."""
        self.since = since
        self._fresh.clear()

    def caught_up(self) -> Sequence[Event]:
        """Let the held messages through; a gap among them makes the timeline fall behind again."""
        self.behind = False
        held, self._held = self._held, []
        return [event for message in held for event in self.take(message)]

    def _accept(self, message: Message) -> Sequence[Event]:
        if message.version <= self._versions.get(message.conversation_id, 0):
            return ()
        self._had(message.conversation_id, message.version)
        return self._in_order(message)

    def _in_order(self, message: Message) -> Sequence[Event]:
        if message.seq <= self._seqs.get(message.conversation_id, 0):
            return ()
        self._seqs[message.conversation_id] = message.seq
        return (MessageReceived(message),)

    def _had(self, conversation_id: str, version: int) -> None:
        if version > self._versions.get(conversation_id, 0):
            self._versions[conversation_id] = version
            self._fresh[conversation_id] = version

    def _marks_of(self, conversation_id: str, watermarks: Sequence[Watermark]) -> Iterator[Event]:
        for mark in watermarks:
            stages: tuple[tuple[Stage, int, datetime | None], ...] = (
                (Stage.DELIVERED, mark.delivered_seq, mark.delivered_at),
                (Stage.READ, mark.read_seq, mark.read_at),
            )
            for stage, seq, at in stages:
                receipt = ReceiptAdvanced(
                    conversation_id=conversation_id, user_id=mark.user_id, stage=stage, seq=seq, at=at
                )
                yield from self.advance(receipt)


def _version(message: Message) -> int:
    return message.version
