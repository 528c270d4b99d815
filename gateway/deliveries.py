"""What clients have that do not say so: delivered once it is written, and theirs for good once they confirm it."""

from collections import deque

from gateway.acks import Acks
from gateway.dialects.base import Confirms, Habits
from gateway.positions import Positions
from shared.commands import Acknowledge, Stage
from shared.errors import QueueFull
from shared.events import DeviceInfo, Message
from shared.ids import ConversationId, UserId
from shared.position import Position

MAX_UNCONFIRMED = 1000  # messages of a conversation; earlier ones are confirmed with these


class Deliveries:
    """Follows one session's pushes, for a wire whose clients do not acknowledge, or do not keep their position."""

    def __init__(
        self,
        user_id: UserId,
        device: DeviceInfo,
        habits: Habits,
        position: Position,
        *,
        acks: Acks,
        positions: Positions,
    ) -> None:
        self._user_id = user_id
        self._device = device
        self._habits = habits
        self._acks = acks
        self._positions = positions
        self._confirmed = Position(position.floor, dict(position.versions), given=position.given)
        self._undelivered: dict[ConversationId, int] = {}  # the seq of the latest message that is not written yet
        self._unconfirmed: dict[ConversationId, deque[tuple[int, int]]] = {}  # (seq, version) of messages
        self._news = False
        self._ended = False

    def end(self) -> None:
        """Take note of nothing more: the session closes, and what it still had to write may be dropped."""
        self._ended = True

    def pushed(self, message: Message, version: int) -> None:
        """Take note of a message on its way to the client."""
        if message.sender_id == self._user_id:
            return
        if not self._habits.acknowledges:
            self._undelivered[message.conversation_id] = message.seq
        if not self._habits.resumes and self._habits.confirms is Confirms.ACKS:
            unconfirmed = self._unconfirmed.setdefault(message.conversation_id, deque(maxlen=MAX_UNCONFIRMED))
            unconfirmed.append((message.seq, version))

    def written(self) -> None:
        """Take note that everything was written: for clients that do not acknowledge, that is what counts."""
        if self._ended:
            return
        self._news = True
        undelivered, self._undelivered = self._undelivered, {}
        for conversation_id, seq in undelivered.items():
            ack = Acknowledge(conversation_id=conversation_id, user_id=self._user_id, stage=Stage.DELIVERED, seq=seq)
            try:
                self._acks.take(ack)
            except QueueFull:
                self._undelivered[conversation_id] = seq  # with what is written next

    def heard(self, position: Position, *, all_written: bool) -> None:
        """Take note that the client has sent something."""
        if self._ended or self._habits.resumes or self._habits.confirms is not Confirms.SPEECH:
            return
        if all_written and self._news:
            self._news = False
            self._positions.keep(self._user_id, self._device, position)

    def acknowledged(self, conversation_id: ConversationId, seq: int, position: Position) -> None:
        """Take note that the client has these messages."""
        if self._ended or self._habits.resumes or self._habits.confirms is not Confirms.ACKS:
            return
        waiting = self._unconfirmed.get(conversation_id)
        while waiting and waiting[0][0] <= seq:
            self._confirmed.advance(conversation_id, waiting.popleft()[1])
        if not waiting:
            self._unconfirmed.pop(conversation_id, None)
        self._positions.keep(self._user_id, self._device, self._confirmed if self._unconfirmed else position)
