"""Whatever happens in whatever order: what a client was told makes up what is there."""

import asyncio

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.slice.comparison import assert_told_no_more
from tests.slice.schedule import DAILY, DEVICES, FAULTS, MISHAPS, Player, Step
from tests.slice.town import town

LONG = settings.get_current_profile_name() == "long"  # pytest --hypothesis-profile=long
SMALL_NUMBER = st.integers(0, 5)
ALICE, BOB, DAVE = 0, 2, 5  # devices
GROUP, CHANNEL = 0, 1  # rooms: whoever joins the group sees what comes after that, in the channel everything
REST = Step("rest")


def mishap(what: str, pick: int, change: str, *, quiet_before: bool) -> list[Step]:
    """Let something happen to the hand-offs of changes, maybe where no reader's position names the conversation."""
    talk = [*[Step("send", ALICE, GROUP, 1)] * 4, REST]  # each change is of another message
    if quiet_before:
        talk += [Step("pass", pick=3), *(Step("sync", device) for device in range(len(DEVICES))), REST]
    changes = [step for number in range(4) for step in (Step(change, ALICE, GROUP, number), REST)]
    return [*talk, Step(what, pick=pick), *changes]


def return_(room: int, pick: int, away: str, changes: list[str]) -> list[Step]:
    """Let a member go and come back; after that the messages of before, and of meanwhile, change."""
    user, device = (1, BOB) if room == GROUP else (3, DAVE)
    talk = [Step("send", ALICE, room, 1)] * 2
    gone = [*talk, REST, Step("remove", ALICE, room, user), REST, Step(away, device, room, pick), REST]
    back = [Step("sync", device), REST, *talk, Step("change", ALICE, room), REST, Step("add", ALICE, room, user), REST]
    return [*gone, *back, *(Step(change, ALICE, room, number) for number, change in enumerate(changes)), REST]


def hide(changes: list[str]) -> list[Step]:
    """Let a member delete a message from their own sight, which changes after that."""
    talk = [*[Step("send", ALICE, GROUP, 1)] * 2, REST]
    return [*talk, Step("delete", BOB, GROUP, 1), REST, *(Step(change, ALICE, GROUP, 1) for change in changes), REST]


STEP = st.builds(Step, st.sampled_from(DAILY + FAULTS + MISHAPS * 2), SMALL_NUMBER, SMALL_NUMBER, st.integers(0, 11))
CHANGES = st.sampled_from(("edit", "delete", "react"))
SCENE = st.one_of(
    st.builds(mishap, st.sampled_from(MISHAPS), st.integers(0, 5), CHANGES, quiet_before=st.booleans()),
    st.builds(
        return_,
        st.sampled_from((GROUP, CHANNEL)),
        st.integers(0, 5),
        st.sampled_from(("pass", "drop", "lose", "late", "rest")),
        st.lists(CHANGES, max_size=4),
    ),
    st.builds(hide, st.lists(CHANGES, min_size=1, max_size=2)),
)
STEPS = st.tuples(
    st.lists(STEP, min_size=1, max_size=24), st.one_of(st.just([]), SCENE), st.lists(STEP, max_size=4)
).map(lambda parts: [step for part in parts for step in part])


async def play(steps: list[Step]) -> None:
    async with asyncio.timeout(60), town() as world:
        player = Player(world)
        await player.open()
        await player.play(steps)
        await player.finish()
        await world.check_nothing_given_up()
        await player.compare()
        for device in player.devices:
            assert_told_no_more(device.reader, world.chronicle.allows)


@settings(
    max_examples=100_000 if LONG else 50,
    deadline=None,
    derandomize=not LONG,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=False,
)
@given(steps=STEPS)
@example(steps=mishap("lose", 0, "edit", quiet_before=False))
@example(steps=mishap("lose", 1, "edit", quiet_before=True))
@example(steps=mishap("late", 1, "react", quiet_before=False))
@example(steps=mishap("repeat", 4, "edit", quiet_before=False))
@example(steps=return_(GROUP, 0, "rest", ["edit", "react", "edit", "delete"]))
@example(steps=return_(GROUP, 0, "drop", ["edit", "react", "edit", "delete"]))
@example(steps=hide(["edit", "react"]))
@example(steps=return_(CHANNEL, 3, "pass", ["edit", "react", "edit", "delete"]))
def test_stale_state_and_what_a_client_is_told_make_up_the_fresh_state(steps: list[Step]) -> None:
    with asyncio.Runner(debug=False) as runner:  # debugging takes twice the time
        runner.run(play(steps))
