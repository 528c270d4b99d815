"""A conversation as an alteration finds it, and as it leaves it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from history.announcements import addressed, entry_of
from history.reading import ChangeKind, LoggedChange, LoggedMessage, Membership, Record, Tip
from shared.commands import Alteration, DeleteMessage, EditMessage, RemoveMember, SetMembers, SetReaction
from shared.events import Entry
from shared.ids import MessageId, UserId


@dataclass(frozen=True, slots=True)
class Scene:
    """What an alteration finds: all that deciding about it takes."""

    record: Record
    tip: Tip | None  # the end of the log
    members: Mapping[UserId, Membership]  # those of the named users who are members, or were
    owners: int = 0  # how many there are; counted only where one of them may stop being one
    space: frozenset[UserId] = frozenset()  # those of the named users who are members of the space above
    message: LoggedMessage | None = None  # the one named, if it is in this conversation
    latecomers: tuple[UserId, ...] = ()  # the members who joined after it, and may not read it

    def member(self, user_id: UserId | None) -> Membership | None:
        """Give a member's place; None for whoever is no member now."""
        found = None if user_id is None else self.members.get(user_id)
        return found if found is not None and found.present else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an alteration leaves: an entry of the log, and what it changed as it is after it."""

    change: LoggedChange
    record: Record
    message: LoggedMessage | None = None
    members: tuple[Membership, ...] = field(default=())
    latecomers: tuple[UserId, ...] = ()

    def entry(self) -> Entry:
        """Give the event that tells the members of it."""
        message = self.message
        if message is None:
            return addressed(entry_of(self.change, self.record, None), self.record)
        event = entry_of(self.change, self.record, message.message)
        if self.change.kind is ChangeKind.HIDDEN:
            return addressed(event, self.record)
        blind = {*self.latecomers, *(hiding.user_id for hiding in message.hidings)}
        return addressed(event, self.record, hidden_from=tuple(sorted(blind)))


def users_named(command: Alteration) -> set[UserId]:
    """Name the users whose places an alteration depends on."""
    users = {command.actor_id} if command.actor_id is not None else set()
    if isinstance(command, SetMembers):
        users.update(command.user_ids)
    elif isinstance(command, RemoveMember):
        users.add(command.user_id)
    return users


def message_named(command: Alteration) -> MessageId | None:
    """Name the message that an alteration is about."""
    return command.message_id if isinstance(command, EditMessage | DeleteMessage | SetReaction) else None


def members_touched(command: Alteration) -> tuple[UserId, ...]:
    """Name the users whose places an alteration may change."""
    if isinstance(command, SetMembers):
        return command.user_ids
    return (command.user_id,) if isinstance(command, RemoveMember) else ()
