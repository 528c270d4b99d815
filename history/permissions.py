"""Who may change what in a conversation."""

import unicodedata
from collections.abc import Iterable

import msgspec

from history.reading import Membership, Record
from history.rules import MAX_MEMBERS, refuse_stranger
from history.scene import Scene
from shared.commands import (
    Alteration,
    ChangeConversation,
    ConversationKind,
    DeleteMessage,
    DeleteScope,
    EditMessage,
    JoinRule,
    RemoveMember,
    Role,
    SetMembers,
    SetReaction,
)
from shared.errors import Conflict, Forbidden, Invalid, NotAMember, NotFound, TooLarge, WarrenError
from shared.ids import UserId

MAX_EMOJI_CHARACTERS = 32  # the longest sequences of joined emoji have about a third of that
MAX_EMOJIS = 50  # different ones on one message
MAX_REACTIONS = 20_000  # on one message, of all members together: with the longest ids 3 MB; a document may have 16
_LEADERS = frozenset({Role.OWNER, Role.ADMIN})


def refuse(command: Alteration, scene: Scene) -> WarrenError | None:
    """Refuse an alteration that its actor may not make, or that makes no sense; the operator may make any other."""
    match command:
        case EditMessage():
            return _refuse_outsider(command, scene) or _refuse_unseen(command, scene) or _refuse_edit(command, scene)
        case DeleteMessage():
            return _refuse_outsider(command, scene) or _refuse_unseen(command, scene) or _refuse_delete(command, scene)
        case SetReaction():
            return _refuse_outsider(command, scene) or _refuse_unseen(command, scene) or _refuse_react(command, scene)
        case ChangeConversation():
            return _refuse_outsider(command, scene) or _refuse_update(command, scene)
        case SetMembers():
            return _refuse_members(command, scene)
        case RemoveMember():
            return _refuse_outsider(command, scene) or _refuse_removal(command, scene)


def _refuse_outsider(command: Alteration, scene: Scene) -> WarrenError | None:
    if command.actor_id is None or scene.member(command.actor_id) is not None:
        return None
    return refuse_stranger(command.actor_id, scene.record.id, ())


# --- messages


def _refuse_unseen(command: EditMessage | DeleteMessage | SetReaction, scene: Scene) -> WarrenError | None:
    logged, member = scene.message, scene.member(command.actor_id)
    missing = NotFound("There is no such message.", message_id=command.message_id)
    if logged is None:
        return missing
    if member is None:
        return None
    hidden = any(hiding.user_id == member.user_id for hiding in logged.hidings)
    if logged.message.seq < member.first_seq or (hidden and not isinstance(command, DeleteMessage)):
        return missing
    return None


def _refuse_edit(command: EditMessage, scene: Scene) -> WarrenError | None:
    assert scene.message is not None
    message = scene.message.message
    if command.actor_id not in (None, message.sender_id):
        return Forbidden("Only its sender may edit a message.", message_id=message.id)
    if message.deleted_at is not None:
        return Conflict("The message is deleted.", message_id=message.id)
    return refuse_mentions(command.mentions or (), scene.record.member_ids)


def refuse_mentions(mentions: Iterable[UserId], member_ids: tuple[UserId, ...] | None) -> WarrenError | None:
    """Refuse to mention strangers, where the members can be named."""
    if member_ids is None:
        return None
    for user_id in mentions:
        if user_id not in member_ids:
            return Invalid("Only members can be mentioned.", user_id=user_id)
    return None


def _refuse_delete(command: DeleteMessage, scene: Scene) -> WarrenError | None:
    assert scene.message is not None
    if command.scope is DeleteScope.ME:
        return _refuse_operator(command)
    member = scene.member(command.actor_id)
    if member is None or member.user_id == scene.message.message.sender_id or _leads(member, scene.record):
        return None
    return Forbidden("Only its sender may delete a message for everyone.", message_id=command.message_id)


def _refuse_react(command: SetReaction, scene: Scene) -> WarrenError | None:
    assert scene.message is not None
    message, emoji = scene.message.message, command.emoji
    if message.deleted_at is not None:
        return Conflict("The message is deleted.", message_id=message.id)
    if not 1 <= len(emoji) <= MAX_EMOJI_CHARACTERS or any(map(_is_blank, emoji)):
        return Invalid(f"An emoji has 1 to {MAX_EMOJI_CHARACTERS} characters, none of them blank.")
    if not command.removed and emoji not in message.reactions and len(message.reactions) >= MAX_EMOJIS:
        return TooLarge(f"A message has at most {MAX_EMOJIS} different reactions.", message_id=message.id)
    if not command.removed and sum(map(len, message.reactions.values())) >= MAX_REACTIONS:
        return TooLarge(f"A message has at most {MAX_REACTIONS} reactions.", message_id=message.id)
    return _refuse_operator(command)


def _is_blank(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cs")


def _refuse_operator(command: Alteration) -> WarrenError | None:
    return Invalid("Only a member can do this.") if command.actor_id is None else None


# --- conversations


def _leads(member: Membership, record: Record) -> bool:
    return record.kind is not ConversationKind.DIRECT and member.role in _LEADERS


def _refuse_direct(record: Record) -> WarrenError | None:
    if record.kind is ConversationKind.DIRECT:
        return Invalid("A direct conversation stays as it is.", conversation_id=record.id)
    return None


def _refuse_update(command: ChangeConversation, scene: Scene) -> WarrenError | None:
    member = scene.member(command.actor_id)
    error = _refuse_direct(scene.record)
    if error is None and member is not None and not _leads(member, scene.record):
        return Forbidden("Only an owner or admin may change a conversation.", conversation_id=scene.record.id)
    if error is None and command.expected is not msgspec.UNSET and not _same(command.expected, scene.record.metadata):
        return Conflict("The conversation was changed meanwhile.", conversation_id=scene.record.id)
    return error


def _same(one: msgspec.Raw, other: msgspec.Raw) -> bool:
    return bool(msgspec.json.decode(one) == msgspec.json.decode(other))


# --- members


def _refuse_members(command: SetMembers, scene: Scene) -> WarrenError | None:
    joins = scene.record.join is JoinRule.OPEN and command.user_ids == (command.actor_id,)
    stranger = None if joins else _refuse_outsider(command, scene)
    new = [user_id for user_id in command.user_ids if scene.member(user_id) is None]
    if error := stranger or _refuse_direct(scene.record) or _refuse_crowd(scene.record, len(new)):
        return error
    if command.actor_id is None:
        return None
    return _refuse_roles(command, scene, new) or _refuse_new(command, scene, new) or _refuse_ownerless(command, scene)


def _refuse_crowd(record: Record, new: int) -> WarrenError | None:
    if record.member_count + new > MAX_MEMBERS:
        return TooLarge(f"A conversation has at most {MAX_MEMBERS} members.", members=record.member_count + new)
    return None


def _refuse_roles(command: SetMembers, scene: Scene, new: list[UserId]) -> WarrenError | None:
    role, actor = command.role, scene.member(command.actor_id)
    if role is None or (actor is not None and actor.role == Role.OWNER):
        return None
    there = [member for user_id in command.user_ids if (member := scene.member(user_id))]
    if any(member.role != role for member in there) or (new and role is not Role.MEMBER):
        return Forbidden("Only an owner may give roles.", conversation_id=scene.record.id)
    return None


def _refuse_new(command: SetMembers, scene: Scene, new: list[UserId]) -> WarrenError | None:
    record, actor = scene.record, scene.member(command.actor_id)
    if not new or (actor is not None and _leads(actor, record)):
        return None
    if record.join is not JoinRule.OPEN:
        return Forbidden("Only an owner or admin may add members.", conversation_id=record.id)
    if record.parent_id is not None and not scene.space.issuperset(new):
        return NotAMember("Only members of the space may join.", conversation_id=record.parent_id)
    return None


def _refuse_ownerless(command: SetMembers, scene: Scene) -> WarrenError | None:
    if command.role in (None, Role.OWNER):
        return None
    demoted = sum(member.role == Role.OWNER for user_id in command.user_ids if (member := scene.member(user_id)))
    return _refuse_last_owner(scene, demoted)


def _refuse_last_owner(scene: Scene, fewer: int) -> WarrenError | None:
    if fewer and scene.owners <= fewer and scene.record.member_count > 1:
        return Conflict("Make somebody else the owner first.", conversation_id=scene.record.id)
    return None


def _refuse_removal(command: RemoveMember, scene: Scene) -> WarrenError | None:
    if error := _refuse_direct(scene.record):
        return error
    actor, target = scene.member(command.actor_id), scene.member(command.user_id)
    if actor is None:
        return None
    if target is not None and actor.user_id == target.user_id:
        return _refuse_last_owner(scene, int(target.role == Role.OWNER))
    is_plain = target is None or target.role == Role.MEMBER
    if actor.role == Role.OWNER or (actor.role == Role.ADMIN and is_plain):
        return None
    return Forbidden("You may not remove this member.", conversation_id=scene.record.id, user_id=command.user_id)
