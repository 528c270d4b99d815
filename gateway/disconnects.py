"""Why the server closes a socket: the closed table of close codes. The code tells whether to reconnect."""

from enum import Enum

RECONNECT = range(3000, 3100)  # the codes


class Disconnect(Enum):
    """A close code with its reason. 3000 to 3099: reconnect, to any gateway; 3500 to 3599: do not."""

    DRAIN = 3000, "This gateway is stopping."
    SLOW = 3001, "Too much waits to be read."
    HEARTBEAT = 3002, "Nothing was heard from the client."
    INTERNAL = 3003, "Something went wrong here."
    CROWDED = 3004, "Too many connections of this user or address."
    UNAUTHENTICATED = 3500, "No valid token was given."
    TOKEN_EXPIRED = 3501, "The token has expired."
    KICKED = 3502, "This device was signed out."
    REPLACED = 3503, "Another device of this user took this one's place."
    PROTOCOL_ERRORS = 3504, "Too many frames in a row could not be read."
    BANNED = 3505, "This user may not connect."
    TOO_MANY_DEVICES = 3506, "This user has as many devices connected as may be."

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason

    @property
    def reconnect(self) -> bool:
        """Whether the client should try again."""
        return self.code in RECONNECT
