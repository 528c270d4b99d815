"""Whom a session follows, and for how long."""

from gateway.hub import Hub
from gateway.watching import Watch, Watchers
from shared.ids import UserId
from tests.fakes.messages import ALICE
from tests.fakes.reader import Reader

CAROL = UserId("carol")


async def test_who_is_followed_is_watched_to_the_end_also_by_one_who_subscribes_and_unsubscribes() -> None:
    watchers = Watchers(Hub())
    watch = Watch(Reader().feed, watchers)
    watch.follow({ALICE})
    watch.subscribe((ALICE, CAROL))
    watch.follow({ALICE})  # asked again, for the same reason
    watch.unsubscribe((ALICE, CAROL))
    assert list(watchers.watched()) == [ALICE]
    watch.close()
    assert list(watchers.watched()) == []
