"""Whatever happens in whatever order: what a client was told makes up what is there."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.slice.schedule import DAILY, FAULTS, Player, Step
from tests.slice.town import town

LONG = settings.get_current_profile_name() == "long"  # pytest --hypothesis-profile=long
SMALL_NUMBER = st.integers(0, 5)
STEPS = st.lists(
    st.builds(Step, st.sampled_from(DAILY + FAULTS), SMALL_NUMBER, SMALL_NUMBER, st.integers(0, 11)),
    min_size=1,
    max_size=30,
)


async def play(steps: list[Step]) -> None:
    async with asyncio.timeout(60), town() as world:
        player = Player(world)
        await player.open()
        await player.play(steps)
        await player.finish()
        await world.check_nothing_given_up()
        await player.compare()


@settings(
    max_examples=100_000 if LONG else 60,
    deadline=None,
    derandomize=not LONG,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=False,
)
@given(steps=STEPS)
def test_stale_state_and_what_a_client_is_told_make_up_the_fresh_state(steps: list[Step]) -> None:
    with asyncio.Runner(debug=False) as runner:  # debugging takes twice the time
        runner.run(play(steps))
