"""What one user, one reader and one keyboard may take."""

import pytest

from gateway.limits import RateLimiter
from gateway.outbox import Outbox
from gateway.settings import GatewaySettings
from gateway.typing_signals import TypingSignals
from shared.broker.topology import SIGNALS_ROUTE
from shared.commands import SetTyping
from shared.errors import RateLimited
from shared.ids import SessionId
from tests.fakes.clock import FakeClock
from tests.fakes.messages import ALICE, BOB, ROOM
from tests.fakes.publisher import FakePublisher


async def test_a_burst_passes_and_then_the_rate() -> None:
    clock = FakeClock()
    limiter = RateLimiter(2, 3, clock=clock)
    for _ in range(3):
        limiter.spend(ALICE)
    with pytest.raises(RateLimited) as refused:
        limiter.spend(ALICE)
    assert refused.value.retry_after_ms == 500
    limiter.spend(BOB)
    await clock.advance(0.5)
    limiter.spend(ALICE)
    with pytest.raises(RateLimited):
        limiter.spend(ALICE)


async def test_users_with_full_buckets_are_forgotten_and_others_not() -> None:
    clock = FakeClock()
    limiter = RateLimiter(1, 1, clock=clock)
    limiter.spend(ALICE)
    limiter.sweep()
    with pytest.raises(RateLimited):
        limiter.spend(ALICE)
    await clock.advance(1)
    limiter.sweep()
    limiter.spend(ALICE)


def test_without_a_rate_everything_passes() -> None:
    limiter = RateLimiter(None, 1, clock=FakeClock())
    for _ in range(1000):
        limiter.spend(ALICE)


@pytest.mark.parametrize(
    ("mode", "setting", "rate"),
    [("production", {}, 50), ("development", {}, None), ("development", {"WARREN_GATEWAY_RATE_PER_S": "7"}, 7)],
)
def test_there_is_a_rate_outside_development_and_wherever_one_is_set(
    mode: str, setting: dict[str, str], rate: float | None
) -> None:
    secret = "a-secret-of-these-tests-of-32-bytes-or-more"
    names = ("WARREN_JWT_SECRET", "WARREN_ADMIN_TOKEN", "WARREN_INTERNAL_TOKEN")
    settings = GatewaySettings.from_env({**dict.fromkeys(names, secret), "WARREN_MODE": mode, **setting})
    assert settings.rate_per_s() == rate
    assert settings.sockets.rate_burst >= settings.sockets.max_in_flight


async def test_an_outbox_with_more_frames_than_it_holds_overflows() -> None:
    overflows: list[str] = []
    outbox = Outbox(max_frames=4, max_bytes=100, overflow=lambda: overflows.append("slow"))
    outbox.put(["x"] * 4)
    assert (overflows, outbox.crowded) == ([], True)
    assert await outbox.take() == ["x"] * 4
    assert not outbox.crowded
    outbox.put(["x"] * 5)
    assert overflows == ["slow"]


async def test_a_frame_of_any_size_fits_and_the_next_one_overflows() -> None:
    overflows: list[str] = []
    outbox = Outbox(max_frames=4, max_bytes=100, overflow=lambda: overflows.append("slow"))
    outbox.put(["x" * 1000])
    assert (overflows, outbox.crowded) == ([], True)
    outbox.put(["x"])
    assert overflows == ["slow"]


async def test_a_closed_outbox_gives_what_waits_and_the_last_words_and_then_nothing() -> None:
    outbox = Outbox(max_frames=4, max_bytes=100, overflow=lambda: None)
    outbox.put(["a"])
    outbox.close(["bye"])
    outbox.put(["late"])
    assert await outbox.take() == ["a", "bye"]
    assert await outbox.take() == []


EXPIRES_S = 5.0


class Keyboard:
    """Alice's typing, and what is relayed of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.publisher = FakePublisher()
        self.signals = TypingSignals(self.publisher, clock=self.clock, new_id=lambda: "id")

    def types(self, *, active: bool = True) -> None:
        command = SetTyping(conversation_id=ROOM, user_id=ALICE, name="Alice", active=active)
        self.signals.set(SessionId("s1"), command, expires_s=EXPIRES_S)

    def relayed(self) -> list[bool]:
        assert {route for route, _ in self.publisher.posted} <= {SIGNALS_ROUTE}
        return [body.active for body in self.publisher.bodies if isinstance(body, SetTyping)]


async def test_typing_expires_when_it_is_not_renewed() -> None:
    alice = Keyboard()
    alice.types()
    await alice.clock.advance(EXPIRES_S - 1)
    alice.types()
    await alice.clock.advance(EXPIRES_S - 1)
    alice.signals.sweep()
    assert alice.relayed() == [True, True]
    await alice.clock.advance(1)
    alice.signals.sweep()
    alice.signals.sweep()
    assert alice.relayed() == [True, True, False]


async def test_stopping_is_relayed_once_and_does_not_expire_again() -> None:
    alice = Keyboard()
    alice.types()
    alice.types(active=False)
    alice.types(active=False)
    await alice.clock.advance(EXPIRES_S)
    alice.signals.sweep()
    assert alice.relayed() == [True, False]


async def test_a_session_that_ends_stops_typing() -> None:
    alice = Keyboard()
    alice.types()
    alice.signals.forget(SessionId("another"))
    alice.signals.forget(SessionId("s1"))
    alice.signals.forget(SessionId("s1"))
    assert alice.relayed() == [True, False]


async def test_typing_that_cannot_be_sent_is_nobodys_trouble() -> None:
    alice = Keyboard()
    alice.publisher.full = True
    alice.types()
    assert alice.relayed() == []
