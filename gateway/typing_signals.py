"""Who is typing: relayed as it comes, and taken back when it is not renewed for some seconds."""

from contextlib import suppress

from msgspec.structs import replace

from shared.broker.api import Publisher
from shared.broker.topology import SIGNALS_ROUTE
from shared.clock import Clock
from shared.commands import SetTyping
from shared.envelope import Envelope
from shared.errors import Unavailable
from shared.ids import ConversationId, NewId, SessionId


class TypingSignals:
    """Relays typing for the sessions of this gateway. What cannot be sent is lost: it is worth nothing later."""

    def __init__(self, publisher: Publisher, *, clock: Clock, new_id: NewId) -> None:
        self._publisher = publisher
        self._clock = clock
        self._new_id = new_id
        self._active: dict[tuple[SessionId, ConversationId], tuple[float, SetTyping]] = {}

    def set(self, session_id: SessionId, command: SetTyping, *, expires_s: float) -> None:
        """Relay that a session's user is typing, or has stopped; it counts for so long."""
        key = (session_id, command.conversation_id)
        was_active = self._active.pop(key, None) is not None
        if command.active:
            self._active[key] = (self._clock.monotonic() + expires_s, command)
        if command.active or was_active:
            self._post(command)

    def forget(self, session_id: SessionId) -> None:
        """Take back what a session that ends has left active."""
        self._stop([key for key in self._active if key[0] == session_id])

    def sweep(self) -> None:
        """Take back what was not renewed."""
        now = self._clock.monotonic()
        self._stop([key for key, (expires_at, _) in self._active.items() if expires_at <= now])

    def _stop(self, keys: list[tuple[SessionId, ConversationId]]) -> None:
        for key in keys:
            _, command = self._active.pop(key)
            self._post(replace(command, active=False))

    def _post(self, command: SetTyping) -> None:
        envelope_id = self._new_id()
        envelope = Envelope(id=envelope_id, trace_id=envelope_id, occurred_at=self._clock.now(), body=command)
        with suppress(Unavailable):
            self._publisher.post(SIGNALS_ROUTE, envelope)
