"""What one session is pushed, in order: repeats are dropped, gaps filled from history before it goes on."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import Enum, auto
from heapq import merge
from typing import TypeAlias

from msgspec.structs import replace

from gateway import metrics
from gateway.deliveries import Deliveries
from gateway.dialects.base import Dialect, Frame, Lagged, Pushed, Telling
from gateway.voice import Voice
from shared.commands import Stage
from shared.events import (
    Entry,
    LogEvent,
    Message,
    MessageFailed,
    MessageStored,
    ReceiptAdvanced,
    TypingChanged,
)
from shared.history_api import Changes, Conversation, SyncAnswer
from shared.ids import ConversationId, UserId
from shared.position import Position, Verdict
from shared.presence_api import Presence

MAX_OWN = 10_000


class Push:
    """An event on its way to many sessions: looked at once, and encoded once for all that write it alike.

    `at` is the time of that, `entry` the event where it is one of a conversation's log, `secret` tells that some
    members are not shown it.
    """

    __slots__ = ("_frames", "at", "conversation_id", "entry", "event", "message", "secret", "version")

    def __init__(self, event: Pushed, at: datetime | None = None) -> None:
        self.event = event
        self.at = at
        self.entry: Entry | None = None
        self.message: Message | None = None  # of a MessageStored
        if isinstance(event, MessageStored):
            self.message = event.message
        if isinstance(event, LogEvent):
            self.entry = event
            self.conversation_id = event.conversation_id
            self.version = event.version
            self.secret = event.only_for is not None or bool(event.hidden_from)
        self._frames: dict[str, Sequence[Frame] | Telling] = {}

    def frames(self, dialect: Dialect) -> Sequence[Frame] | Telling:
        """Give the event's frames in this dialect."""
        frames = self._frames.get(dialect.variant)
        if frames is None:
            frames = self._frames[dialect.variant] = dialect.render(self.event)
        return frames


class Flow(Enum):
    """Whether pushes go out, and if not, what they wait for."""

    LIVE = auto()
    HELD = auto()  # an answer of history
    AWAITING_SYNC = auto()  # the client's own sync, for some seconds
    LAGGING = auto()  # the client reads too slowly: pushes are dropped, and fetched again once it has caught up
    CLOSED = auto()


class _Pushed:
    """The unbroken run of one conversation's versions that this session was pushed, and the last message in it."""

    __slots__ = ("first_version", "last_at", "last_seq", "last_version")

    def __init__(self, version: int) -> None:
        self.first_version = version
        self.last_version = version
        self.last_seq = 0
        self.last_at: datetime | None = None

    def __contains__(self, version: int) -> bool:
        return self.first_version <= version <= self.last_version


CatchUp: TypeAlias = Callable[["Feed"], None]


class Feed:
    """The order of one session's pushes.

    Live events are judged by the session's position. Whoever asks history on the feed's behalf holds `lock`, calls
    `hold`, and then `catch_up` or `sync` with the answer, and `release`.
    """

    def __init__(
        self,
        *,
        user_id: UserId,
        dialect: Dialect,
        voice: Voice,
        position: Position,
        max_held: int,
        wants: CatchUp,
        deliveries: Deliveries | None = None,
    ) -> None:
        self.user_id = user_id
        self.position = position
        self.lock = asyncio.Lock()
        self.flow = Flow.HELD
        self.past = dialect.habits.past
        self.lags = False  # the client has read too slowly, and has not been brought up to date since
        self._dialect = dialect
        self._voice = voice
        self._max_held = max_held
        self._wants = wants
        self._deliveries = deliveries
        self._held: list[Push] = []
        self._late: dict[UserId, Push] = {}  # the presence of those watched that waits until the client has read
        self._dropped = False  # something that should have been held was not
        self._pushed: dict[ConversationId, _Pushed] = {}
        self._own: dict[str, None] = {}  # client ids that this session sent and does not want back

    # --- live events

    def offer(self, push: Push) -> None:
        """Push an event, or hold it back, or drop it where the session has it. Never waits."""
        entry = push.entry
        if entry is None:
            self._offer_sign(push)
        elif self.flow is not Flow.LIVE:
            self._hold(push)
        elif self._voice.crowded:
            self.lags = self._dialect.habits.fetches
            self._fall_behind()
        else:
            verdict = self.position.judge_version(push.conversation_id, push.version, entry)
            if verdict is Verdict.NEXT:
                self._push(push, entry)
            elif verdict is Verdict.GAP:
                metrics.GAPS.inc()
                self._wants(self)
                self._hold(push)

    def _offer_sign(self, push: Push) -> None:
        """Push what is no entry of a log."""
        event = push.event
        if isinstance(event, MessageFailed):
            self._voice.say(push.frames(self._dialect))  # history could not tell of it again
        elif isinstance(event, Presence):
            self._offer_presence(push, event.user_id)
        elif self.flow is not Flow.LIVE:
            self._hold(push)
        elif isinstance(event, TypingChanged) and self._voice.crowded:
            metrics.DROPPED.labels("ephemeral").inc()
        else:
            self._voice.say(push.frames(self._dialect))

    def _offer_presence(self, push: Push, user_id: UserId) -> None:
        """Push it whatever the entries wait for: it has no place in their order. Slow clients read the latest alone."""
        if self.flow is Flow.CLOSED:
            return
        if self._voice.crowded:
            self._late[user_id] = push
        else:
            self._late.pop(user_id, None)
            self._voice.say(push.frames(self._dialect))

    def _push(self, push: Push, event: Entry) -> None:
        conversation_id, version = push.conversation_id, push.version
        self.position.advance(conversation_id, version)
        pushed = self._pushed.get(conversation_id)
        if pushed is None:
            pushed = self._pushed[conversation_id] = _Pushed(version)
        pushed.last_version = version
        if push.secret and not event.is_shown_to(self.user_id):
            return
        message = push.message
        if message is not None:
            pushed.last_seq = message.seq
            pushed.last_at = push.at
            if self._own and message.sender_id == self.user_id and message.client_id in self._own:
                del self._own[message.client_id]
                return
        frames = push.frames(self._dialect)
        if frames and message is not None and self._deliveries is not None:
            self._deliveries.pushed(message, version)
        self._voice.say(frames)

    def pushed_at(self, conversation_id: ConversationId, seq: int) -> datetime | None:
        """Tell when the latest message was pushed, where the one of this seq is it or came before it."""
        pushed = self._pushed.get(conversation_id)
        return None if pushed is None or seq > pushed.last_seq else pushed.last_at

    def _hold(self, push: Push) -> None:
        if self.flow in (Flow.LAGGING, Flow.CLOSED) or isinstance(push.event, TypingChanged):
            metrics.DROPPED.labels("lagging" if self.flow is Flow.LAGGING else "ephemeral").inc()
        elif len(self._held) < self._max_held:
            self._held.append(push)
        else:
            self._dropped = True

    def _fall_behind(self) -> None:
        metrics.LAGS.inc()
        self.flow = Flow.LAGGING
        self._held.clear()

    def written(self) -> None:
        """Take note that the client has read everything that was put before."""
        if self.flow is Flow.LAGGING and not self._voice.crowded:
            self.flow = Flow.HELD
            self._wants(self)
        while self._late and not self._voice.crowded:
            self._voice.say(self._late.pop(next(iter(self._late))).frames(self._dialect))

    # --- what the session's own sends need

    def leave_out(self, client_id: str) -> None:
        """Do not push the message of this client id back to the session that sends it."""
        if len(self._own) >= MAX_OWN:
            del self._own[next(iter(self._own))]
        self._own[client_id] = None

    # --- catching up

    def await_sync(self, position: Position) -> None:
        """Hold the pushes for a client that resumes from this position and will sync."""
        self.position = position
        self.flow = Flow.AWAITING_SYNC

    def hold(self) -> None:
        """Hold the pushes while history is asked."""
        if self.flow is not Flow.CLOSED:
            self.flow = Flow.HELD

    def catch_up(self, answer: SyncAnswer, at: datetime | None = None) -> bool:
        """Push what the session lacks, the oldest first. False: the client reads too slowly to be told it all now."""
        floor = self.position.floor
        for changes in answer.conversations:
            if changes.limited:
                self._jump(changes)
            if not changes.events:
                self._tell_receipts(changes, floor)
        for changes, event in _oldest_first(answer.conversations):
            if self._voice.crowded:
                self._fall_behind()
                return False
            if self.position.judge(event) is not Verdict.REPEAT:
                self._push(Push(event, at), event)
            if event is changes.events[-1]:
                self._tell_receipts(changes, floor)
        self.position = Position.from_history(answer.since)
        self.lags = self.lags and answer.has_more
        if answer.has_more:  # the token of a part may leave out what changed long ago; what changes again comes once
            for changes in answer.conversations:
                self.position.advance(changes.conversation.id, changes.version)
        return True

    def sync(self, answer: SyncAnswer) -> SyncAnswer:
        """Move on to where the client's own sync brings it; gives the answer without what it was pushed already."""
        self.position = Position.from_history(answer.since)
        return replace(answer, conversations=tuple(self._without_pushed(changes) for changes in answer.conversations))

    def release(self) -> None:
        """Let the pushes go on: first those that were held."""
        if self.flow is not Flow.HELD:
            return
        self.flow = Flow.LIVE
        held, self._held = self._held, []
        if self._dropped:
            self._dropped = False
            self._wants(self)
        for push in held:
            self.offer(push)

    def close(self) -> None:
        """Push nothing any more."""
        self.flow = Flow.CLOSED
        self._held.clear()
        self._late.clear()

    def _jump(self, changes: Changes) -> None:
        """Go on with the newest page: too much is missing to push it all, so the client is told to fetch it."""
        conversation_id = changes.conversation.id
        pushed = self._pushed.pop(conversation_id, None)
        from_seq = max(pushed.last_seq + 1 if pushed else 1, changes.conversation.first_seq)
        lagged = Lagged(conversation_id=conversation_id, from_seq=from_seq, before=changes.before)
        self._voice.say(self._dialect.render(lagged))

    def _tell_receipts(self, changes: Changes, floor: datetime) -> None:
        for receipt in _receipts_since(floor, changes.conversation):
            self._voice.say(self._dialect.render(receipt))

    def _without_pushed(self, changes: Changes) -> Changes:
        pushed = self._pushed.get(changes.conversation.id)
        if pushed is None:
            return changes
        events = tuple(event for event in changes.events if event.version not in pushed)
        return replace(changes, events=events)


def _oldest_first(conversations: Sequence[Changes]) -> Iterator[tuple[Changes, Entry]]:
    """Give what happened in conversations in the order of time, and of each in its own order."""
    runs = [[(changes, event) for event in changes.events] for changes in conversations]
    return merge(*runs, key=lambda run: run[1].at)


def _receipts_since(floor: datetime, conversation: Conversation) -> Iterator[ReceiptAdvanced]:
    """Give the receipts that may have been missed: a watermark has the time of its last move."""
    for watermark in conversation.watermarks:
        for stage, seq, at in (
            (Stage.DELIVERED, watermark.delivered_seq, watermark.delivered_at),
            (Stage.READ, watermark.read_seq, watermark.read_at),
        ):
            if at is not None and at > floor:
                yield ReceiptAdvanced(
                    conversation_id=conversation.id,
                    user_id=watermark.user_id,
                    stage=stage,
                    seq=seq,
                    at=at,
                    audience=(),
                )
