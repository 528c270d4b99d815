"""Sessions are caught up from history, as far as it goes."""

from datetime import timedelta

from shared.events import SessionOpened, SessionsRouted
from shared.history_api import SyncAnswer
from shared.ids import SessionId, UserId, direct_conversation_id
from shared.position import Position
from tests.fakes.clock import START, settle
from tests.fakes.edge import gateway
from tests.fakes.messages import ROOM, changes, stored


async def test_routed_sessions_are_caught_up_from_history() -> None:
    async with gateway() as edge:
        bob = edge.dial(f"token={edge.token()}")
        welcome = await bob.next("welcome")
        edge.history.answers.append(
            SyncAnswer(conversations=(changes(1, 2),), since=Position(START, {ROOM: 2}).token())
        )
        await edge.tell(SessionsRouted(replica_id="d1", session_ids=(SessionId(welcome["connection_id"]),)))
        assert [frame["seq"] for frame in bob.unread("message")] == [1, 2]
        await edge.deliver(stored(2), stored(3))
        assert [frame["seq"] for frame in bob.unread("message")] == [1, 2, 3]
        assert [(query.user_id, query.versions) for query in edge.history.asked[:1]] == [("bob", {})]


async def test_a_catch_up_in_parts_tells_history_how_far_it_has_come() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        [opened] = [event for event in await edge.announced() if isinstance(event, SessionOpened)]
        given = START + timedelta(seconds=2)
        part = SyncAnswer(conversations=(changes(1),), since=Position(START, given=given).token(), has_more=True)
        edge.history.answers = [part, SyncAnswer(conversations=(), since=Position(given).token())]
        await edge.tell(SessionsRouted(replica_id="r", session_ids=(opened.session.id,)))
        assert (await bob.next("message"))["seq"] == 1
        since = Position.from_token(edge.history.asked[-1].since or "")
        assert (since.given, edge.history.asked[-1].versions) == (given, {ROOM: 1})


async def test_whoever_has_many_thousands_of_conversations_is_caught_up_too() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        [opened] = [event for event in await edge.announced() if isinstance(event, SessionOpened)]
        busy = {direct_conversation_id(UserId("bob"), UserId(str(n))): 1 for n in range(6000)}
        edge.history.answers.append(
            SyncAnswer(conversations=(changes(1),), since=Position(START, {**busy, ROOM: 1}).token())
        )
        await edge.tell(SessionsRouted(replica_id="r", session_ids=(opened.session.id,)))
        assert (await bob.next("message"))["seq"] == 1
        await edge.deliver(stored(1), stored(2))
        assert (await bob.next("message"))["seq"] == 2


async def test_only_a_client_that_reads_too_slowly_may_be_told_to_fetch_by_itself() -> None:
    async with gateway(max_outbox_frames="16") as edge:
        bob = await edge.connect()
        [opened] = [event for event in await edge.announced() if isinstance(event, SessionOpened)]
        await edge.tell(SessionsRouted(replica_id="r", session_ids=(opened.session.id,)))
        assert edge.history.asked[-1].oldest_first
        bob.stall()
        await edge.deliver(*(stored(seq) for seq in range(1, 16)))
        bob.resume()
        await bob.next("message")
        await settle()
        assert not edge.history.asked[-1].oldest_first


async def test_what_was_said_before_a_user_came_is_asked_for_where_clients_are_pushed_it() -> None:
    async with gateway() as edge:
        native, huddle = edge.dial(f"token={edge.token('ann')}"), edge.dial(f"token={edge.token()}", path="/ws")
        await native.next("welcome")
        await settle()
        opened = [event.session.id for event in await edge.announced() if isinstance(event, SessionOpened)]
        await edge.tell(SessionsRouted(replica_id="r", session_ids=tuple(opened)))
        assert {query.user_id: query.past for query in edge.history.asked} == {"ann": True, "bob": False}
        huddle.hang_up()


async def test_history_that_cannot_fill_a_gap_yet_is_asked_again_later_and_not_at_once() -> None:
    async with gateway() as edge:
        bob = await edge.connect()
        await edge.deliver(stored(1), stored(3))
        assert len(edge.history.asked) == 1
        edge.history.answers.append(
            SyncAnswer(conversations=(changes(2, 3),), since=Position(START, {ROOM: 3}).token())
        )
        await edge.clock.advance(1)
        assert len(edge.history.asked) == 2
        assert [frame["seq"] for frame in bob.unread("message")] == [1, 2, 3]
