"""The agents of the service wire: who gets a session."""

from datetime import datetime, timedelta

from gateway.dialects.own_parts import with_part
from gateway.dialects.service_agents import BUSY_FOR, match
from gateway.dialects.service_sessions import AGENTS, WIRE, SessionPart
from shared.commands import EMPTY_OBJECT, ConversationKind
from shared.history_api import Conversation, MemberList
from shared.ids import ConversationId, UserId
from shared.presence_api import Presence
from tests.fakes.clock import START
from tests.fakes.world import FakeWorld

ONE, TWO = UserId("agent1"), UserId("agent2")
WAITING = ConversationId("waiting")
MOMENT = timedelta(seconds=1)


def session(name: str, part: SessionPart, changed_at: datetime) -> Conversation:
    return Conversation(
        id=ConversationId(name),
        number=1,
        kind=ConversationKind.GROUP,
        member_ids=(),
        created_at=START,
        changed_at=changed_at,
        metadata=with_part(EMPTY_OBJECT, WIRE, part),
    )


def world(*sessions: Conversation) -> FakeWorld:
    """Give a world with two agents who are here, and a user's session that waits for one."""
    made = FakeWorld(UserId("user"))
    made.history.lists[AGENTS] = MemberList(version=1, since={ONE: 0, TWO: 0})
    made.presence.here = {agent: Presence(user_id=agent, status="online") for agent in (ONE, TWO)}
    waiting = session(WAITING, SessionPart(state="waiting"), START)
    made.history.known = {each.id: each for each in (waiting, *sessions)}
    return made


async def test_sessions_in_which_nothing_happened_for_a_day_are_no_work() -> None:
    old, lately = START - BUSY_FOR, START - BUSY_FOR + MOMENT
    forgotten = [session(f"old{number}", SessionPart(state="open", agent=ONE), old) for number in range(3)]
    current = session("new", SessionPart(state="open", agent=TWO), lately)
    matched = await match(world(*forgotten, current), WAITING)
    assert matched is not None
    assert matched.user_id == ONE


async def test_who_has_less_to_do_gets_a_session() -> None:
    current = session("new", SessionPart(state="open", agent=ONE), START)
    matched = await match(world(current), WAITING)
    assert matched is not None
    assert matched.user_id == TWO
