"""How far readers have come: acknowledgements merged by maximum."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from history.reading import Membership
from history.rules import refuse_stranger
from history.sequence import Head
from history.store import Advanced, Reader
from shared.commands import Acknowledge, Stage
from shared.errors import NotAMember, WarrenError
from shared.history_api import Watermark
from shared.ids import ConversationId, GatewayId


@dataclass(slots=True)
class Goal:
    """Where a reader's watermark has to be at least."""

    delivered_seq: int = 0
    read_seq: int = 0
    pushed_at: datetime | None = None  # when, and by which gateway, what is delivered was pushed
    gateway_id: GatewayId | None = None

    def raise_to(self, seq: int, command: Acknowledge) -> None:
        """Add an acknowledgement; read implies delivered."""
        if seq > self.delivered_seq or (seq == self.delivered_seq and self.gateway_id is None):
            self.delivered_seq, self.pushed_at, self.gateway_id = seq, command.pushed_at, command.gateway_id
        if command.stage is Stage.READ:
            self.read_seq = max(self.read_seq, seq)

    def limited_to(self, first_seq: int) -> "Goal":
        """Give the goal of a member who sees nothing before a seq."""
        delivered = self.delivered_seq if self.delivered_seq >= first_seq else 0
        return replace(self, delivered_seq=delivered, read_seq=self.read_seq if self.read_seq >= first_seq else 0)

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
    """Merge acknowledgements to one goal a reader, never past the last message; and refuse strangers.

    Who is in a large room is not known here: their goals are for those who turn out to be.
    """
    goals: dict[Reader, Goal] = {}
    refused: dict[Reader, WarrenError] = {}
    for command in acknowledgements:
        reader = (command.conversation_id, command.user_id)
        head = heads.get(command.conversation_id)
        error = None
        if head is None or head.member_ids is not None:
            error = refuse_stranger(command.user_id, command.conversation_id, None if head is None else head.member_ids)
        if error is not None:
            refused[reader] = error
        elif head is not None:
            goals.setdefault(reader, Goal()).raise_to(min(command.seq, head.seq), command)
    return goals, refused


def advance(reader: Reader, member: Membership | None, goal: Goal, head: Head, at: datetime) -> Advanced | WarrenError:
    """Tell where a reader's watermark goes, and who is to learn it; `member` None: they have never been in the room."""
    if member is None or not member.present:
        return NotAMember("You are not in this conversation.", conversation_id=reader[0], user_id=reader[1])
    limited = goal.limited_to(member.first_seq)
    audience = (member.user_id,) if head.member_ids is None else head.member_ids
    return Advanced(limited.reach(member.watermark, at), limited.moved(member.watermark), audience)
