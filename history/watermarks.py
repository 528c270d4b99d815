"""How far readers have come: acknowledgements merged by maximum."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from history.rules import refuse_stranger
from history.sequence import Head
from history.store import Reader
from shared.commands import Acknowledge, Stage
from shared.errors import WarrenError
from shared.history_api import Watermark
from shared.ids import ConversationId


@dataclass(slots=True)
class Goal:
    """Where a reader's watermark has to be at least."""

    delivered_seq: int = 0
    read_seq: int = 0

    def raise_to(self, seq: int, stage: Stage) -> None:
        """Add an acknowledgement; read implies delivered."""
        self.delivered_seq = max(self.delivered_seq, seq)
        if stage is Stage.READ:
            self.read_seq = max(self.read_seq, seq)

    def moved(self, mark: Watermark) -> frozenset[Stage]:
        """Tell which stages go beyond where the watermark stands."""
        stages = (
            (Stage.DELIVERED, self.delivered_seq > mark.delivered_seq),
            (Stage.READ, self.read_seq > mark.read_seq),
        )
        return frozenset(stage for stage, beyond in stages if beyond)

    def reach(self, mark: Watermark, at: datetime) -> Watermark:
        """Give the watermark moved on to the goal; a stage that is there already keeps its time."""
        moved = self.moved(mark)
        delivered, read = Stage.DELIVERED in moved, Stage.READ in moved
        return Watermark(
            user_id=mark.user_id,
            delivered_seq=self.delivered_seq if delivered else mark.delivered_seq,
            delivered_at=at if delivered else mark.delivered_at,
            read_seq=self.read_seq if read else mark.read_seq,
            read_at=at if read else mark.read_at,
        )


def merge(
    acknowledgements: Iterable[Acknowledge], heads: Mapping[ConversationId, Head]
) -> tuple[dict[Reader, Goal], dict[Reader, WarrenError]]:
    """Merge acknowledgements to one goal a reader, never past the last message; and refuse strangers."""
    goals: dict[Reader, Goal] = {}
    refused: dict[Reader, WarrenError] = {}
    for command in acknowledgements:
        reader = (command.conversation_id, command.user_id)
        head = heads.get(command.conversation_id)
        error = refuse_stranger(command.user_id, command.conversation_id, None if head is None else head.member_ids)
        if error is not None:
            refused[reader] = error
        elif head is not None:
            goals.setdefault(reader, Goal()).raise_to(min(command.seq, head.seq), command.stage)
    return goals, refused
