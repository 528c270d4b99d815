import pytest

from shared.broker.retry import MAX_ERROR_CHARS, Backoff, Drop, Hold, Park, Plan, Retry, Tell, describe, plan_retry
from shared.broker.topology import RetryLadder
from shared.errors import Failed, FailureKind, Malformed, NotAMember, QueueFull, StoreUnavailable, WarrenError

LADDER = RetryLadder(delays_s=(1, 10))


@pytest.mark.parametrize(
    ("attempt", "error", "expected"),
    [
        (1, Failed("x"), Retry(1)),
        (2, Failed("x"), Retry(10)),
        (3, Failed("x"), Park(FailureKind.TRANSIENT)),
        (1, QueueFull("x"), Retry(1)),
        (1, NotAMember("x"), Tell()),
        (3, NotAMember("x"), Tell()),
        (1, Malformed("x"), Park(FailureKind.MALFORMED)),
        (3, StoreUnavailable("x"), Hold()),
    ],
)
def test_a_failure_climbs_the_ladder_by_its_attempt_and_ends_as_its_kind_says(
    attempt: int, error: WarrenError, expected: Plan
) -> None:
    assert plan_retry(attempt, error, LADDER) == expected


@pytest.mark.parametrize("error", [Failed("x"), Malformed("x")])
def test_without_a_ladder_what_failed_is_dropped(error: WarrenError) -> None:
    assert plan_retry(1, error, None) == Drop()


def test_a_description_names_the_error_and_fits_into_a_header() -> None:
    assert describe(Failed("No luck.")) == "Failed: No luck."
    assert len(describe(Failed("x" * 10_000))) == MAX_ERROR_CHARS


def test_waits_double_up_to_the_last_and_start_again_after_a_reset() -> None:
    backoff = Backoff(0.1, 0.5)
    assert [backoff.next() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    backoff.reset()
    assert backoff.next() == 0.1


def test_each_wait_is_spread() -> None:
    spreads = iter([0.5, 1.5])
    backoff = Backoff(1.0, 8.0, spread=lambda: next(spreads))
    assert [backoff.next(), backoff.next()] == [0.5, 3.0]
