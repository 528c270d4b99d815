"""The gateway's services as one user may use them: what dialects and the wires' REST routes ask."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from gateway.acks import Acks
from gateway.advances import Advances
from gateway.asking import ask
from gateway.dialects.base import Accepted, Caller
from gateway.dialects.world import Person, Room
from gateway.directory import Directory
from gateway.identities import Identities
from gateway.ingress import Command, Ingress, Outcome
from gateway.known import People, Rooms
from gateway.watching import Watch, Watchers
from shared.clock import Clock
from shared.commands import Acknowledge, Alteration, CreateConversation, SendMessage
from shared.errors import ErrorBody, NotFound, Unavailable, WarrenError, error_of
from shared.events import Changed, ConversationCreated, Message, Stored
from shared.history_api import HistoryQueries, MessagePlace
from shared.ids import ConversationId, MessageId, NewId, UserId
from shared.presence_api import Presence, PresenceQueries

LOOK_S = 0.02

AnswerT = TypeVar("AnswerT", Stored, ConversationCreated, Changed)


@dataclass(frozen=True, slots=True)
class Reach:
    """What all worlds of a gateway are made of."""

    history: HistoryQueries
    presence: PresenceQueries
    ingress: Ingress
    acks: Acks
    advances: Advances
    directory: Directory
    identities: Identities
    people: People
    rooms: Rooms
    watchers: Watchers
    clock: Clock
    new_id: NewId
    arrival_s: float  # how long a session waits at most until presence lists its device


class UserWorld:
    """A `World`."""

    def __init__(self, reach: Reach, caller: Caller) -> None:
        self.caller = caller
        self._reach = reach

    async def check_token(self, token: str) -> None:
        """Refuse a token that does not speak for the caller."""
        await self._reach.identities.named(token, self.caller.user_id)

    @property
    def history(self) -> HistoryQueries:
        """Give history's queries."""
        return self._reach.history

    @property
    def presence(self) -> PresenceQueries:
        """Give presence's queries."""
        return self._reach.presence

    async def conversation(self, name: str) -> ConversationId:
        """Find a conversation by its id or number."""
        return await self._reach.directory.conversation(self.caller.user_id, name)

    async def message(self, name: str) -> MessagePlace:
        """Find a message by its id or number."""
        return await self._reach.directory.message(self.caller.user_id, name)

    async def read_message(self, name: str) -> Message:
        """Read a message by its id or number."""
        place = await self.message(name)
        page = await self.history.messages(
            self.caller.user_id, place.conversation_id, before=place.seq + 1, after=None, limit=1
        )
        for message in page.messages:
            if message.id == place.message_id:
                return message
        raise NotFound("There is no such message.", message_id=name)

    async def room(self, conversation_id: ConversationId) -> Room:
        """Tell what a conversation is."""
        return await self._reach.rooms.of(self.caller.user_id, conversation_id)

    async def people(self, user_ids: Iterable[UserId]) -> Mapping[UserId, Person]:
        """Tell who users are."""
        return await self._reach.people.of(user_ids)

    async def send(self, command: SendMessage) -> Stored | Accepted:
        """Have a message stored, or at least safe with the broker."""
        outcome = await self._ask(command)
        return outcome if isinstance(outcome, Accepted) else _expect(outcome, Stored)

    async def create(self, command: CreateConversation) -> ConversationCreated:
        """Have a conversation made."""
        return _expect(await self._ask(command), ConversationCreated)

    async def alter(self, command: Alteration) -> Changed:
        """Have something changed."""
        return _expect(await self._ask(command), Changed)

    def acknowledge(self, ack: Acknowledge) -> None:
        """Note that messages were received or read."""
        self._reach.acks.take(ack)

    async def settle(self, ack: Acknowledge) -> None:
        """Note the same, and wait until it counts, a second at most."""
        self._reach.acks.take(ack)
        await self._reach.advances.reached(ack)

    def new_message_id(self) -> MessageId:
        """Make a new id."""
        return MessageId(self._reach.new_id())

    def now(self) -> datetime:
        """Give the time of day."""
        return self._reach.clock.now()

    async def _ask(self, command: Command) -> Outcome:
        return await ask(self._reach.ingress, command)


class SessionWorld(UserWorld):
    """A `SocketWorld`."""

    def __init__(self, reach: Reach, caller: Caller, watch: Watch) -> None:
        super().__init__(reach, caller)
        self._watch = watch

    async def watch(self, user_ids: Iterable[UserId]) -> tuple[Presence, ...]:
        """Watch users from now on."""
        users = tuple(dict.fromkeys(user_ids))
        watchers = self._reach.watchers
        more = self._watch.subscribe(users)
        before = watchers.told(users)
        try:
            found = await self.presence.presence_of(users)
        except WarrenError:
            self._watch.unsubscribe(more)
            raise
        presences = (found.get(user_id) or Presence(user_id=user_id, status="offline") for user_id in users)
        return watchers.answered(presences, before)

    def unwatch(self, user_ids: Iterable[UserId]) -> None:
        """Watch users no more."""
        self._watch.unsubscribe(user_ids)

    async def arrived(self) -> None:
        """Wait until presence lists the session's device."""
        clock, caller = self._reach.clock, self.caller
        by = clock.monotonic() + self._reach.arrival_s
        while clock.monotonic() < by:
            try:
                devices = await self.presence.devices(caller.user_id)
            except WarrenError:
                return
            if any(device.online and device.info.id == caller.device_id for device in devices):
                return
            await clock.sleep(LOOK_S)


def _expect(outcome: Outcome, kind: type[AnswerT]) -> AnswerT:
    if isinstance(outcome, ErrorBody):
        raise error_of(outcome)
    if not isinstance(outcome, kind):
        raise Unavailable("It is not done yet.", retry_after_ms=1000)
    return outcome
