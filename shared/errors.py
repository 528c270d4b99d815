"""Every error that Warren answers with: one tree, one closed table of codes."""

from enum import StrEnum
from typing import ClassVar

import msgspec


class FailureKind(StrEnum):
    """What a failed item of work deserves; decided in `shared.broker.dispatch`."""

    PERMANENT = "permanent"  # it can never succeed: ack, and tell the sender why
    TRANSIENT = "transient"  # this item may succeed later: retry ladder, then dead letter
    OUTAGE = "outage"  # nothing can succeed now: hold the shard and back off in place
    MALFORMED = "malformed"  # it cannot be read: dead letter at once


class ErrorCode(StrEnum):
    """The closed table of codes a client can see, each with its HTTP status."""

    http_status: int

    def __new__(cls, code: str, http_status: int) -> "ErrorCode":  # noqa: D102  # read by EnumType alone
        member = str.__new__(cls, code)
        member._value_ = code
        member.http_status = http_status
        return member

    INVALID = "invalid", 400
    UNKNOWN_TYPE = "unknown_type", 400
    UNAUTHENTICATED = "unauthenticated", 401
    TOKEN_EXPIRED = "token_expired", 401
    FORBIDDEN = "forbidden", 403
    NOT_A_MEMBER = "not_a_member", 403
    NOT_FOUND = "not_found", 404
    CONFLICT = "conflict", 409
    TOO_LARGE = "too_large", 413
    INVALID_FIELD = "invalid_field", 422
    RATE_LIMITED = "rate_limited", 429
    INTERNAL = "internal", 500
    UNAVAILABLE = "unavailable", 503


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as every client reads it.

    Format::
        {"code": "rate_limited", "message": "Too many messages.", "retry_after_ms": 250, "details": {"limit": "200"}}
    """

    code: str
    message: str
    retry_after_ms: int | None = None
    details: dict[str, str] = {}


class WarrenError(Exception):
    """An error that can be answered: what was wrong, with which value, what to do."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    kind: ClassVar[FailureKind] = FailureKind.PERMANENT

    def __init__(self, message: str, *, retry_after_ms: int | None = None, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.details = {name: str(value) for name, value in details.items()}

    def body(self) -> ErrorBody:
        """Give the error as clients read it."""
        return ErrorBody(
            code=self.code.value, message=self.message, retry_after_ms=self.retry_after_ms, details=self.details
        )


class Invalid(WarrenError):
    """The request makes no sense as it stands."""

    code = ErrorCode.INVALID


class UnknownType(Invalid):
    """A frame of a type that this wire does not have."""

    code = ErrorCode.UNKNOWN_TYPE


class InvalidField(Invalid):
    """A field is missing, of the wrong type, or out of its bounds; `details["path"]` names it."""

    code = ErrorCode.INVALID_FIELD


class Unauthenticated(WarrenError):
    """No token, or one that proves nothing."""

    code = ErrorCode.UNAUTHENTICATED


class TokenExpired(Unauthenticated):
    """A token that was good once."""

    code = ErrorCode.TOKEN_EXPIRED


class SignedOut(Unauthenticated):
    """A token from before its device was signed out."""


class Forbidden(WarrenError):
    """The caller may not do this."""

    code = ErrorCode.FORBIDDEN


class NotAMember(Forbidden):
    """The caller is not in the conversation."""

    code = ErrorCode.NOT_A_MEMBER


class NotFound(WarrenError):
    """There is nothing by that id, or nothing the caller may know of."""

    code = ErrorCode.NOT_FOUND


class Conflict(WarrenError):
    """The request contradicts what is there."""

    code = ErrorCode.CONFLICT


class TooLarge(WarrenError):
    """A frame, a message or a field over its limit."""

    code = ErrorCode.TOO_LARGE


class RateLimited(WarrenError):
    """Too much from one user or connection; `retry_after_ms` says when to go on."""

    code = ErrorCode.RATE_LIMITED


class Failed(WarrenError):
    """One item failed and may succeed later."""

    code = ErrorCode.INTERNAL
    kind = FailureKind.TRANSIENT


class Unavailable(WarrenError):
    """A part that is needed cannot be reached; `retry_after_ms` says when to try again."""

    code = ErrorCode.UNAVAILABLE
    kind = FailureKind.OUTAGE


class StoreUnavailable(Unavailable):
    """MongoDB cannot be reached, or does not answer in time."""


class BrokerUnavailable(Unavailable):
    """RabbitMQ cannot be reached, lost the channel, or did not confirm in time."""


class Unroutable(Failed):
    """No queue takes this message: whoever should have read it is gone."""


class QueueFull(Unavailable):
    """A bounded queue refuses more."""

    kind = FailureKind.TRANSIENT


class Malformed(WarrenError):
    """A message on the broker that cannot be decoded, or that nobody here handles."""

    code = ErrorCode.INVALID
    kind = FailureKind.MALFORMED


_BY_CODE: dict[str, type[WarrenError]] = {
    kind.code.value: kind
    for kind in (
        *(Invalid, UnknownType, InvalidField, Unauthenticated, TokenExpired, Forbidden, NotAMember),
        *(NotFound, Conflict, TooLarge, RateLimited, Failed, Unavailable),
    )
}


def error_of(body: ErrorBody) -> WarrenError:
    """Give the error that another service answered with."""
    return _BY_CODE[body.code](body.message, retry_after_ms=body.retry_after_ms, **body.details)
