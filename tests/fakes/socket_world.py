"""The world of one session as a test decides it: fake queries, and commands that are kept."""

import itertools
from collections.abc import Iterable, Mapping
from datetime import datetime

from gateway.dialects.base import Accepted, Caller
from gateway.dialects.world import Person, Room
from gateway.directory import Directory
from gateway.known import People, Rooms
from shared.commands import Acknowledge, Alteration, CreateConversation, SendMessage
from shared.errors import WarrenError
from shared.events import Changed, ConversationCreated, Message, Stored
from shared.history_api import MessagePlace
from shared.ids import ConversationId, MessageId, UserId
from shared.presence_api import Presence
from tests.fakes.clock import START, FakeClock
from tests.fakes.queries import FakeHistory, FakePresence


class FakeSocketWorld:
    """A `SocketWorld`. `refusal`: what every command, and watching, is refused with."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.history = FakeHistory()
        self.presence = FakePresence()
        self.refusal: WarrenError | None = None
        self.altered: list[Alteration] = []
        self.acknowledged: list[Acknowledge] = []
        self.watched: set[UserId] = set()
        self._directory = Directory(self.history)
        self._people = People(self.presence, clock=FakeClock())
        self._rooms = Rooms(self.history, clock=FakeClock())
        self._ids = itertools.count(1)

    async def check_token(self, token: str) -> None:
        pass

    async def conversation(self, name: str) -> ConversationId:
        return await self._directory.conversation(self.caller.user_id, name)

    async def message(self, name: str) -> MessagePlace:
        return await self._directory.message(self.caller.user_id, name)

    async def read_message(self, name: str) -> Message:
        raise AssertionError(f"Nobody reads a message over a socket: {name}")

    async def room(self, conversation_id: ConversationId) -> Room:
        return await self._rooms.of(self.caller.user_id, conversation_id)

    async def people(self, user_ids: Iterable[UserId]) -> Mapping[UserId, Person]:
        return await self._people.of(user_ids)

    async def send(self, command: SendMessage) -> Stored | Accepted:
        raise AssertionError(f"Nobody waits for a message over a socket: {command}")

    async def create(self, command: CreateConversation) -> ConversationCreated:
        self._check()
        return ConversationCreated(conversation_id=command.conversation_id, number=1, kind=command.kind, created=True)

    async def alter(self, command: Alteration) -> Changed:
        self._check()
        self.altered.append(command)
        return Changed(change_id=command.change_id, conversation_id=command.conversation_id, version=9)

    def acknowledge(self, ack: Acknowledge) -> None:
        self.acknowledged.append(ack)

    async def settle(self, ack: Acknowledge) -> None:
        self.acknowledge(ack)

    def now(self) -> datetime:
        return START

    def new_message_id(self) -> MessageId:
        return MessageId(f"new-{next(self._ids)}")

    async def watch(self, user_ids: Iterable[UserId]) -> tuple[Presence, ...]:
        self._check()
        users = tuple(user_ids)
        here = await self.presence.presence_of(users)
        self.watched |= set(users)
        return tuple(here.get(user_id) or Presence(user_id=user_id, status="offline") for user_id in users)

    async def arrived(self) -> None:
        pass

    def unwatch(self, user_ids: Iterable[UserId]) -> None:
        self.watched -= set(user_ids)

    def _check(self) -> None:
        if self.refusal is not None:
            raise self.refusal
