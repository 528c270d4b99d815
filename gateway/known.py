"""What can be shown of users and conversations, remembered for a minute: wires show names that events do not carry."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from gateway.dialects.world import Person, Room
from shared.clock import Clock
from shared.events import ConversationChanged, ProfileChanged
from shared.history_api import Conversation, HistoryQueries
from shared.ids import ConversationId, UserId
from shared.presence_api import MAX_USERS, PresenceQueries, Profile

FRESH_S = 60.0
CAPACITY = 50_000

K = TypeVar("K")
V = TypeVar("V")


class _Remembered(Generic[K, V]):
    """The latest values, each good for a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        until, value = self._values.get(key, (0.0, None))
        return value if until > self._clock.monotonic() else None

    def put(self, key: K, value: V) -> None:
        now = self._clock.monotonic()
        self._values[key] = (now + FRESH_S, value)
        self._values.move_to_end(key)
        while len(self._values) > CAPACITY or next(iter(self._values.values()))[0] <= now:
            self._values.popitem(last=False)

    def __len__(self) -> int:
        return len(self._values)

    def forget(self, key: K) -> None:
        self._values.pop(key, None)


class People:
    """Tells who users are. What changes comes as an event."""

    def __init__(self, presence: PresenceQueries, *, clock: Clock) -> None:
        self._presence = presence
        self._known: _Remembered[UserId, Person] = _Remembered(clock)

    async def of(self, user_ids: Iterable[UserId]) -> Mapping[UserId, Person]:
        """Tell who these users are, at most 500; who has no profile is known by the id. Raises: Unavailable."""
        wanted = tuple(dict.fromkeys(user_ids))
        people = {user_id: person for user_id in wanted if (person := self._known.get(user_id)) is not None}
        missing = tuple(user_id for user_id in wanted if user_id not in people)[:MAX_USERS]
        if missing:
            profiles = await self._presence.profiles(missing)
            for user_id in missing:
                people[user_id] = person = _person(user_id, profiles.get(user_id))
                self._known.put(user_id, person)
        return people

    def changed(self, event: ProfileChanged) -> None:
        """Take note of another profile."""
        self._known.put(
            event.user_id,
            Person(user_id=event.user_id, name=event.name, username=event.username, avatar_url=event.avatar_url),
        )


class Rooms:
    """Tells what conversations are to those who are, or were, in them."""

    def __init__(self, history: HistoryQueries, *, clock: Clock) -> None:
        self._history = history
        self._known: _Remembered[tuple[UserId, ConversationId], Room] = _Remembered(clock)

    def __len__(self) -> int:
        return len(self._known)

    async def of(self, user_id: UserId, conversation_id: ConversationId) -> Room:
        """Tell what a conversation is to one who may see it. Raises: NotAMember, NotFound, Unavailable."""
        room = self._known.get((user_id, conversation_id))
        if room is None:
            room = room_of(await self._history.conversation(user_id, conversation_id))
            self._known.put((user_id, conversation_id), room)
        return room

    def changed(self, event: ConversationChanged, user_ids: Iterable[UserId]) -> None:
        """Forget what was known to these users of a conversation that is otherwise now."""
        for user_id in user_ids:
            self._known.forget((user_id, event.conversation_id))


def room_of(conversation: Conversation) -> Room:
    """Show a conversation."""
    return Room(
        id=conversation.id,
        number=conversation.number,
        kind=conversation.kind,
        name=conversation.name,
        metadata=conversation.metadata,
        parent_id=conversation.parent_id,
        join=conversation.join,
        member_ids=conversation.member_ids,
        member_count=conversation.member_count,
    )


def _person(user_id: UserId, profile: Profile | None) -> Person:
    if profile is None:
        return Person(user_id=user_id, name=user_id)
    return Person(user_id=user_id, name=profile.name, username=profile.username, avatar_url=profile.avatar_url)
