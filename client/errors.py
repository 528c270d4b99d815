"""What can go wrong for a program that uses the client."""

from typing import Self

from client.wire import ErrorBody


class ClientError(Exception):
    """Base of the client's errors."""


class ServerError(ClientError):
    """The server refused one request.

    Attributes: `code` (of the protocol's closed table), `message` (for people), `retry_after_ms`, `details`.
    """

    def __init__(
        self, code: str, message: str, retry_after_ms: int | None = None, details: dict[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.details = details or {}

    @classmethod
    def of(cls, error: ErrorBody) -> Self:
        """Make it from the server's words."""
        return cls(error.code, error.message, error.retry_after_ms, error.details)


class SendFailed(ServerError):
    """A message that had been accepted was given up. It may be sent again under a new client_id."""


class MessageRefused(SendFailed):
    """The server will not take this message; it is queued no more."""

    def __init__(self, code: str, message: str, *, client_id: str) -> None:
        super().__init__(code, message)
        self.client_id = client_id


class QueueUnavailable(ClientError):
    """The file that keeps what is to be sent cannot be read or written."""


class ConnectionLost(ClientError):
    """The connection went away before the answer came; the request may or may not have been carried out."""


class Closed(ClientError):
    """The client is closed, or the server has shut it out for good: `code` is the WebSocket close code, if any."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Unreachable(ClientError):
    """No connection could be made in time."""


class OutboxFull(ClientError):
    """Too many messages wait for their answer; wait for some before sending more."""


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the first error of a group that is not itself a group."""
    first = group.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first
