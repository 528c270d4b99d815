"""Find what a session's commands name by a number, or a message by its id, and run errands, in the commands' order."""

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeAlias, assert_never

from msgspec.structs import replace

from gateway.dialects.base import Command, Errand, MessageChange, Ordered, Reply, Request
from gateway.dialects.world import SocketWorld
from gateway.directory import Directory
from shared.commands import Acknowledge, DeleteMessage, EditMessage, SendMessage, SetReaction, SetTyping
from shared.errors import WarrenError
from shared.ids import ConversationId, MessageId, is_number

Spawn: TypeAlias = Callable[[Coroutine[None, None, None], str], None]
Perform: TypeAlias = Callable[[Sequence[Request | Reply]], None]
Refuse: TypeAlias = Callable[[WarrenError, str | None], None]


class Naming:
    """One queue a session. What names everything by its id, while nothing waits here, need not come in at all."""

    def __init__(
        self, world: SocketWorld, directory: Directory, *, spawn: Spawn, perform: Perform, refuse: Refuse
    ) -> None:
        self._world = world
        self._user_id = world.caller.user_id
        self._directory = directory
        self._spawn = spawn
        self._perform = perform
        self._refuse = refuse
        self._waiting: deque[tuple[Ordered, str | None]] = deque()  # the first one is being looked at

    def must_wait(self, wish: Ordered) -> bool:
        """Tell whether a command names something that must be found, or comes behind one that does."""
        return _names_unknown(wish) or bool(self._waiting)

    def wait(self, wish: Ordered, reply_to: str | None) -> None:
        """Perform a command once what it names is found, and what came before it is performed."""
        self._waiting.append((wish, reply_to))
        if len(self._waiting) == 1:
            self._spawn(self._work(), "session.naming")

    async def conversation(self, named: ConversationId) -> ConversationId:
        """Find a conversation. Raises: NotFound, Unavailable."""
        return await self._directory.conversation(self._user_id, named)

    async def _work(self) -> None:
        while self._waiting:
            wish, reply_to = self._waiting[0]
            found: Sequence[Request | Reply]
            try:
                if isinstance(wish, Errand):
                    found = await wish.run(self._world)
                else:
                    found = (Request(await self._find(wish), reply_to),)
            except WarrenError as error:
                self._refuse(error, reply_to)
            else:
                self._perform(found)
            self._waiting.popleft()

    async def _find(self, wish: Command) -> Command:
        match wish:
            case SendMessage():
                reply_to = None if wish.reply_to is None else await self._message_id(wish.reply_to)
                return replace(wish, conversation_id=await self.conversation(wish.conversation_id), reply_to=reply_to)
            case Acknowledge() | SetTyping():
                return replace(wish, conversation_id=await self.conversation(wish.conversation_id))
            case EditMessage() | DeleteMessage() | SetReaction():
                return await self._place(wish)
        assert_never(wish)

    async def _place(self, change: MessageChange) -> MessageChange:
        place = await self._directory.message(self._user_id, change.message_id)
        return replace(change, conversation_id=place.conversation_id, message_id=place.message_id)

    async def _message_id(self, named: MessageId) -> MessageId:
        if not is_number(named):
            return named
        return (await self._directory.message(self._user_id, named)).message_id


def _names_unknown(wish: Ordered) -> bool:
    if isinstance(wish, SendMessage):
        return is_number(wish.conversation_id) or (wish.reply_to is not None and is_number(wish.reply_to))
    if isinstance(wish, Acknowledge | SetTyping):
        return is_number(wish.conversation_id)
    return True
