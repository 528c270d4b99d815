"""What every message store makes of conversations of very many members."""

from history.store import MessageStore
from shared.errors import NotAMember, TooLarge
from shared.ids import UserId
from tests.contract import message_stores
from tests.contract.altering import CAROL, alter, append, changed, record
from tests.fakes.clock import START
from tests.fakes.history_commands import ALICE, EVE, GROUP, acknowledge, add, create_group, done, remove, send

store = message_stores.store


def crowd(count: int) -> list[UserId]:
    return [UserId(f"u{n:05}") for n in range(count)]


async def test_a_message_in_a_room_of_ten_thousand_names_nobody(store: MessageStore) -> None:
    people = crowd(9_999)
    done((await store.create([create_group([ALICE, *people])], at=START))[0])
    (first, stranger) = await store.append(
        [send("c1", room=GROUP), send("c1", room=GROUP, sender=EVE)], at=START, repeated=False
    )
    assert (done(first).audience, done(first).members_version) == ((), 1)
    assert isinstance(stranger, NotAMember)
    assert len(await store.windows(GROUP)) == 10_000
    results = await store.advance([acknowledge(1, room=GROUP, user=people[7])], at=START)
    assert done(results[GROUP, people[7]]).audience == (people[7],)
    entry = await changed(store, remove(people[7]))
    assert (entry.audience, entry.members_version) == ((), 3)
    (gone,) = await store.append([send("c2", room=GROUP, sender=people[7])], at=START, repeated=False)
    assert isinstance(gone, NotAMember)
    results = await store.advance([acknowledge(1, room=GROUP, user=people[7])], at=START)
    assert isinstance(results[GROUP, people[7]], NotAMember)
    await alter(store, add(EVE))
    assert isinstance(await store.alter(add(CAROL), at=START), TooLarge)


async def test_a_room_becomes_large_with_its_501st_member(store: MessageStore) -> None:
    people = crowd(500)
    await store.create([create_group([ALICE, *people[:499]])], at=START)
    (small,) = await append(store, send("c1", room=GROUP))
    assert (len(small.audience), small.members_version) == (500, None)
    entry = await changed(store, add(people[499]))
    assert (entry.audience, entry.members_version) == ((), 3)
    (large,) = await append(store, send("c2", room=GROUP, sender=people[499]))
    assert (large.audience, large.members_version) == ((), 3)
    await alter(store, remove(people[0]))
    now = await record(store)
    assert (now.member_ids, now.member_count, now.members_version) == (None, 500, 5)
