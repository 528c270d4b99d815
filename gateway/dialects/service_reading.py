"""What a request of the service wire takes: a command at once where all is known, else an errand."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import tzinfo
from functools import partial
from typing import TypeAlias, TypeVar, assert_never

import msgspec
from msgspec.structs import replace

from gateway.content import check_content, check_type
from gateway.dialects import service_frames as frames
from gateway.dialects.base import UNPLACED, Caller, Errand, Reply, Request, Wish
from gateway.dialects.pairs import peer_in_pair
from gateway.dialects.service_agents import match
from gateway.dialects.service_known import Known
from gateway.dialects.service_sessions import AGENT, Place, accept, find_session, open_session
from gateway.dialects.service_telling import shown_message
from gateway.dialects.service_views import (
    FailureView,
    MatchedView,
    MessagePart,
    MessagesView,
    SessionView,
    Success,
    agent_view,
    device_mark,
    devices_view,
    message_metadata,
    typed,
)
from gateway.dialects.socket_io import ack_frame
from gateway.dialects.world import SocketWorld
from shared.commands import (
    EMPTY_OBJECT,
    Acknowledge,
    DeleteMessage,
    DeleteScope,
    EditMessage,
    MessageType,
    SendMessage,
    SetTyping,
    Stage,
)
from shared.errors import ErrorCode, Forbidden, InvalidField
from shared.ids import DeviceId, MessageId, NewId, UserId

DEFAULT_PAGE = 50

DataT = TypeVar("DataT", bound=frames.Data)
Answered: TypeAlias = Sequence[Request | Reply]
Doing: TypeAlias = Callable[[DataT, str, SocketWorld], Awaitable[Answered]]


class Reading:
    """Makes wishes of one session's requests. `ack`: the id of the request, empty where no answer is wanted."""

    def __init__(self, caller: Caller, known: Known, *, new_id: NewId, zone: tzinfo) -> None:
        self._caller = caller
        self._known = known
        self._new_id = new_id
        self._zone = zone

    def wish(self, data: frames.Question, ack: str) -> Wish:
        """Tell what a request asks for. Raises: Forbidden, Invalid, TooLarge."""
        match data:  # what comes often is looked for first
            case frames.Send():
                return self._send(data, ack)
            case frames.Delivered():
                return self._receipt(data.message_id, Stage.DELIVERED, ack)
            case frames.Read():
                return self._receipt(data.message_id, Stage.READ, ack)
            case frames.Typing():
                return self._typing(data, ack)
            case frames.Edit():
                return self._edit(data)
            case _:
                return self._errand(data, ack)

    def _errand(self, data: frames.Errand, ack: str) -> Errand:
        match data:
            case frames.Page():
                return _errand(self._page, data, ack)
            case frames.Recall():
                return _errand(self._recall, data, ack)
            case frames.MatchAgent():
                return _errand(self._match, data, ack)
            case frames.AcceptSession():
                return _errand(self._accept, data, ack)
            case frames.Devices():
                return _errand(self._devices, data, ack)
            case frames.Kick():
                return _errand(self._kick, data, ack)
        assert_never(data)

    def once_trusted(self, token: str, then: Wish | Reply, ack: str) -> Errand:
        """Check a token that is new first."""

        async def run(world: SocketWorld) -> Answered:
            await world.check_token(token)
            self._known.trust(token)
            if isinstance(then, Reply):
                return (then,)
            return await then.run(world) if isinstance(then, Errand) else (Request(then, ack),)

        return Errand(run)

    # --- messages

    def _send(self, data: frames.Send, ack: str) -> SendMessage | Errand:
        kind, _ = typed(data.message_type)
        check_type(kind)
        check_content(data.message, EMPTY_OBJECT, None)
        if not data.message and kind is MessageType.TEXT:
            raise InvalidField("A message says something: message.", path="message")
        to = UserId(frames.id_of(data.to_user_id, "to_user_id")) if data.to_user_id else None
        place = self._known.place(data.session_id)
        return Errand(partial(self._open_and_send, data, to, ack)) if place is None else self._message(data, place)

    async def _open_and_send(self, data: frames.Send, to: UserId | None, ack: str, world: SocketWorld) -> Answered:
        place = self._known.place(data.session_id) or await open_session(world, str(data.session_id), to)
        self._known.found(data.session_id, place)
        message = self._message(data, place)
        if message.reply_to is not None:
            message = replace(message, reply_to=(await world.message(message.reply_to)).message_id)
        return (Request(message, ack),)

    def _message(self, data: frames.Send, place: Place) -> SendMessage:
        caller, message_id = self._caller, MessageId(self._new_id())
        kind, word = typed(data.message_type)
        name = str(data.session_id)
        part = MessagePart(
            role=AGENT if caller.role == AGENT else None,
            type=word,
            session=name if peer_in_pair(name, caller.user_id) is not None else None,
            device=device_mark(caller),
        )
        client_id = str(data.client_id or data.msg_id or message_id)
        self._known.sent(client_id)
        return SendMessage(
            message_id=message_id,
            conversation_id=place.conversation_id,
            sender_id=caller.user_id,
            sender_name=caller.name,
            client_id=client_id,
            to=place.to,
            type=kind,
            content=data.message,
            metadata=message_metadata(part),
            reply_to=_message_id(data.reply_to_message_id, "reply_to_message_id") if data.reply_to_message_id else None,
        )

    def _receipt(self, name: frames.Name, stage: Stage, ack: str) -> Acknowledge | Errand:
        user_id = self._caller.user_id
        pushed = self._known.pushed_place(name)
        if pushed is not None:
            return Acknowledge(conversation_id=pushed[0], user_id=user_id, stage=stage, seq=pushed[1])

        message_id = _message_id(name)

        async def run(world: SocketWorld) -> Answered:
            place = await world.message(message_id)
            told = Acknowledge(conversation_id=place.conversation_id, user_id=user_id, stage=stage, seq=place.seq)
            return (Request(told, ack),)

        return Errand(run, free=True)

    def _edit(self, data: frames.Edit) -> EditMessage:
        said = (data.message, data.new_content, data.content, data.text)
        content = next((text for text in said if text is not None), None)
        if content is None:
            raise InvalidField("Say what the message is to say: message.", path="message")
        check_content(content, EMPTY_OBJECT, None)
        return EditMessage(
            change_id=MessageId(self._new_id()),
            conversation_id=UNPLACED,
            actor_id=self._caller.user_id,
            message_id=_message_id(data.message_id),
            content=content,
        )

    async def _recall(self, data: frames.Recall, ack: str, world: SocketWorld) -> Answered:
        message = await world.read_message(_message_id(data.message_id))
        if message.sender_id != self._caller.user_id:
            raise Forbidden("Only who wrote a message takes it back.")
        recall = DeleteMessage(
            change_id=world.new_message_id(),
            conversation_id=message.conversation_id,
            actor_id=self._caller.user_id,
            message_id=message.id,
            scope=DeleteScope.EVERYONE,
        )
        return (Request(recall, ack),)

    async def _page(self, data: frames.Page, ack: str, world: SocketWorld) -> Answered:
        place = await self._find(data.session_id, world)
        page = await world.history.messages(
            self._caller.user_id, place.conversation_id, before=None, after=None, limit=data.limit or DEFAULT_PAGE
        )
        messages = [
            await shown_message(world, message, self._known, zone=self._zone, watermarks=page.watermarks)
            for message in page.messages
            if message.deleted_at is None
        ]
        return _answer(ack, MessagesView(session_id=data.session_id, messages=messages))

    # --- sessions

    def _typing(self, data: frames.Typing, ack: str) -> SetTyping | Errand:
        place = self._known.place(data.session_id)
        if place is not None:
            return self._typed(data, place)

        async def run(world: SocketWorld) -> Answered:
            return (Request(self._typed(data, await self._find(data.session_id, world)), ack),)

        return Errand(run)

    def _typed(self, data: frames.Typing, place: Place) -> SetTyping:
        return SetTyping(
            conversation_id=place.conversation_id,
            user_id=self._caller.user_id,
            name=self._caller.name,
            active=data.is_typing is not False,
            to=place.to,
        )

    async def _find(self, name: frames.Name, world: SocketWorld) -> Place:
        place = self._known.place(name)
        if place is None:
            place = Place(await find_session(world, str(name)))
            self._known.found(name, place)
        return place

    async def _match(self, data: frames.MatchAgent, ack: str, world: SocketWorld) -> Answered:
        place = await open_session(world, str(data.session_id), None)
        self._known.found(data.session_id, place)
        agent = await match(world, place.conversation_id)
        if agent is None:
            failed = FailureView(success=False, message="No agent is here now.", code=ErrorCode.NOT_FOUND.value)
            return _answer(ack, failed)
        return _answer(ack, MatchedView(session_id=data.session_id, agent=agent_view(agent)))

    async def _accept(self, data: frames.AcceptSession, ack: str, world: SocketWorld) -> Answered:
        conversation_id = await accept(world, str(data.session_id))
        self._known.found(data.session_id, Place(conversation_id))
        return _answer(ack, SessionView(session_id=data.session_id))

    # --- devices

    async def _devices(self, data: frames.Devices, ack: str, world: SocketWorld) -> Answered:
        devices = await world.presence.devices(self._caller.user_id)
        return _answer(ack, devices_view(devices, self._zone))

    async def _kick(self, data: frames.Kick, ack: str, world: SocketWorld) -> Answered:
        await world.presence.sign_out(self._caller.user_id, DeviceId(frames.id_of(data.device_id, "device_id")))
        return _answer(ack, Success())


def _errand(run: Doing[DataT], data: DataT, ack: str) -> Errand:
    return Errand(partial(run, data, ack))


def _message_id(name: frames.Name, field: str = "message_id") -> MessageId:
    return MessageId(frames.id_of(name, field))


def _answer(ack: str, view: msgspec.Struct) -> Answered:
    return (Reply((ack_frame(ack, view),)),) if ack else ()
