"""The agents of the service wire: who they are, who is here, and who has the least to do.

Agents are users whose token says so. All that have ever registered are the members of one conversation, so that every
gateway knows them; who of them is here, presence knows.
"""

from datetime import timedelta

from gateway.dialects.service_sessions import AGENT, AGENTS, part_of, take
from gateway.dialects.world import Person, World
from shared.commands import ConversationKind, CreateConversation, Role, SetMembers
from shared.errors import Conflict, Forbidden, NotAMember, NotFound
from shared.history_api import Conversation
from shared.ids import ConversationId, UserId
from shared.presence_api import MAX_USERS

_NAME = "Agents"
BUSY_FOR = timedelta(hours=24)  # nobody closes a session: one in which nothing happened for so long is no work any more
_PAGE = 200  # conversations of an agent that are looked at, those with the latest activity


async def agents(world: World) -> frozenset[UserId]:
    """Name the users who have registered as agents. Raises: Unavailable."""
    try:
        members = await world.history.members(AGENTS)
    except NotFound:
        return frozenset()
    return frozenset(members.since)


async def enlist(world: World) -> None:
    """Let the caller, an agent, be known as one. Raises: Unavailable."""
    user_id = world.caller.user_id
    if world.caller.role != AGENT or user_id in await agents(world):
        return
    if not await _found(world):
        change_id = world.new_message_id()
        await world.alter(SetMembers(change_id=change_id, conversation_id=AGENTS, actor_id=None, user_ids=(user_id,)))


async def _found(world: World) -> bool:
    """Make the conversation of agents; False: there is one already."""
    user_id = world.caller.user_id
    command = CreateConversation(
        conversation_id=AGENTS, kind=ConversationKind.GROUP, creator_id=user_id, member_ids=(user_id,), name=_NAME
    )
    try:
        return (await world.create(command)).created
    except NotAMember:
        return False


async def match(world: World, conversation_id: ConversationId) -> Person | None:
    """Let the agent who is here and has the fewest open sessions take a session; None: no agent is here.

    Raises: Forbidden (the session is not for agents), Unavailable.
    """
    conversation = await world.history.conversation(world.caller.user_id, conversation_id)
    part = part_of(conversation)
    if part.state is None and conversation.role is not Role.OWNER:
        raise Forbidden("This session is not for agents.")
    if part.state == "open" and part.agent is not None:
        return await _person(world, UserId(part.agent))
    here = await _here(world, conversation)
    if not here:
        return None
    chosen = min([(await _open_sessions(world, agent), agent) for agent in here])[1]
    try:
        await take(world, conversation, chosen)
    except Conflict:  # another agent has taken it at the same time
        taken = part_of(await world.history.conversation(world.caller.user_id, conversation_id)).agent
        return None if taken is None else await _person(world, UserId(taken))
    return await _person(world, chosen)


async def _here(world: World, conversation: Conversation) -> list[UserId]:
    """Name the agents who are here, and not in the session yet."""
    candidates = sorted(await agents(world) - set(conversation.member_ids))
    here: list[UserId] = []
    for start in range(0, len(candidates), MAX_USERS):
        found = await world.presence.presence_of(candidates[start : start + MAX_USERS])
        here += [user_id for user_id, presence in found.items() if presence.status != "offline"]
    return here


async def _open_sessions(world: World, agent_id: UserId) -> int:
    page = await world.history.conversations(agent_id, limit=_PAGE, cursor=None)
    since = world.now() - BUSY_FOR
    parts = [part_of(conversation) for conversation in page.conversations if conversation.changed_at > since]
    return sum(part.state == "open" and part.agent == agent_id for part in parts)


async def _person(world: World, user_id: UserId) -> Person:
    return (await world.people((user_id,)))[user_id]
