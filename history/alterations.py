"""What an alteration makes of a conversation: decided here, alike for every store, and written by the store."""

from dataclasses import replace
from datetime import datetime

import msgspec

from history.permissions import refuse
from history.reading import MAX_EDITS, ChangeKind, Edit, Hiding, LoggedChange, LoggedMessage, Membership, Record
from history.rules import MAX_NAMED
from history.scene import Outcome, Scene
from history.sight import tombstone
from shared.commands import (
    Alteration,
    ChangeConversation,
    DeleteMessage,
    DeleteScope,
    EditMessage,
    HistoryRule,
    RemoveMember,
    Role,
    SetMembers,
    SetReaction,
)
from shared.errors import WarrenError
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import UserId


def decide(command: Alteration, scene: Scene, at: datetime) -> Outcome | WarrenError | None:
    """Tell what comes of an alteration: an outcome, a refusal, or None where all is so already."""
    if error := refuse(command, scene):
        return error
    match command:
        case EditMessage():
            return _edit(command, scene, at)
        case DeleteMessage():
            return _hide(command, scene, at) if command.scope is DeleteScope.ME else _delete(command, scene, at)
        case SetReaction():
            return _react(command, scene, at)
        case ChangeConversation():
            return _update(command, scene, at)
        case SetMembers():
            return _set_members(command, scene, at)
        case RemoveMember():
            return _remove(command, scene, at)


def _next(command: Alteration, scene: Scene, at: datetime, kind: ChangeKind) -> LoggedChange:
    """Give the next entry of the log; clocks of two replicas differ, and the log's time never runs backwards."""
    tip = scene.tip
    return LoggedChange(
        id=command.change_id,
        conversation_id=command.conversation_id,
        version=1 if tip is None else tip.version + 1,
        after_seq=0 if tip is None else tip.seq,
        kind=kind,
        at=at if tip is None else max(at, tip.at),
        previous_at=None if tip is None else tip.at,
        actor_id=command.actor_id,
    )


# --- messages


def _next_of(command: Alteration, scene: Scene, at: datetime, kind: ChangeKind) -> tuple[LoggedChange, LoggedMessage]:
    assert scene.message is not None
    message = scene.message.message
    change = _next(command, scene, at, kind)
    return replace(change, message_id=message.id, message_seq=message.seq), scene.message


def _outcome(scene: Scene, change: LoggedChange, logged: LoggedMessage) -> Outcome:
    return Outcome(change, scene.record, logged, latecomers=scene.latecomers)


def _edit(command: EditMessage, scene: Scene, at: datetime) -> Outcome | None:
    change, logged = _next_of(command, scene, at, ChangeKind.EDITED)
    was = logged.message
    message = msgspec.structs.replace(
        was,
        version=change.version,
        content=command.content,
        metadata=_given(command.metadata, was.metadata),
        mentions=was.mentions if command.mentions is None else command.mentions,
        edited_at=change.at,
    )
    if _said(message) == _said(was):
        return None
    edit = Edit(change.version, change.at, was.content, was.metadata, was.mentions)
    return _outcome(scene, change, replace(logged, message=message, edits=(*logged.edits, edit)[-MAX_EDITS:]))


def _given(metadata: msgspec.Raw | msgspec.UnsetType, before: msgspec.Raw) -> msgspec.Raw:
    return before if isinstance(metadata, msgspec.UnsetType) else metadata


def _said(message: Message) -> tuple[str, bytes, tuple[UserId, ...]]:
    return message.content, bytes(message.metadata), message.mentions


def _delete(command: DeleteMessage, scene: Scene, at: datetime) -> Outcome | None:
    change, logged = _next_of(command, scene, at, ChangeKind.DELETED)
    if logged.message.deleted_at is not None:
        return None
    left = tombstone(logged.message, version=change.version, at=change.at)
    return _outcome(scene, change, replace(logged, message=left, edits=()))


def _hide(command: DeleteMessage, scene: Scene, at: datetime) -> Outcome | None:
    """Hide a message from one member. To the others it is unchanged, so it keeps its version."""
    change, logged = _next_of(command, scene, at, ChangeKind.HIDDEN)
    assert command.actor_id is not None
    hidden = any(hiding.user_id == command.actor_id for hiding in logged.hidings)
    if hidden or logged.message.deleted_at is not None:
        return None
    hiding = Hiding(command.actor_id, change.version, change.at)
    return _outcome(scene, change, replace(logged, hidings=(*logged.hidings, hiding)))


def _react(command: SetReaction, scene: Scene, at: datetime) -> Outcome | None:
    change, logged = _next_of(command, scene, at, ChangeKind.REACTION)
    assert command.actor_id is not None
    users = logged.message.reactions.get(command.emoji, ())
    if (command.actor_id in users) is not command.removed:
        return None
    if command.removed:
        users = tuple(user_id for user_id in users if user_id != command.actor_id)
    else:
        users = (*users, command.actor_id)
    reactions = {emoji: who for emoji, who in {**logged.message.reactions, command.emoji: users}.items() if who}
    message = msgspec.structs.replace(logged.message, version=change.version, reactions=reactions)
    change = replace(change, emoji=command.emoji, removed=command.removed)
    return _outcome(scene, change, replace(logged, message=message))


# --- the conversation


def _update(command: ChangeConversation, scene: Scene, at: datetime) -> Outcome | None:
    was = scene.record
    record = replace(
        was,
        name=was.name if command.name is None else command.name,
        metadata=_given(command.metadata, was.metadata),
        history=command.history or was.history,
        join=command.join or was.join,
    )
    if _described(record) == _described(was):
        return None
    return Outcome(_next(command, scene, at, ChangeKind.UPDATED), record)


def _described(record: Record) -> tuple[object, ...]:
    return record.name, bytes(record.metadata), record.history, record.join


# --- members


def _set_members(command: SetMembers, scene: Scene, at: datetime) -> Outcome | None:
    """Add those who are not members, and give those who are the role. One entry says both."""
    new = [user_id for user_id in command.user_ids if scene.member(user_id) is None]
    promoted = [
        replace(member, role=command.role)
        for user_id in command.user_ids
        if command.role is not None and (member := scene.member(user_id)) and member.role != command.role
    ]
    if not new and not promoted:
        return None
    change = _next(command, scene, at, ChangeKind.MEMBER_ADDED if new else ChangeKind.ROLE_CHANGED)
    role = command.role or Role.MEMBER
    users = tuple(sorted({*new, *(member.user_id for member in promoted)}))
    members = (*promoted, *(_joined(scene, user_id, role, change) for user_id in new))
    record = _with_members(scene.record, change, joined=new) if new else scene.record
    return Outcome(replace(change, user_ids=users, role=role), record, members=members)


def _joined(scene: Scene, user_id: UserId, role: Role, change: LoggedChange) -> Membership:
    """Give a new member's place. Who was there before comes back to where they had read."""
    full = scene.record.history is HistoryRule.FULL
    before = scene.members.get(user_id)
    return Membership(
        Watermark(user_id=user_id) if before is None else before.watermark,
        joined_at=change.at,
        role=role,
        first_seq=1 if full else change.after_seq + 1,
        since_version=0 if full else change.version - 1,
        joined_version=change.version if before is None else before.joined_version,
        acknowledged_at=None if before is None else before.acknowledged_at,
    )


def _remove(command: RemoveMember, scene: Scene, at: datetime) -> Outcome | None:
    member = scene.member(command.user_id)
    if member is None:
        return None
    change = replace(_next(command, scene, at, ChangeKind.MEMBER_REMOVED), user_ids=(command.user_id,))
    left = replace(member, left_version=change.version, left_seq=change.after_seq, left_at=change.at)
    return Outcome(change, _with_members(scene.record, change, left=command.user_id), members=(left,))


def _with_members(
    record: Record, change: LoggedChange, *, joined: list[UserId] | None = None, left: UserId | None = None
) -> Record:
    """Give the conversation with others in it. One that has become large stays so."""
    joined = joined or []
    count = record.member_count + len(joined) - (left is not None)
    member_ids = record.member_ids
    if member_ids is not None:
        member_ids = tuple(sorted({*member_ids, *joined} - {left})) if count <= MAX_NAMED else None
    return replace(record, member_ids=member_ids, member_count=count, members_version=change.version)
