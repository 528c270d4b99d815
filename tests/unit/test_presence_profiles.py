"""Who users are: by their token at first, then as they say."""

from collections.abc import AsyncIterator

import pytest

from presence.profiles import folded, terms
from shared.errors import Conflict, Invalid, NotFound, StoreUnavailable, Unavailable
from shared.events import ProfileChanged, SessionOpened
from shared.ids import UserId
from shared.presence_api import Account, Profile, ProfileChange
from shared.presence_http import HttpPresence
from tests.fakes.clock import START
from tests.fakes.presence_process import PlayedPresence
from tests.fakes.sessions import session

ALICE, BOB = UserId("alice"), UserId("bob")


@pytest.fixture
async def presence() -> AsyncIterator[PlayedPresence]:
    async with PlayedPresence.open() as played:
        yield played


@pytest.fixture
async def queries(presence: PlayedPresence) -> AsyncIterator[HttpPresence]:
    async with presence.asked("internal") as client:
        yield HttpPresence(client)


async def test_a_user_is_known_from_their_first_token_on(presence: PlayedPresence, queries: HttpPresence) -> None:
    assert await queries.account(ALICE, "Alice") == Account(user_id=ALICE, name="Alice")
    assert await queries.profiles([ALICE, BOB]) == {ALICE: Profile(user_id=ALICE, name="Alice", created_at=START)}
    assert await presence.news(ProfileChanged) == []


async def test_a_user_is_known_from_a_session_that_was_let_in_without_asking(
    presence: PlayedPresence, queries: HttpPresence
) -> None:
    await presence.gateway.tell(SessionOpened(session=session("s1", "alice")))
    assert (await queries.profiles([ALICE]))[ALICE].name == "Alice"


async def test_another_name_in_the_token_is_told(presence: PlayedPresence, queries: HttpPresence) -> None:
    await queries.account(ALICE, "Alice")
    assert (await queries.account(ALICE, "Alice Smith")).name == "Alice Smith"
    assert await presence.news(ProfileChanged) == [ProfileChanged(user_id=ALICE, name="Alice Smith")]
    await queries.account(ALICE, "Alice Smith")
    assert await presence.news(ProfileChanged) == []


async def test_a_name_of_ones_own_is_told_and_kept(presence: PlayedPresence, queries: HttpPresence) -> None:
    await queries.account(ALICE, "Alice")
    await presence.clock.advance(5)
    change = ProfileChange(name="Ally", username="ally", avatar_url="https://example.com/a.png")
    profile = await queries.change_profile(ALICE, change)
    assert (profile.name, profile.username, profile.created_at) == ("Ally", "ally", START)
    told = ProfileChanged(user_id=ALICE, name="Ally", username="ally", avatar_url="https://example.com/a.png")
    assert await presence.news(ProfileChanged) == [told]
    assert (await queries.account(ALICE, "Alice")).name == "Ally"
    assert await presence.news(ProfileChanged) == []


async def test_a_change_that_could_not_be_told_is_told_when_it_is_asked_for_again(
    presence: PlayedPresence, queries: HttpPresence
) -> None:
    await queries.account(ALICE, "Alice")
    presence.connections[-1].break_connection()
    with pytest.raises(Unavailable):
        await queries.change_profile(ALICE, ProfileChange(name="Ally"))
    presence.connections[-1].restore()
    await queries.change_profile(ALICE, ProfileChange(name="Ally"))
    assert [changed.name for changed in await presence.news(ProfileChanged)] == ["Ally"]


async def test_what_cannot_be_changed_says_why(queries: HttpPresence) -> None:
    with pytest.raises(NotFound):
        await queries.change_profile(ALICE, ProfileChange(name="Alice"))
    for user_id in (ALICE, BOB):
        await queries.account(user_id, None)
    await queries.change_profile(ALICE, ProfileChange(username="ally"))
    with pytest.raises(Conflict) as raised:
        await queries.change_profile(BOB, ProfileChange(username="ALLY"))
    assert raised.value.details == {"username": "ALLY"}


async def test_users_are_searched_page_by_page(queries: HttpPresence) -> None:
    for n in range(3):
        await queries.account(UserId(f"user-{n}"), f"Ann {n}")
    first = await queries.search(" ANN ", limit=2, cursor=None)
    assert ([user.user_id for user in first.users], first.next_cursor) == (["user-0", "user-1"], "user-1")
    rest = await queries.search("ann", limit=2, cursor=first.next_cursor)
    assert ([user.user_id for user in rest.users], rest.next_cursor) == (["user-2"], None)


@pytest.mark.parametrize("text", ["a\0", "a" * 129, "zz", "ﷺ" * 100])
async def test_a_text_that_no_term_begins_with_finds_nobody(queries: HttpPresence, text: str) -> None:
    await queries.account(ALICE, "A" * 500)
    page = await queries.search(text, limit=2, cursor=None)
    assert (page.users, page.next_cursor) == ((), None)


@pytest.mark.parametrize(("limit", "cursor"), [(0, None), (501, None), (10, ""), (10, "not an id")])
async def test_a_page_that_cannot_be_is_refused(queries: HttpPresence, limit: int, cursor: str | None) -> None:
    with pytest.raises(Invalid):
        await queries.search("a", limit=limit, cursor=cursor)


async def test_without_the_store_nothing_is_known(presence: PlayedPresence, queries: HttpPresence) -> None:
    presence.store.available = False
    with pytest.raises(Unavailable) as raised:
        await queries.account(ALICE, "Alice")
    assert not isinstance(raised.value, StoreUnavailable)
    presence.store.available = True


def test_terms_are_compared_without_regard_to_case_width_and_composition() -> None:
    assert folded("ＡＬＩＣＥ") == folded("alice")
    assert folded("E\u0301mile") == folded("émile")
    assert folded("Straße") == folded("STRASSE")


def test_terms_are_few_and_short() -> None:
    found = terms(ALICE, " ".join(f"w{n}" for n in range(100)) + "x" * 500, None)
    assert len(found) <= 18
    assert max(map(len, found)) == 128
