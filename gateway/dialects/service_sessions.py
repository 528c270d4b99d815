"""Sessions of the service wire: conversations that clients name themselves, and that agents take part in."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from gateway.dialects.finding import is_id
from gateway.dialects.own_parts import own_part, with_part
from gateway.dialects.pairs import peer_in_pair
from gateway.dialects.world import World
from shared.commands import (
    EMPTY_OBJECT,
    ChangeConversation,
    ConversationKind,
    CreateConversation,
    HistoryRule,
    SetMembers,
)
from shared.errors import Conflict, Forbidden, Invalid, NotAMember, NotFound
from shared.history_api import Conversation
from shared.ids import ConversationId, UserId, direct_conversation_id, is_direct, is_number

WIRE = "service"
AGENT = "agent"  # the role that a token gives
AGENTS = ConversationId("service.agents")  # whose members are the agents that have ever registered
_OWN = "service."  # ids that no client chooses
_TAKEN = "Another agent has this session."
_NUMBERED = "session."  # before the digits of a session that a client called by a number: ids are no numbers


class SessionPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What this wire keeps in a conversation's metadata: of one that is for agents, how it stands."""

    state: Literal["waiting", "open"] | None = None
    agent: str | None = None  # who took it last


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message goes; `to` names the other user of a direct conversation that may be new."""

    conversation_id: ConversationId
    to: UserId | None = None


async def find_session(world: World, name: str) -> ConversationId:
    """Find a session that the caller is in, by id, number, or as `<a>_<b>`.

    Raises: Forbidden, also where there is none: nobody learns what sessions there are; Unavailable.
    """
    for found in await _candidates(world, name):
        try:
            return (await world.room(found)).id
        except (NotFound, NotAMember):
            continue
    raise Forbidden("You are in no such session.")


async def open_session(world: World, name: str, to: UserId | None) -> Place:
    """Find a session to speak in, or make it; an agent who comes to one that is for agents joins it.

    Raises: Forbidden, Invalid (the name), Unavailable.
    """
    try:
        return Place(await find_session(world, name))
    except Forbidden:
        caller = world.caller
        peer = peer_in_pair(name, caller.user_id)
        if peer is not None and (to == peer or (to is None and await _is_known(world, peer))):
            return Place(direct_conversation_id(caller.user_id, peer), peer)
        chosen = chosen_id(name)
        if caller.role == AGENT and await _joins(world, chosen):
            return Place(chosen)
        if to is not None:
            await make_session(world, chosen, (to,))
        elif caller.role == AGENT:
            raise
        else:
            await make_session(world, chosen, (), SessionPart(state="waiting"))
        return Place(chosen)


async def make_session(
    world: World, conversation_id: ConversationId, others: tuple[UserId, ...], part: SessionPart | None = None
) -> None:
    """Make a session of the caller's. Raises: Forbidden (others have one of this id), Unavailable."""
    user_id = world.caller.user_id
    command = CreateConversation(
        conversation_id=conversation_id,
        kind=ConversationKind.GROUP,
        creator_id=user_id,
        member_ids=tuple(sorted({user_id, *others})),
        metadata=with_part(EMPTY_OBJECT, WIRE, part or SessionPart()),
        history=HistoryRule.FULL,
    )
    try:
        await world.create(command)
    except NotAMember as error:
        raise Forbidden("You are in no such session.") from error


def chosen_id(name: str) -> ConversationId:
    """Give the id of a session that a client names. Raises: Invalid, Forbidden."""
    if is_number(name):
        return ConversationId(_NUMBERED + name)
    if not is_id(name):
        raise Invalid("A session id is 1 to 128 characters of A-Z a-z 0-9 _ . @ : + -.")
    if name.startswith((_OWN, _NUMBERED)) or is_direct(ConversationId(name)):
        raise Forbidden("You are in no such session.")
    return ConversationId(name)


def chosen_name(conversation_id: ConversationId) -> str:
    """Name a session as the client did that made it."""
    return conversation_id.removeprefix(_NUMBERED)


def part_of(conversation: Conversation) -> SessionPart:
    """Tell how a session stands."""
    return own_part(conversation.metadata, WIRE, SessionPart)


async def look_at(world: World, conversation_id: ConversationId) -> Conversation | None:
    """Look at a session that is for agents, as one of its members sees it; None: there is none. For agents."""
    try:
        members = await world.history.members(conversation_id)
        conversation = await world.history.conversation(next(iter(members.since), UserId("")), conversation_id)
    except (NotFound, NotAMember):
        return None
    return conversation if part_of(conversation).state is not None else None


async def accept(world: World, name: str) -> ConversationId:
    """Let the caller, an agent, take a session that waits. Raises: Forbidden, Conflict (another agent has it)."""
    caller = world.caller
    if caller.role != AGENT:
        raise Forbidden("Sessions are accepted by agents.")
    conversation_id = await _waiting(world, name)
    conversation = await look_at(world, conversation_id)
    if conversation is None:
        raise Forbidden("You are in no such session.")
    part = part_of(conversation)
    if part.state == "open" and part.agent != caller.user_id:
        raise Conflict(_TAKEN)
    if part.state == "open":
        await _add(world, conversation_id, caller.user_id)
    else:
        await take(world, conversation, caller.user_id)
    return conversation_id


async def take(world: World, conversation: Conversation, agent_id: UserId) -> None:
    """Let an agent take part in a session, and let it wait no more.

    Raises: Conflict (another agent has taken it since it was looked at), Unavailable.
    """
    change = ChangeConversation(
        change_id=world.new_message_id(),
        conversation_id=conversation.id,
        actor_id=None,
        metadata=with_part(conversation.metadata, WIRE, SessionPart(state="open", agent=agent_id)),
        expected=conversation.metadata,
    )
    try:
        await world.alter(change)
    except Conflict as error:
        raise Conflict(_TAKEN) from error
    await _add(world, conversation.id, agent_id)


async def _add(world: World, conversation_id: ConversationId, agent_id: UserId) -> None:
    await world.alter(
        SetMembers(
            change_id=world.new_message_id(),
            conversation_id=conversation_id,
            actor_id=None,  # the caller may be no member, or have no right to add one: the wire itself does it
            user_ids=(agent_id,),
        )
    )


async def _joins(world: World, conversation_id: ConversationId) -> bool:
    """Let the caller, an agent, join a session that is for agents, though another one may take it at the same time."""
    conversation = await look_at(world, conversation_id)
    if conversation is None:
        return False
    try:
        await take(world, conversation, world.caller.user_id)
    except Conflict:
        await _add(world, conversation_id, world.caller.user_id)
    return True


async def _waiting(world: World, name: str) -> ConversationId:
    try:
        return await find_session(world, name)
    except Forbidden:
        return chosen_id(name)


async def _candidates(world: World, name: str) -> list[ConversationId]:
    """Give what a name may mean, in order: a session of that name, a number, a pair."""
    if is_number(name):
        chosen = [ConversationId(_NUMBERED + name)]
        try:
            return [*chosen, await world.conversation(name)]
        except NotFound:
            return chosen
    found = [ConversationId(name)] if is_id(name) else []
    peer = peer_in_pair(name, world.caller.user_id)
    if peer is not None:
        found.append(direct_conversation_id(world.caller.user_id, peer))
    return found


async def _is_known(world: World, user_id: UserId) -> bool:
    return bool(await world.presence.profiles((user_id,)))
