"""The channels of one client of the envelope wire: what it calls them, which it listens to, whom it follows there."""

from collections.abc import Collection, Sequence

from gateway.dialects.base import Pushed
from gateway.dialects.finding import find_conversation, is_id
from gateway.dialects.joining import join
from gateway.dialects.pairs import peer_in_pair
from gateway.dialects.world import SocketWorld
from shared.commands import RemoveMember
from shared.errors import NotAMember, NotFound, TooLarge, Unavailable
from shared.events import ConversationChange, ConversationChanged, MessageStored
from shared.ids import ConversationId, UserId, direct_conversation_id, is_direct
from shared.presence_api import Presence

MAX_NAMES = 10_000


class Channels:
    """What the client has said of channels on this socket."""

    def __init__(self) -> None:
        self._found: dict[str, ConversationId] = {}
        self._called: dict[ConversationId, str] = {}
        self._muted: set[ConversationId] = set()
        self._joined: set[ConversationId] = set()  # by subscribing
        self._members: dict[ConversationId, frozenset[UserId]] = {}  # of what is subscribed
        self._peers: set[UserId] = set()  # followed because they wrote directly
        self._told: set[UserId] = set()  # whose presence the client was told of

    def name_of(self, conversation_id: ConversationId) -> str:
        """Give what the client calls a conversation."""
        return self._called.get(conversation_id, conversation_id)

    def known(self, name: str) -> ConversationId | None:
        """Give the conversation that the client has called so before."""
        return self._found.get(name)

    def looks_at(self, conversation_id: ConversationId) -> bool:
        """Tell whether it is subscribed."""
        return conversation_id in self._members

    def mutes(self, conversation_id: ConversationId) -> bool:
        """Tell whether the client wants to hear nothing of a conversation."""
        return conversation_id in self._muted

    # --- finding

    async def find(self, world: SocketWorld, name: str) -> ConversationId:
        """Find a conversation. Raises: NotFound, NotAMember, Unavailable."""
        found = self._found.get(name)
        return self._note(name, (await find_conversation(world, name)).id) if found is None else found

    async def place(self, world: SocketWorld, name: str) -> tuple[ConversationId, UserId | None]:
        """Find where a message goes; with the peer, where its conversation may have to be made. Raises likewise."""
        user_id = world.caller.user_id
        try:
            return await self.find(world, name), None
        except (NotFound, NotAMember):
            peer = peer_in_pair(name, user_id)
            if peer is None:
                raise
            return self._note(name, direct_conversation_id(user_id, peer)), peer
        except Unavailable:
            if not is_id(name):
                raise
            return ConversationId(name), None  # the broker keeps it until history can tell

    def _note(self, name: str, conversation_id: ConversationId) -> ConversationId:
        if len(self._found) >= MAX_NAMES:
            forgotten = self._found.pop(next(iter(self._found)))
            self._called.pop(forgotten, None)
        self._found[name] = conversation_id
        self._called.setdefault(conversation_id, name)
        return conversation_id

    # --- subscribing

    async def subscribe(self, world: SocketWorld, name: str) -> tuple[ConversationId, Sequence[Presence]]:
        """Listen to a channel, and join it where that takes it; gives its members' presence. Raises likewise."""
        conversation = await find_conversation(world, name)
        if conversation.role is None:
            await join(world, conversation.id)
            self._joined.add(conversation.id)
            conversation = await world.history.conversation(world.caller.user_id, conversation.id)
        self._called[conversation.id] = name
        self._note(name, conversation.id)
        self._muted.discard(conversation.id)
        members = frozenset(conversation.member_ids) - {world.caller.user_id}
        presences = await _watched(world, members)
        before = self._members.get(conversation.id, frozenset())
        self._members[conversation.id] = members
        self._unwatch(world, before - members)
        return conversation.id, presences

    async def unsubscribe(self, world: SocketWorld, name: str) -> ConversationId:
        """Listen to a channel no more; one that was joined by subscribing is left. Raises likewise."""
        conversation_id = await self.find(world, name)
        self._muted.add(conversation_id)
        self.drop(world, conversation_id)
        if conversation_id in self._joined:
            self._joined.remove(conversation_id)
            user_id = world.caller.user_id
            leave = RemoveMember(
                change_id=world.new_message_id(), conversation_id=conversation_id, actor_id=user_id, user_id=user_id
            )
            await world.alter(leave)
        return conversation_id

    # --- following people

    def newcomers(self, event: Pushed, user_id: UserId) -> Collection[UserId]:
        """Name those whom the client is to be told of from now on, as an event shows; each once."""
        match event:
            case MessageStored(message=message) if is_direct(event.conversation_id) and not self.mutes(
                event.conversation_id
            ):
                new = {message.sender_id} - self._told - {user_id}
                self._told |= new  # at once: of a backlog many messages are rendered before the first is told of
                return new
            case ConversationChanged(change=ConversationChange.MEMBER_ADDED) if self.looks_at(event.conversation_id):
                return set(event.user_ids) - self._members[event.conversation_id] - {user_id}
            case _:
                return ()

    async def follow(self, world: SocketWorld, event: Pushed, users: Collection[UserId]) -> Sequence[Presence]:
        """Follow newcomers; gives their presence."""
        if isinstance(event, ConversationChanged) and self.looks_at(event.conversation_id):
            self._members[event.conversation_id] |= frozenset(users)
        else:
            self._peers.update(users)
        self._told.update(users)
        return await _watched(world, users)

    def told(self, user_id: UserId) -> None:
        """Take note that the client is told of a user's presence."""
        self._told.add(user_id)

    def drop(self, world: SocketWorld, conversation_id: ConversationId) -> None:
        """Follow the members of a channel no more, unless there is another reason."""
        self._unwatch(world, self._members.pop(conversation_id, frozenset()))

    def _unwatch(self, world: SocketWorld, users: Collection[UserId]) -> None:
        fewer = set(users).difference(self._peers, *self._members.values())
        self._told -= fewer
        world.unwatch(fewer)


async def _watched(world: SocketWorld, users: Collection[UserId]) -> Sequence[Presence]:
    """Watch users as far as that goes: messages matter more than who is there."""
    try:
        return await world.watch(sorted(users)) if users else ()
    except (TooLarge, Unavailable):
        return ()
