"""The HTTP answer to a command that came to nothing."""

from starlette.requests import HTTPConnection

from gateway.ingress import Outcome
from shared.errors import ErrorBody, ErrorCode, Unavailable
from shared.http import StructResponse

_STATUS = {code.value: code.http_status for code in ErrorCode}


class Refused(Exception):
    """A command came to nothing; raised where a route has more to do after it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def refusal(outcome: Outcome) -> StructResponse:
    """Answer with history's own error; what is merely accepted is not there yet."""
    body = outcome if isinstance(outcome, ErrorBody) else Unavailable("It is not made yet.", retry_after_ms=1000).body()
    return StructResponse(body, status_code=_STATUS[body.code])


async def answer_refused(_: HTTPConnection, error: Exception) -> StructResponse:
    """Answer for a route that raised Refused."""
    assert isinstance(error, Refused)
    return refusal(error.outcome)
