"""What comes from the gateway's queue, and who takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.accounts import Accounts
from gateway.advances import Advances
from gateway.announcer import Announcer
from gateway.catch_up import CatchUps
from gateway.disconnects import Disconnect
from gateway.hub import Hub
from gateway.ingress import Answered, Ingress
from gateway.known import People, Rooms
from gateway.watching import Watchers
from shared.broker.api import NO_FAILURES, Failures, Handler, Received
from shared.clock import Clock
from shared.commands import SetStatus
from shared.events import (
    Changed,
    ConversationChange,
    ConversationChanged,
    ConversationCreated,
    DeviceSignedOut,
    GatewayRefreshed,
    GatewayStopped,
    Handoff,
    MessageFailed,
    Notified,
    PresenceChanged,
    ProfileChanged,
    ReceiptAdvanced,
    Rejected,
    SessionClosed,
    SessionOpened,
    SessionsAnnounced,
    SessionsRouted,
    SessionsWanted,
    SignOutReason,
    Stored,
    TypingChanged,
)

_SIGNED_OUT = {
    SignOutReason.KICKED: Disconnect.KICKED,
    SignOutReason.REPLACED: Disconnect.REPLACED,
    SignOutReason.REFUSED: Disconnect.TOO_MANY_DEVICES,
}


@dataclass(frozen=True, slots=True)
class AnswerAskers:
    """Give history's answers to those who asked. Idempotent: by envelope id, the first answer ends the matter."""

    ingress: Ingress

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Answer a batch."""
        answers: list[tuple[str, Answered | Rejected]] = []
        for received in batch:
            body = received.envelope.body
            if isinstance(body, Stored | ConversationCreated | Changed | Rejected):
                answers.append((received.envelope.id, body))
        self.ingress.answer(answers)
        return NO_FAILURES


@dataclass(frozen=True, slots=True)
class PushHandoffs:
    """Push what delivery hands over. Idempotent: each session's position drops what it has."""

    hub: Hub
    rooms: Rooms
    clock: Clock

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Push a batch, in order."""
        now = self.clock.now()
        for received in batch:
            match received.envelope.body:
                case Handoff(recipients=recipients, event=TypingChanged(user_id=typist) as event):
                    self.hub.push(event, (recipient for recipient in recipients if recipient != typist))
                case Handoff(recipients=recipients, event=event):
                    if isinstance(event, ConversationChanged):
                        self.rooms.changed(event, recipients)
                    self.hub.push(event, recipients, now)
                    if isinstance(event, ConversationChanged) and event.change is ConversationChange.MEMBER_REMOVED:
                        self._left(event)
        return NO_FAILURES

    def _left(self, event: ConversationChanged) -> None:
        for user_id in event.user_ids:
            for session in self.hub.of_user(user_id):
                session.left(event.conversation_id)


@dataclass(frozen=True, slots=True)
class ReplaceSessions:
    """Close what a session on another gateway takes over from. Idempotent: by the times of opening."""

    hub: Hub

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Close the sessions of a batch."""
        for received in batch:
            match received.envelope.body:
                case SessionOpened(session=session):
                    self.hub.replace(session)
                case SessionsAnnounced(sessions=sessions):
                    for session in sessions:
                        self.hub.replace(session)
        return NO_FAILURES


@dataclass(frozen=True, slots=True)
class PushReceipts:
    """Push receipts, and what operators tell, to those who are here. Idempotent: by watermark, and by id."""

    hub: Hub
    advances: Advances

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Push a batch, in order."""
        for received in batch:
            match received.envelope.body:
                case ReceiptAdvanced(audience=audience) as event:
                    self.hub.push(event, audience)
                    self.advances.advanced(event)
                case MessageFailed(sender_id=sender_id) as event:
                    self.hub.push(event, (sender_id,))
                case Notified(user_ids=user_ids) as event:
                    self.hub.push(event, user_ids)
        return NO_FAILURES


@dataclass(frozen=True, slots=True)
class PushPresence:
    """Tell who watches a user how they are seen now. Idempotent: it is the whole truth each time."""

    watchers: Watchers

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Push a batch, in order."""
        for received in batch:
            if isinstance(received.envelope.body, PresenceChanged):
                self.watchers.changed(received.envelope.body)
        return NO_FAILURES


@dataclass(frozen=True, slots=True)
class Rename:
    """Let users be known by the names of their profiles. Idempotent: by the name."""

    hub: Hub
    accounts: Accounts
    people: People

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Rename the sessions of a batch, in order."""
        for received in batch:
            if isinstance(received.envelope.body, ProfileChanged):
                event = received.envelope.body
                self.accounts.renamed(event)
                self.people.changed(event)
                for session in self.hub.of_user(event.user_id):
                    session.rename(event.name)
        return NO_FAILURES


@dataclass(frozen=True, slots=True)
class SignDevicesOut:
    """Close the sessions that a device had when it was signed out. Idempotent: those that come later stay."""

    hub: Hub
    accounts: Accounts

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Close the sessions of a batch."""
        for received in batch:
            if isinstance(received.envelope.body, DeviceSignedOut):
                event = received.envelope.body
                self.accounts.signed_out(event)
                for session in self.hub.of_user(event.user_id):
                    if session.must_end_by(event):
                        session.close(_SIGNED_OUT[event.reason])
        return NO_FAILURES


@dataclass(frozen=True, slots=True)
class AnnounceSessions:
    """Tell who asks which sessions are here. Idempotent: it is the whole truth each time."""

    announcer: Announcer

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Announce once for the whole batch."""
        await self.announcer.announce_all()
        return NO_FAILURES


@dataclass(frozen=True, slots=True)
class CatchUpRouted:
    """Catch up the sessions that a delivery replica routes to from now on. Idempotent: nothing is pushed twice."""

    hub: Hub
    catch_ups: CatchUps

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Ask for it; the sessions wait for it on their own."""
        for received in batch:
            if isinstance(received.envelope.body, SessionsRouted):
                for session_id in received.envelope.body.session_ids:
                    session = self.hub.get(session_id)
                    if session is not None:
                        self.catch_ups.request(session.feed)
        return NO_FAILURES


@dataclass(frozen=True, slots=True)
class Ignore:
    """What the sessions fanout brings to a gateway and is meant for others."""

    async def __call__(self, batch: Sequence[Received], /) -> Failures:
        """Do nothing."""
        return NO_FAILURES


def handlers(
    *,
    ingress: Ingress,
    hub: Hub,
    announcer: Announcer,
    catch_ups: CatchUps,
    watchers: Watchers,
    accounts: Accounts,
    people: People,
    rooms: Rooms,
    advances: Advances,
    clock: Clock,
) -> Mapping[type, Handler]:
    """List the handlers; a batch is handled in this order, so a sender reads the reply before the message."""
    answer = AnswerAskers(ingress)
    push_receipts = PushReceipts(hub, advances)
    replace_sessions = ReplaceSessions(hub)
    ignore = Ignore()
    return {
        Stored: answer,
        Rejected: answer,
        ConversationCreated: answer,
        Changed: answer,
        Handoff: PushHandoffs(hub, rooms, clock),
        ReceiptAdvanced: push_receipts,
        MessageFailed: push_receipts,
        Notified: push_receipts,
        SessionsRouted: CatchUpRouted(hub, catch_ups),
        SessionsWanted: AnnounceSessions(announcer),
        PresenceChanged: PushPresence(watchers),
        ProfileChanged: Rename(hub, accounts, people),
        DeviceSignedOut: SignDevicesOut(hub, accounts),
        SetStatus: ignore,
        SessionOpened: replace_sessions,
        SessionsAnnounced: replace_sessions,
        SessionClosed: ignore,
        GatewayRefreshed: ignore,
        GatewayStopped: ignore,
    }
