"""A group on the fake store, what is done in it, and what history says of it."""

from collections.abc import Sequence

from history.queries import StoredHistory
from shared.commands import (
    Alteration,
    ChangeConversation,
    CreateConversation,
    DeleteMessage,
    DeleteScope,
    EditMessage,
    RemoveMember,
    SetMembers,
    SetReaction,
)
from shared.events import Message
from shared.history_api import Changes, SyncQuery
from shared.ids import ConversationId, MessageId, UserId
from tests.fakes.clock import FakeClock
from tests.fakes.history_commands import ALICE, GROUP, create_group, done, send
from tests.fakes.history_store import FakeMessageStore


class GroupWorld:
    """A group of Alice, Bob and Eve; Alice owns it."""

    def __init__(self, store: FakeMessageStore | None = None) -> None:
        self.clock = FakeClock()
        self.store = store or FakeMessageStore()
        self.history = StoredHistory(self.store, clock=self.clock)
        self._changes = 0

    @classmethod
    async def made(cls, store: FakeMessageStore | None = None) -> "GroupWorld":
        """Make the group."""
        world = cls(store)
        await world.create(create_group())
        return world

    async def create(self, command: CreateConversation) -> None:
        """Make a conversation."""
        done((await self.store.create([command], at=self.clock.now()))[0])

    async def send(self, *contents: str, sender: UserId = ALICE, room: ConversationId = GROUP) -> list[Message]:
        """Store messages, a second after each other."""
        messages = []
        for content in contents:
            await self.clock.advance(1)
            command = send(f"c{self._next()}", sender=sender, room=room, content=content)
            [result] = await self.store.append([command], at=self.clock.now(), repeated=False)
            messages.append(done(result).message)
        return messages

    async def alter(self, command: Alteration) -> None:
        """Change something, a second later."""
        await self.clock.advance(1)
        done(await self.store.alter(command, at=self.clock.now()))

    async def edit(self, message: Message, content: str) -> None:
        """Give a message of Alice's another content."""
        change = self._change()
        await self.alter(
            EditMessage(change_id=change, conversation_id=GROUP, actor_id=ALICE, message_id=message.id, content=content)
        )

    async def delete(self, message: Message, scope: DeleteScope, actor: UserId = ALICE) -> None:
        """Delete a message."""
        change = self._change()
        await self.alter(
            DeleteMessage(change_id=change, conversation_id=GROUP, actor_id=actor, message_id=message.id, scope=scope)
        )

    async def react(self, message: Message, actor: UserId = ALICE) -> None:
        """Like a message."""
        change = self._change()
        await self.alter(
            SetReaction(change_id=change, conversation_id=GROUP, actor_id=actor, message_id=message.id, emoji="+")
        )

    async def remove(self, user: UserId, room: ConversationId = GROUP) -> None:
        """Take a member out."""
        await self.alter(RemoveMember(change_id=self._change(), conversation_id=room, actor_id=ALICE, user_id=user))

    async def add(self, *users: UserId, room: ConversationId = GROUP) -> None:
        """Let users in."""
        await self.alter(SetMembers(change_id=self._change(), conversation_id=room, actor_id=ALICE, user_ids=users))

    async def rename(self, name: str) -> None:
        """Call the group something else."""
        change = self._change()
        await self.alter(ChangeConversation(change_id=change, conversation_id=GROUP, actor_id=ALICE, name=name))

    async def sync(self, user: UserId, since: str | None) -> tuple[Sequence[Changes], str]:
        """Sync; all of it fits into one answer."""
        answer = await self.history.sync(SyncQuery(user_id=user, since=since))
        assert not answer.has_more
        return answer.conversations, answer.since

    async def contents(self, user: UserId) -> list[str]:
        """Give what a user reads in the group."""
        page = await self.history.messages(user, GROUP, before=None, after=None, limit=200)
        return [message.content for message in page.messages]

    def _next(self) -> int:
        self._changes += 1
        return self._changes

    def _change(self) -> MessageId:
        return MessageId(f"x{self._next()}")
