"""What a client of the flutter wire asks for that takes questions: which chat it means, its messages, its end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gateway.dialects import flutter_frames as frames
from gateway.dialects.base import Reply, Request
from gateway.dialects.flutter_reading import Asked, command, direct, group_of, peer_of
from gateway.dialects.flutter_writing import answered, message_id, message_view
from gateway.dialects.pairs import peer_in_pair
from gateway.dialects.world import SocketWorld, World
from shared.commands import Acknowledge, Stage
from shared.errors import Invalid, NotAMember, NotFound
from shared.events import Message
from shared.history_api import MAX_PAGE, MessagePage
from shared.ids import ConversationId, NewId, UserId, is_direct

MAX_PAGES_BACK = 25  # to look through for a message that is known by its sender's id alone, or that is not deleted
MAX_REMEMBERED = 100  # pages


@dataclass(frozen=True, slots=True)
class Target:
    """A conversation, and the other user where it is one with a user."""

    conversation_id: ConversationId
    peer: UserId | None = None

    def to_id(self, message: Message, caller: UserId) -> str:
        """Tell whom a message is to."""
        if self.peer is None:
            return message.conversation_id
        return self.peer if message.sender_id == caller else caller


@dataclass(frozen=True, slots=True)
class Errands:
    """Makes them, for one session."""

    now: Callable[[], datetime]
    new_id: NewId
    oldest: dict[tuple[ConversationId, str], int] = field(default_factory=dict)  # the seq of each page's last message

    async def send(
        self, sent: frames.Sent, asked: Asked, client_id: str, world: SocketWorld
    ) -> Sequence[Request | Reply]:
        """Send a message to whom it is for. Raises: Invalid, NotAMember, NotFound, Unavailable."""
        msg_type = sent.cd.data.attrs.MSG_TYPE if sent.cd is not None else None
        target = await find(sent, world, msg_type)
        message = command(
            sent, world.caller, target.conversation_id, target.peer, client_id=client_id, new_id=self.new_id
        )
        return (Request(message, asked.reply_to),)

    async def page(self, page: frames.Page, asked: Asked, world: SocketWorld) -> Sequence[Request | Reply]:
        """Give messages, the newest first. Raises: Invalid, NotAMember, NotFound, Unavailable."""
        target = await find(page, world)
        messages: Sequence[Message] = ()
        try:
            before = None if page.before is None else await self._seq_of(str(page.before), target, world)
            messages = await _shown(target, world, before, min(page.limit, MAX_PAGE))
        except (NotAMember, NotFound):
            if target.peer is None or page.before is not None:
                raise  # else they have not talked yet
        if messages:
            self._remember(messages[0])
        caller = world.caller.user_id
        views = [message_view(each, target.to_id(each, caller)) for each in reversed(messages)]
        return (self._reply(asked, {"datas": views}),)

    def _remember(self, oldest: Message) -> None:
        """Keep the place from which the page before is asked for."""
        self.oldest[oldest.conversation_id, message_id(oldest)] = oldest.seq
        if len(self.oldest) > MAX_REMEMBERED:
            del self.oldest[next(iter(self.oldest))]

    async def _seq_of(self, name: str, target: Target, world: World) -> int:
        """Find a message of a conversation by whichever id it has. Raises: NotFound."""
        known = self.oldest.get((target.conversation_id, name))
        return await _seq_of(name, target, world) if known is None else known

    async def look(self, chat: frames.Chat, asked: Asked, world: SocketWorld) -> Sequence[Request | Reply]:
        """Mark what is in a chat as read. Raises: Invalid, NotAMember, NotFound, Unavailable."""
        target = await find(chat, world)
        reply = self._reply(asked, {"tid": target.peer or target.conversation_id, "cType": _kind(target)})
        user_id = world.caller.user_id
        try:
            conversation = await world.history.conversation(user_id, target.conversation_id)
        except (NotAMember, NotFound):
            if target.peer is None:
                raise
            return (reply,)  # they have not talked yet
        if conversation.last_seq == 0:
            return (reply,)
        read = Acknowledge(
            conversation_id=target.conversation_id, user_id=user_id, stage=Stage.READ, seq=conversation.last_seq
        )
        return (Request(read), reply)

    def _reply(self, asked: Asked, payload: object) -> Reply:
        return Reply(answered(asked, payload, now=self.now()))


async def find(chat: frames.Chat, world: World, msg_type: str | None = None) -> Target:
    """Find out which conversation is meant. Raises: Invalid, NotAMember, NotFound, Unavailable."""
    caller = world.caller
    peer = peer_of(chat, msg_type)
    if peer is not None:
        return Target(direct(caller, peer), peer)
    group = group_of(chat, msg_type)
    if group is not None:
        peer = peer_in_pair(group, caller.user_id)
        return Target(direct(caller, peer), peer) if peer is not None else await _known(group, world)
    if chat.tid is None:
        raise Invalid("Name a user or a group in tid.")
    return await _guessed(str(chat.tid), world)


async def _known(name: ConversationId, world: World) -> Target:
    """Find a conversation by its id or number, as its member."""
    room = await world.room(await world.conversation(name))
    return Target(room.id, room.peer_of(world.caller.user_id))


async def _guessed(name: str, world: World) -> Target:
    """Tell a group from a user, where the client does not: a known user is one, and so is whom no group is called."""
    user_id = UserId(name)
    person = (await world.people((user_id,)))[user_id]
    if person.username is None and person.name == user_id:
        try:
            return await _known(ConversationId(name), world)
        except NotFound:
            if is_direct(ConversationId(name)):
                raise
    return Target(direct(world.caller, user_id), user_id)


async def _shown(target: Target, world: World, before: int | None, limit: int) -> Sequence[Message]:
    """Give the messages before a seq that are not deleted, the oldest first."""
    shown: list[Message] = []
    for _ in range(MAX_PAGES_BACK):
        page = await _page(target, world, before, limit - len(shown))
        shown[:0] = [message for message in page.messages if message.deleted_at is None]
        if len(shown) == limit or not page.has_more or not page.messages:
            break
        before = page.messages[0].seq
    return shown


async def _page(target: Target, world: World, before: int | None, limit: int) -> MessagePage:
    return await world.history.messages(
        world.caller.user_id, target.conversation_id, before=before, after=None, limit=limit
    )


async def _seq_of(name: str, target: Target, world: World) -> int:
    """Find a message of a conversation by its id or number, or by the id that its sender gave it. Raises: NotFound."""
    try:
        place = await world.message(name)
        if place.conversation_id == target.conversation_id:
            return place.seq
    except NotFound:
        pass
    before = None
    for _ in range(MAX_PAGES_BACK):
        page = await _page(target, world, before, MAX_PAGE)
        for message in page.messages:
            if message_id(message) == name:
                return message.seq
        if not page.has_more or not page.messages:
            break
        before = page.messages[0].seq
    raise NotFound("There is no such message here.", before=name)


def _kind(target: Target) -> int:
    return frames.GROUP if target.peer is None else frames.SINGLE
