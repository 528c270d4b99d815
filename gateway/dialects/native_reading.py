"""What a client's frame of Warren's own protocol asks for."""

from typing import assert_never

import msgspec

from gateway.content import check_content, check_emoji, check_type, metadata_object
from gateway.dialects import native_frames as frames
from gateway.dialects.base import (
    UNPLACED,
    Caller,
    ChooseStatus,
    FetchHistory,
    Frame,
    Hello,
    Subscribe,
    Synchronise,
    Unsubscribe,
    Wish,
)
from gateway.dialects.reading import UNREADABLE, bad_frame
from shared.commands import EMPTY_OBJECT, Acknowledge, DeleteMessage, EditMessage, SendMessage, SetReaction, SetTyping
from shared.errors import Forbidden, Invalid, Unauthenticated
from shared.events import DeviceInfo
from shared.ids import ConversationId, DeviceId, MessageId, NewId, UserId, direct_conversation_id

_DECODER: msgspec.json.Decoder[frames.ClientFrame] = msgspec.json.Decoder(frames.ClientFrame)


def decode(frame: Frame) -> frames.ClientFrame:
    """Read a frame. Raises: BadFrame."""
    try:
        return _DECODER.decode(frame)
    except UNREADABLE as error:
        raise bad_frame(frame, error) from error


def wish_of(read: frames.Speech | frames.Question | frames.HelloFrame, caller: Caller | None, new_id: NewId) -> Wish:
    """Tell what a frame asks for. Raises: Unauthenticated, Forbidden, Invalid, TooLarge."""
    if isinstance(read, frames.HelloFrame):
        return _hello(read.data)
    if caller is None:
        raise Unauthenticated("Say hello with a token first.")
    match read:  # what comes often is looked for first
        case frames.SendFrame(data=data):
            _check_signature(data, caller)
            return _send(data, caller, new_id)
        case frames.AckFrame(data=data):
            _check_signature(data, caller)
            return _acknowledgement(data, caller)
        case frames.TypingFrame(data=data):
            _check_signature(data, caller)
            return _typing(data, caller)
        case frames.EditFrame() | frames.DeleteFrame() | frames.ReactFrame():
            _check_signature(read.data, caller)
            return _message_change(read, caller, MessageId(new_id()))
        case frames.PresenceFrame(data=data):
            _check_signature(data, caller)
            return ChooseStatus(status=data.status, text=data.text or "")
        case _:
            return _question(read)


def _acknowledgement(data: frames.AckData, caller: Caller) -> Acknowledge:
    return Acknowledge(
        conversation_id=ConversationId(_named(data.conversation_id)),
        user_id=caller.user_id,
        stage=data.stage,
        seq=data.seq,
    )


def _typing(data: frames.TypingData, caller: Caller) -> SetTyping:
    return SetTyping(
        conversation_id=_conversation(data, caller),
        user_id=caller.user_id,
        name=caller.name,
        active=data.active,
        to=UserId(data.to) if data.to else None,
    )


def _question(read: frames.Question) -> Wish:
    match read:
        case frames.HistoryFrame(data=data):
            if data.before is not None and data.after is not None:
                raise Invalid("Give before or after, not both.")
            conversation_id = ConversationId(_named(data.conversation_id))
            return FetchHistory(conversation_id=conversation_id, before=data.before, after=data.after, limit=data.limit)
        case frames.SyncFrame(data=data):
            versions = {ConversationId(known): version for known, version in (data.conversations or {}).items()}
            return Synchronise(since=data.since, versions=versions)
        case frames.SubscribeFrame(data=data):
            return Subscribe(users=_users(data.users))
        case frames.UnsubscribeFrame(data=data):
            return Unsubscribe(users=_users(data.users))
    assert_never(read)


def _send(data: frames.SendData, caller: Caller, new_id: NewId) -> SendMessage:
    check_type(data.type)
    check_content(data.content, data.metadata, data.attachments)
    return SendMessage(
        message_id=MessageId(new_id()),
        conversation_id=_conversation(data, caller),
        sender_id=caller.user_id,
        sender_name=caller.name,
        client_id=data.client_id or new_id(),
        to=UserId(data.to) if data.to else None,
        type=data.type,
        content=data.content,
        metadata=metadata_object(data.metadata),
        reply_to=MessageId(_named(data.reply_to)) if data.reply_to else None,
        mentions=_users(data.mentions or ()),
    )


def _message_change(
    read: frames.EditFrame | frames.DeleteFrame | frames.ReactFrame, caller: Caller, change_id: MessageId
) -> EditMessage | DeleteMessage | SetReaction:
    message_id = MessageId(_named(read.data.message_id))
    match read:
        case frames.EditFrame(data=data):
            check_content(data.content, data.metadata or EMPTY_OBJECT, None)
            return EditMessage(
                change_id=change_id,
                conversation_id=UNPLACED,
                actor_id=caller.user_id,
                message_id=message_id,
                content=data.content,
                metadata=_changed_metadata(data.metadata),
                mentions=None if data.mentions is None else _users(data.mentions),
            )
        case frames.DeleteFrame(data=data):
            return DeleteMessage(
                change_id=change_id,
                conversation_id=UNPLACED,
                actor_id=caller.user_id,
                message_id=message_id,
                scope=data.scope,
            )
        case frames.ReactFrame(data=data):
            check_emoji(data.emoji, path="$.data.emoji")
            return SetReaction(
                change_id=change_id,
                conversation_id=UNPLACED,
                actor_id=caller.user_id,
                message_id=message_id,
                emoji=data.emoji,
                removed=data.remove,
            )
    assert_never(read)


def _hello(data: frames.HelloData) -> Hello:
    return Hello(token=data.token, device=_device(data.device), since=data.since, echo=data.echo)


def _device(data: frames.DeviceData | None) -> DeviceInfo | None:
    if data is None:
        return None
    return DeviceInfo(
        id=DeviceId(data.id or ""),
        name=data.name or "",
        type=data.type or "other",
        platform=data.platform or "",
        browser=data.browser or "",
        os_version=data.os_version or "",
        app_version=data.app_version or "",
    )


def _check_signature(data: frames.SpokenFor, caller: Caller) -> None:
    if data.sender_id is None and data.user_id is None:
        return
    for claimed in (data.sender_id, data.user_id):
        if claimed is not None and claimed != caller.user_id:
            raise Forbidden("A frame speaks for the authenticated user alone.")


def _conversation(data: frames.SendData | frames.TypingData, caller: Caller) -> ConversationId:
    if data.to is None and data.conversation_id is not None:
        return ConversationId(_named(data.conversation_id))
    if data.to is not None and data.conversation_id is None:
        return direct_conversation_id(caller.user_id, UserId(data.to))
    raise Invalid("Name a conversation_id or a user in to, one of the two.")


def _changed_metadata(metadata: msgspec.Raw | msgspec.UnsetType) -> msgspec.Raw | msgspec.UnsetType:
    if metadata is msgspec.UNSET or bytes(metadata) == b"null":
        return msgspec.UNSET
    return metadata_object(metadata)


def _named(name: str | int) -> str:
    """Give an id as it is, and a number in its digits."""
    return name if isinstance(name, str) else str(name)


def _users(names: tuple[str, ...]) -> tuple[UserId, ...]:
    return tuple(UserId(name) for name in names)
