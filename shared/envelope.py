"""The envelope: how commands and events travel on the broker, several in one AMQP message."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import msgspec

from shared import commands, events
from shared.errors import Malformed
from shared.ids import GatewayId

Body: TypeAlias = (
    commands.SendMessage
    | commands.Acknowledge
    | commands.CreateConversation
    | commands.EditMessage
    | commands.DeleteMessage
    | commands.SetReaction
    | commands.ChangeConversation
    | commands.SetMembers
    | commands.RemoveMember
    | commands.SetTyping
    | commands.SetStatus
    | events.MessageStored
    | events.MessageEdited
    | events.MessageDeleted
    | events.ReactionChanged
    | events.ConversationChanged
    | events.ReceiptAdvanced
    | events.MessageFailed
    | events.Notified
    | events.TypingChanged
    | events.Stored
    | events.ConversationCreated
    | events.Changed
    | events.Rejected
    | events.Handoff
    | events.SessionOpened
    | events.SessionClosed
    | events.SessionsAnnounced
    | events.GatewayRefreshed
    | events.GatewayStopped
    | events.SessionsWanted
    | events.SessionsRouted
    | events.PresenceChanged
    | events.ProfileChanged
    | events.DeviceSignedOut
    | events.ReplicaRefreshed
    | events.ReplicaStopped
)


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One command or event on its way.

    Format::
        {"id": "0193…", "trace_id": "0193…", "occurred_at": "2026-01-01T00:00:00Z", "version": 1, "attempt": 1,
         "reply_to": "gw-1", "body": {"@type": "SendMessage", …}}

    A batch on the broker is a JSON array of these: JSON, so that a dead letter can be read by eye.
    """

    id: str  # answers carry the id of what they answer
    trace_id: str
    occurred_at: datetime
    body: Body
    version: int = 1
    attempt: int = 1  # counts deliveries to a handler; the retry ladder raises it
    reply_to: GatewayId | None = None
    error: str | None = None  # what the attempt before this one failed with


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(list[Envelope])
_ONE = msgspec.json.Decoder(Envelope)
_PARTS = msgspec.json.Decoder(list[msgspec.Raw])
# What msgspec raises for a body that is none: also for text that has no UTF-8, and for JSON nested too deep.
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
VERSION = 1


def encode(envelope: Envelope) -> bytes:
    """Encode one envelope, without the array around it."""
    return _ENCODER.encode(envelope)


def join(encoded: Sequence[bytes]) -> bytes:
    """Make the body of one AMQP message from encoded envelopes."""
    return b"[" + b",".join(encoded) + b"]"


def decode_batch(body: bytes) -> tuple[list[Envelope], list[tuple[bytes, Malformed]]]:
    """Read the body of one AMQP message: what can be read, in order, and each unreadable part with the reason.

    Never raises: a poisoned part must not take its neighbours with it.
    """
    try:
        batch = _DECODER.decode(body)
    except _UNREADABLE:
        return _decode_parts(body)
    if all(envelope.version == VERSION for envelope in batch):
        return batch, []
    return _decode_parts(body)


def _decode_parts(body: bytes) -> tuple[list[Envelope], list[tuple[bytes, Malformed]]]:
    try:
        parts = _PARTS.decode(body)
    except _UNREADABLE as error:
        return [], [(body, Malformed(f"Not a JSON array of envelopes: {error}"))]
    good: list[Envelope] = []
    bad: list[tuple[bytes, Malformed]] = []
    for part in parts:
        try:
            envelope = _ONE.decode(part)
        except _UNREADABLE as error:
            bad.append((bytes(part), Malformed(f"Not an envelope: {error}")))
            continue
        if envelope.version == VERSION:
            good.append(envelope)
        else:
            bad.append((bytes(part), Malformed(f"Envelope version {envelope.version}, this release reads {VERSION}.")))
    return good, bad
