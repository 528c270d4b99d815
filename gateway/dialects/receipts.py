"""Watermarks as single receipts, for wires that tell of each message: what became of the user's own ones."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gateway.dialects.world import World
from shared.commands import Stage
from shared.events import Message, ReceiptAdvanced
from shared.history_api import MAX_PAGE, Receipt, Watermark
from shared.ids import ConversationId, MessageId, UserId

MAX_CONVERSATIONS = 500  # whose receipts are followed at a time
MAX_OWN = 1000  # messages of a conversation that wait for their receipts


@dataclass(frozen=True, slots=True)
class Told:
    """One message is delivered to all the other members, or read by all of them."""

    message_id: MessageId
    number: int
    conversation_id: ConversationId
    stage: Stage
    at: datetime


@dataclass(slots=True)
class _Own:
    """A message that not everybody has read."""

    message_id: MessageId
    number: int
    delivered: bool = False


@dataclass(slots=True)
class _Followed:
    """What is known of one conversation."""

    own: dict[int, _Own] = field(default_factory=dict)  # by seq, ascending
    delivered: dict[UserId, int] = field(default_factory=dict)  # the other members' watermarks
    read: dict[UserId, int] = field(default_factory=dict)
    learnt: bool = False
    learnt_to: int = 0  # own messages up to this seq are known of

    def reached(self, stage: Stage) -> int:
        """Tell up to which seq all the others have come."""
        return min((self.delivered if stage is Stage.DELIVERED else self.read).values(), default=0)

    def advance(self, user_id: UserId, stage: Stage, seq: int) -> None:
        """Move a watermark; what is read has been delivered."""
        for marks in (self.delivered,) if stage is Stage.DELIVERED else (self.delivered, self.read):
            marks[user_id] = max(marks.get(user_id, 0), seq)
        self.read.setdefault(user_id, 0)

    def sent(self, message: Message) -> None:
        """Take note of an own message."""
        if message.seq > self.learnt_to and message.deleted_at is None:
            self.own[message.seq] = _Own(message.id, message.number)
            if len(self.own) > MAX_OWN:
                del self.own[next(iter(self.own))]


class Receipts:
    """Follows the receipts of one user's own messages for one session.

    Each is told once, in the order of the messages, and never `delivered` after `read`; of what came before the
    session, what moved after `since`. In rooms of more than 500 members nobody is told who has read what.
    """

    def __init__(self, user_id: UserId, *, since: datetime) -> None:
        self._user_id = user_id
        self._since = since
        self._followed: OrderedDict[ConversationId, _Followed] = OrderedDict()

    def sent(self, message: Message, at: datetime) -> Sequence[Told]:
        """Take note of an own message that is pushed; gives what others had told of it before."""
        followed = self._follow(message.conversation_id, at)
        followed.sent(message)
        return self._news(message.conversation_id, followed, at) if followed.learnt else ()

    def knows(self, conversation_id: ConversationId) -> bool:
        """Tell whether receipts of a conversation can be told without asking."""
        followed = self._followed.get(conversation_id)
        return followed is not None and followed.learnt

    def changed(self, conversation_id: ConversationId) -> None:
        """Take note that a conversation has other members."""
        followed = self._followed.get(conversation_id)
        if followed is not None:
            followed.learnt = False

    def advanced(self, event: ReceiptAdvanced) -> Sequence[Told]:
        """Tell what a receipt says of own messages, of a conversation that is known."""
        followed = self._follow(event.conversation_id, event.at)
        if event.user_id != self._user_id:
            followed.advance(event.user_id, event.stage, event.seq)
        return self._news(event.conversation_id, followed, event.at)

    async def learn(self, conversation_id: ConversationId, world: World, at: datetime) -> None:
        """Ask history for what must be known of a conversation. Raises: NotAMember, NotFound, Unavailable."""
        followed = self._follow(conversation_id, at)
        if followed.learnt:
            return
        page = await world.history.messages(self._user_id, conversation_id, before=None, after=None, limit=MAX_PAGE)
        others = [mark for mark in page.watermarks if mark.user_id != self._user_id]
        followed.delivered = {mark.user_id: reached(mark, Stage.DELIVERED) for mark in others}
        followed.read = {mark.user_id: reached(mark, Stage.READ) for mark in others}
        if not followed.learnt_to and page.messages:
            own = [each for each in page.messages if self._is_own(each)]
            first = min(followed.own, default=page.messages[-1].seq + 1)  # of those that this session was pushed
            earlier = await self._earlier(world, [each for each in own if each.seq < first], others)
            later = {each.seq: _Own(each.id, each.number) for each in own if each.seq >= first}
            followed.own = dict(sorted((earlier | later | followed.own).items()))
            followed.learnt_to = page.messages[-1].seq
        followed.learnt = True

    def _is_own(self, message: Message) -> bool:
        return message.sender_id == self._user_id and message.deleted_at is None

    async def _earlier(self, world: World, own: Sequence[Message], others: Sequence[Watermark]) -> dict[int, _Own]:
        """Give the own messages from before the session of which there is still something to tell."""
        read = await self._told(world, own, Stage.READ, others)
        delivered = await self._told(world, own, Stage.DELIVERED, others)
        return {
            each.seq: _Own(each.id, each.number, delivered=place < delivered)
            for place, each in enumerate(own)
            if place >= read
        }

    async def _told(self, world: World, own: Sequence[Message], stage: Stage, others: Sequence[Watermark]) -> int:
        """Count how many of these had come so far by `since`: the session before has told of them."""
        marks = [(reached(mark, stage), _moved_at(mark, stage)) for mark in others]
        behind = [each for each in own if all(seq >= each.seq for seq, _ in marks)] if marks else []
        if all(at is None or at <= self._since for _, at in marks):
            return len(behind)
        low, high = 0, len(behind)
        while low < high:  # who comes to a message came to those before it no later
            middle = (low + high) // 2
            message = behind[middle]
            receipts = await world.history.receipts(self._user_id, message.conversation_id, message.seq)
            if all(_reached_by(receipt, stage, self._since) for receipt in receipts):
                low = middle + 1
            else:
                high = middle
        return low

    def _news(self, conversation_id: ConversationId, followed: _Followed, at: datetime) -> Sequence[Told]:
        delivered, read = followed.reached(Stage.DELIVERED), followed.reached(Stage.READ)
        news = []
        for seq, own in tuple(followed.own.items()):
            if seq > delivered:
                break
            if seq <= read:
                del followed.own[seq]
            elif own.delivered:
                continue
            own.delivered = True
            stage = Stage.READ if seq <= read else Stage.DELIVERED
            news.append(Told(own.message_id, own.number, conversation_id, stage, at))
        return news

    def _follow(self, conversation_id: ConversationId, at: datetime) -> _Followed:
        followed = self._followed.get(conversation_id)
        if followed is None:
            followed = self._followed[conversation_id] = _Followed()
            if len(self._followed) > MAX_CONVERSATIONS:
                self._followed.popitem(last=False)
                self._since = max(self._since, at)  # what was told of it is forgotten, and is not told again
        self._followed.move_to_end(conversation_id)
        return followed


def reached(mark: Watermark, stage: Stage) -> int:
    """Tell how far a member has come; what is read counts as delivered."""
    return mark.read_seq if stage is Stage.READ else max(mark.delivered_seq, mark.read_seq)


def _moved_at(mark: Watermark, stage: Stage) -> datetime | None:
    """Tell when a watermark moved last; what is read counts as delivered."""
    if stage is Stage.READ:
        return mark.read_at
    return max((at for at in (mark.delivered_at, mark.read_at) if at is not None), default=None)


def _reached_by(receipt: Receipt, stage: Stage, since: datetime) -> bool:
    """Tell whether a message had come so far by a time; what is too long ago to be known had."""
    if stage is Stage.READ:
        return receipt.read and (receipt.read_at is None or receipt.read_at <= since)
    times = [at for at in (receipt.delivered_at, receipt.read_at) if at is not None]
    return (receipt.delivered or receipt.read) and (not times or min(times) <= since)
