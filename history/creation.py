"""How a conversation begins: what it is, who is in it, and the first entry of its log."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from history.reading import ChangeKind, LoggedChange, Membership, Record
from history.rules import MAX_NAMED, history_rule, join_rule
from shared.commands import ConversationKind, CreateConversation, Role
from shared.history_api import Watermark
from shared.ids import ConversationId, MessageId


@dataclass(frozen=True, slots=True)
class Draft:
    """A conversation that is about to be made. A direct one begins with its first message, others with an entry."""

    command: CreateConversation
    at: datetime

    @property
    def id(self) -> ConversationId:
        """Name the conversation."""
        return self.command.conversation_id

    @property
    def is_direct(self) -> bool:
        """Whether two users make it by writing to each other."""
        return self.command.kind is ConversationKind.DIRECT

    def record(self, number: int) -> Record:
        """Give the conversation under its number."""
        command = self.command
        return Record(
            id=self.id,
            number=number,
            kind=command.kind,
            member_ids=command.member_ids if len(command.member_ids) <= MAX_NAMED else None,
            created_at=self.at,
            name=command.name,
            metadata=command.metadata,
            parent_id=command.parent_id,
            history=history_rule(command),
            join=join_rule(command),
            member_count=len(command.member_ids),
            members_version=0 if self.is_direct else 1,
        )

    def members(self) -> Iterator[Membership]:
        """Give the places of its members, who may all read it from its beginning; whoever creates it owns it."""
        for user_id in self.command.member_ids:
            owner = not self.is_direct and user_id == self.command.creator_id
            role = Role.OWNER if owner else Role.MEMBER
            yield Membership(Watermark(user_id=user_id), self.at, role)

    def entry(self) -> LoggedChange | None:
        """Give the first entry of its log."""
        if self.is_direct:
            return None
        return LoggedChange(
            id=created_id(self.id),
            conversation_id=self.id,
            version=1,
            after_seq=0,
            kind=ChangeKind.CREATED,
            at=self.at,
            previous_at=None,
            actor_id=self.command.creator_id,
        )


def created_id(conversation_id: ConversationId) -> MessageId:
    """Name the first entry of a log; no id of a message or change holds a slash."""
    return MessageId(f"{conversation_id}/created")
