"""The world of one session, as a test makes it: history and presence are fakes, commands are kept."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from gateway.dialects.base import Accepted, Caller
from gateway.dialects.world import Person, Room
from shared.commands import Acknowledge, Alteration, CreateConversation, SendMessage
from shared.errors import NotFound, StoreUnavailable
from shared.events import Changed, ConversationCreated, Message, Stored
from shared.history_api import MessagePlace
from shared.ids import ConversationId, DeviceId, MessageId, UserId, is_number
from shared.presence_api import Presence
from tests.fakes.clock import START
from tests.fakes.queries import FakeHistory, FakePresence


class FakeWorld:
    """A `SocketWorld`."""

    def __init__(self, user_id: UserId, name: str = "") -> None:
        self.caller = Caller(user_id, name or user_id.title(), DeviceId(user_id))
        self.history = FakeHistory()
        self.presence = FakePresence()
        self.rooms: dict[ConversationId, Room] = {}
        self.names: dict[UserId, str] = {}
        self.said: dict[str, Message] = {}  # by their ids and numbers
        self.done: list[SendMessage | CreateConversation | Alteration | Acknowledge] = []
        self.watched: set[UserId] = set()
        self._made = 0

    async def check_token(self, token: str) -> None:
        pass

    async def conversation(self, name: str) -> ConversationId:
        if not is_number(name):
            return ConversationId(name)
        for room in self.rooms.values():
            if str(room.number) == name:
                return room.id
        raise NotFound("There is no such conversation.")

    async def message(self, name: str) -> MessagePlace:
        message = await self.read_message(name)
        return MessagePlace(message_id=message.id, conversation_id=message.conversation_id, seq=message.seq)

    async def read_message(self, name: str) -> Message:
        if name not in self.said:
            raise NotFound("There is no such message.")
        return self.said[name]

    async def room(self, conversation_id: ConversationId) -> Room:
        if self.history.down:
            raise StoreUnavailable("The fake history was told to be down.")
        if conversation_id not in self.rooms:
            raise NotFound("There is no such conversation.")
        return self.rooms[conversation_id]

    async def people(self, user_ids: Iterable[UserId]) -> Mapping[UserId, Person]:
        return {each: Person(user_id=each, name=self.names.get(each, each)) for each in user_ids}

    async def send(self, command: SendMessage) -> Stored | Accepted:
        self.done.append(command)
        return Accepted(message_id=command.message_id, conversation_id=command.conversation_id)

    async def create(self, command: CreateConversation) -> ConversationCreated:
        self.done.append(command)
        return ConversationCreated(conversation_id=command.conversation_id, number=1, kind=command.kind, created=True)

    async def alter(self, command: Alteration) -> Changed:
        self.done.append(command)
        return Changed(change_id=command.change_id, conversation_id=command.conversation_id, version=1)

    def acknowledge(self, ack: Acknowledge) -> None:
        self.done.append(ack)

    async def settle(self, ack: Acknowledge) -> None:
        self.done.append(ack)

    async def arrived(self) -> None:
        pass

    def new_message_id(self) -> MessageId:
        self._made += 1
        return MessageId(f"new-{self._made}")

    def now(self) -> datetime:
        return START

    async def watch(self, user_ids: Iterable[UserId]) -> tuple[Presence, ...]:
        users = tuple(user_ids)
        self.watched |= set(users)
        here = self.presence.here
        return tuple(here.get(each) or Presence(user_id=each, status="offline") for each in users)

    def unwatch(self, user_ids: Iterable[UserId]) -> None:
        self.watched -= set(user_ids)
