"""What a client has had of each conversation: drops repeats, notices gaps, says what to fetch. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from client.entries import place, readable
from client.events import Entry, Event, MessageReceived, ReceiptAdvanced, Stale, Truncated
from client.wire import Changes, Message, Stage, Watermark


class Timeline:
    """The judge of entries and receipts: each comes out once, and entries of a conversation in order.

    While `behind`, live entries are held back: a sync brings what is missing, then `caught_up` lets them through.
    The server leaves out of a sync what it pushed on the same connection, so held entries complete its answer.
    Some versions are not for this user and never come: a gap that a sync leaves open is one of those.
    """

    def __init__(self) -> None:
        self.since: str | None = None  # what everything up to it is had and told of
        self.behind = False
        self._reached: str | None = None  # the same once what is held is told: a server may count that as had already
        self._versions: dict[str, int] = {}
        self._fresh: dict[str, int] = {}  # versions had that `reached`, or else `since`, does not know
        self._known: dict[str, int] = {}  # versions had that `reached` knows and `since` does not
        self._seqs: dict[str, int] = {}
        self._marks: dict[tuple[str, str, Stage], int] = {}
        self._held: list[Entry] = []
        self._asked = 0  # so many of the held were there when the sync was asked for
        self._answered: set[str] = set()  # conversations that its answer speaks of

    @property
    def held(self) -> int:
        """How many entries are held back."""
        return len(self._held)

    def seq(self, conversation_id: str) -> int | None:
        """Give the last seq had of a conversation, None where nothing was had since the start."""
        return self._seqs.get(conversation_id)

    def position(self) -> tuple[str | None, dict[str, int]]:
        """Give what a sync needs: the last `since`, and the versions had beyond it."""
        return self._reached or self.since, dict(self._fresh)

    def forget_since(self) -> None:
        """Let the next sync ask for everything."""
        self._go_back()
        self.since = None

    def fall_behind(self) -> None:
        """Hold entries back until `caught_up`."""
        self.behind = True

    def lost(self) -> None:
        """After a lost connection: the next sync brings everything, what was held included."""
        self.behind = True
        self._held.clear()
        self._asked = 0
        self._go_back()

    def asking(self) -> None:
        """Note that a sync is about to be asked for: what is held by now, its answer knows of."""
        self._asked = len(self._held)
        self._answered.clear()

    def take(self, entry: Entry) -> Sequence[Event]:
        """Judge a live entry; what comes out is new and next. A gap makes the timeline fall behind."""
        conversation_id, version = place(entry)
        last = self._versions.get(conversation_id)
        if self.behind or (last is not None and version > last + 1):
            self.behind = True
            self._held.append(entry)
            return ()
        return self._accept(entry)

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

    def stale(self, changes: Changes) -> Sequence[Event]:
        """Tell, before the pages of a limited `changes` are filled in, that what was had before may have changed."""
        had = self.seq(changes.conversation.id)
        return (Stale(conversation_id=changes.conversation.id, up_to=had),) if changes.limited and had else ()

    def apply(self, changes: Changes) -> Sequence[Event]:
        """Take one conversation of a sync answer."""
        conversation = changes.conversation
        self._answered.add(conversation.id)
        events: list[Event] = []
        if changes.limited and changes.before is not None and self.seq(conversation.id) is None:
            events.append(Truncated(conversation_id=conversation.id, before=changes.before))
        pushed = [entry for entry in self._held if _is_within(entry, conversation.id, changes.version)]
        for entry in sorted((*readable(changes.events), *pushed), key=_version):
            events.extend(self._accept(entry))
        self._had(conversation.id, changes.version)  # the last may be a change of a kind that is unknown here
        events.extend(self._marks_of(conversation.id, conversation.watermarks))
        return events

    def synced(self, since: str) -> None:
        """Take the `since` of a sync answer whose conversations were all applied."""
        self._reached = since
        self._known.update(self._fresh)
        self._fresh.clear()

    def caught_up(self) -> Sequence[Event]:
        """Let the held entries through. A gap among them makes it fall behind again, if the answer may fill it yet."""
        self.behind = False
        held, self._held = self._held, []
        known, self._asked = self._asked, 0
        events: list[Event] = []
        for number, entry in enumerate(held):
            final = number < known and place(entry)[0] not in self._answered  # the sync found nothing before it
            events.extend(self._accept(entry) if final and not self.behind else self.take(entry))
        if self._reached is not None and not self.behind:
            self.since, self._reached = self._reached, None
            self._known.clear()
        return events

    def _go_back(self) -> None:
        self._reached = None
        self._fresh = {**self._known, **self._fresh}
        self._known.clear()

    def _accept(self, entry: Entry) -> Sequence[Event]:
        conversation_id, version = place(entry)
        if version <= self._versions.get(conversation_id, 0):
            return ()
        self._had(conversation_id, version)
        return self._in_order(entry.message) if isinstance(entry, MessageReceived) else (entry,)

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


def _version(entry: Entry) -> int:
    return place(entry)[1]


def _is_within(entry: Entry, conversation_id: str, version: int) -> bool:
    theirs, its_version = place(entry)
    return theirs == conversation_id and its_version <= version
