"""The huddle wire: channels of teams, one JSON object `{"type", "data", "channel_id"?, "timestamp"}` a frame."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar

import msgspec

from gateway.dialects.base import (
    Answer,
    BadFrame,
    Caller,
    Errand,
    Frame,
    Habits,
    Hello,
    Kit,
    Pushed,
    Reply,
    Request,
    Telling,
    Upgrade,
    Welcome,
    standard_code,
)
from gateway.dialects.huddle_composing import channel, compose
from gateway.dialects.huddle_frames import DeletedView, ErrorView, ServerFrame, SightView, TypingView
from gateway.dialects.huddle_joining import enter
from gateway.dialects.huddle_reading import Asked, Leave, Open, Ping, Say, Type, decode
from gateway.dialects.huddle_sights import Sight, Sights
from gateway.dialects.huddle_views import authors_of, message_view, people_of, username_of
from gateway.dialects.numbers import ShownId, conversation_number, parent_number, shown_user_id
from gateway.dialects.reading import longer
from gateway.dialects.world import Person, SocketWorld
from gateway.disconnects import Disconnect
from shared.clock import rfc3339
from shared.commands import SetTyping
from shared.errors import ErrorBody, Invalid, TooLarge, Unauthenticated, Unavailable
from shared.events import (
    ConversationChange,
    ConversationChanged,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageStored,
    TypingChanged,
)
from shared.ids import is_number
from shared.presence_api import Presence

TYPING_S = 3.0  # the document's typingTimeout
FRESH = timedelta(minutes=1)

_ENCODER = msgspec.json.Encoder()
_SEPARATOR = "\n"  # in what a refusal is about: no name of a channel holds one


class HuddleDialect:
    """The huddle wire. Who speaks is the authenticated user; a frame that is signed otherwise is refused."""

    name: ClassVar[str] = "huddle"
    subprotocols: ClassVar[tuple[str, ...]] = ()
    habits: ClassVar[Habits] = Habits(resumes=False, acknowledges=False, fetches=False, typing_s=TYPING_S, past=False)

    def __init__(self, *, variant: str, now: Callable[[], datetime], max_frame_bytes: int) -> None:
        self.variant = variant
        self._now = now
        self._max_frame_bytes = max_frame_bytes
        self._caller: Caller | None = None
        self._sights = Sights()
        self._spoken: set[str] = set()  # channels that were looked at anew: what changes from then on is told here

    @classmethod
    def make(cls, kit: Kit) -> "HuddleDialect":
        """Make one for a session; what it says of presence depends on what its client shows."""
        return cls(variant=f"huddle:{kit.new_id()}", now=kit.now, max_frame_bytes=kit.max_frame_bytes)

    def upgraded(self, upgrade: Upgrade) -> Hello | None:
        """Take the token. Raises: BadFrame, for there is no other way to say it."""
        if upgrade.token is None:
            raise BadFrame(Unauthenticated("A token is needed: /ws?token=."))
        return Hello(token=upgrade.token)

    def opened(self, caller: Caller) -> None:
        """Take note of who the client turned out to be."""
        self._caller = caller

    # --- client → server

    def receive(self, frame: Frame | None) -> Sequence[Request | Reply]:
        """Decode one frame. Raises: BadFrame."""
        if frame is None:
            raise BadFrame(Invalid("Frames are text, not binary."), unreadable=True)
        if longer(frame, self._max_frame_bytes):
            raise BadFrame(TooLarge("The frame is too long.", limit=self._max_frame_bytes))
        asked = decode(frame, self._caller)
        if isinstance(asked, Ping):
            return (Reply((self._frame("pong", asked.data),)),)
        return (self._request(asked),)

    def _request(self, asked: Asked) -> Request:
        match asked:
            case Say():
                about = _SEPARATOR.join((asked.channel, asked.client_id or ""))
                return Request(Errand(partial(self._say, asked, about)), about)
            case Type():
                return Request(Errand(partial(self._type, asked)), asked.channel)
            case Open(channel=name):
                return Request(Errand(partial(self._open, name)), name)
            case Leave(channel=name):
                return Request(Errand(partial(self._leave, name), free=True), name)
            case _:
                raise AssertionError(f"A ping is answered at once: {asked}")

    async def _say(self, wish: Say, about: str, world: SocketWorld) -> Sequence[Request | Reply]:
        command = await compose(world, wish, hears=wish.channel in self._spoken)
        self._spoken.add(wish.channel)
        return (Request(command, about),)

    async def _type(self, wish: Type, world: SocketWorld) -> Sequence[Request | Reply]:
        room = await channel(world, wish.channel)
        caller = world.caller
        typing = SetTyping(conversation_id=room.id, user_id=caller.user_id, name=caller.name, active=wish.active)
        return (Request(typing, wish.channel),)

    async def _open(self, name: str, world: SocketWorld) -> Sequence[Request | Reply]:
        conversation = await enter(world, name)
        sights = await self._sights.show(world, conversation)
        return (Reply(await self._sight_frames(sights, world)),)

    async def _leave(self, name: str, world: SocketWorld) -> Sequence[Request | Reply]:
        self._sights.hide(world, await world.conversation(name))
        return ()

    # --- server → client

    def render(self, event: Pushed) -> Sequence[Frame] | Telling:
        """Encode an event."""
        match event:
            case MessageStored(message=message):
                return () if message.deleted_at is not None else Telling(partial(self._message, "message", message))
            case MessageEdited(message=message):
                return Telling(partial(self._message, "message_updated", message))
            case MessageDeleted(message=message):
                channel_id = conversation_number(message)
                view = DeletedView(message_id=message.number, channel_id=channel_id)
                return (self._frame("message_deleted", view, channel_id=channel_id),)
            case TypingChanged():
                return Telling(partial(self._typing, event))
            case Presence():
                sights = self._sights.changed(event)
                return Telling(partial(self._sight_frames, sights)) if sights else ()
            case ConversationChanged():
                return self._members(event)
            case MessageFailed(error=error, client_id=client_id):
                return (self._error(error, client_id=client_id),)
            case _:
                return ()

    async def _message(self, type_: str, message: Message, world: SocketWorld) -> Sequence[Frame]:
        [author] = (await authors_of(world, (message,))).values()
        here = self._sights.sees(message.sender_id)
        if here is None:  # in no channel that is shown; whoever has just written is there
            here = self._now() - message.created_at < FRESH
        view = message_view(message, author, await parent_number(world, message), is_online=here)
        return (self._frame(type_, view, channel_id=view.channel_id, user_id=view.author_id),)

    async def _typing(self, event: TypingChanged, world: SocketWorld) -> Sequence[Frame]:
        try:
            room = await world.room(event.conversation_id)
            people = await world.people((event.user_id,))
        except Unavailable:
            return ()  # what comes behind it need not wait for that
        view = TypingView(
            user_id=shown_user_id(event.user_id),
            username=username_of(people[event.user_id]),
            channel_id=room.number,
            is_typing=event.active,
        )
        return (self._frame("user_typing", view, channel_id=view.channel_id, user_id=view.user_id),)

    def _members(self, event: ConversationChanged) -> Sequence[Frame] | Telling:
        if event.conversation_id not in self._sights:
            return ()
        if event.change is ConversationChange.MEMBER_ADDED:
            return Telling(partial(self._joined, event))
        if event.change is ConversationChange.MEMBER_REMOVED:
            return Telling(partial(self._left, event))
        return ()

    async def _joined(self, event: ConversationChanged, world: SocketWorld) -> Sequence[Frame]:
        try:
            sights = await self._sights.joined(world, event.conversation_id, set(event.user_ids))
        except Unavailable:
            return ()  # likewise
        return await self._sight_frames(sights, world)

    async def _left(self, event: ConversationChanged, world: SocketWorld) -> Sequence[Frame]:
        sights = self._sights.left(world, event.conversation_id, set(event.user_ids))
        return await self._sight_frames(sights, world)

    async def _sight_frames(self, sights: Iterable[Sight], world: SocketWorld) -> Sequence[Frame]:
        sights = tuple(sights)
        try:
            people = await people_of(world, (sight.user_id for sight in sights))
        except Unavailable:
            people = {}  # messages are not to wait for names: the ids will do
        return [self._sight(sight, people.get(sight.user_id)) for sight in sights]

    def _sight(self, sight: Sight, person: Person | None) -> Frame:
        action = "join_channel" if sight.here else "leave_channel"
        view = SightView(
            user_id=shown_user_id(sight.user_id),
            username=sight.user_id if person is None else username_of(person),
            channel_id=sight.channel,
            action=None if sight.channel is None else action,
        )
        type_ = "user_online" if sight.here else "user_offline"
        return self._frame(type_, view, channel_id=sight.channel, user_id=view.user_id)

    # --- answers

    def answer(self, answer: Answer, *, reply_to: str) -> Sequence[Frame]:
        """Say nothing: what was asked for comes as an event."""
        return ()

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Say nothing: the open socket tells it."""
        return ()

    def refuse(self, error: ErrorBody, *, reply_to: str | None) -> Sequence[Frame]:
        """Encode why something was not done."""
        name, _, client_id = (reply_to or "").partition(_SEPARATOR)
        return (self._error(error, name=name, client_id=client_id),)

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None) -> Sequence[Frame]:
        """Say nothing: clients read the close code."""
        return ()

    def close_code(self, disconnect: Disconnect) -> int:
        """Give the code of the close frame."""
        return standard_code(disconnect)

    def _error(self, error: ErrorBody, *, name: str = "", client_id: str = "") -> Frame:
        view = ErrorView(
            code=error.code,
            message=error.message,
            retry_after_ms=error.retry_after_ms,
            details=error.details,
            client_id=client_id or None,
        )
        return self._frame("error", view, channel_id=int(name) if is_number(name) else name or None)

    def _frame(
        self, type_: str, data: object, *, channel_id: ShownId | None = None, user_id: ShownId | None = None
    ) -> Frame:
        frame = ServerFrame(
            type=type_, data=data, timestamp=rfc3339(self._now()), channel_id=channel_id, user_id=user_id
        )
        return _ENCODER.encode(frame).decode()
