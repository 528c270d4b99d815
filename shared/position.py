"""How far one reader of a user's conversations has come: the judge of repeats and gaps, and the `since` token."""

import base64
import binascii
import zlib
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import msgspec

from shared.errors import Invalid
from shared.events import Entry
from shared.ids import ConversationId

# A change is visible at most this long after the time it is stamped with: longer than history's deadline for one
# write plus the clocks' skew. A position therefore trusts times only up to now − SETTLE, and versions after that.
SETTLE = timedelta(seconds=30)
MAX_TOKEN_BYTES = 96 * 1024  # less than a frame may have; some 3,500 conversations, more than a sync puts there
_MAX_PLAIN_BYTES = 1024 * 1024  # of a token's content: a small token must not become a large object
_EPOCH = datetime.fromtimestamp(0, UTC)


class Verdict(Enum):
    """What an event is to a reader."""

    NEXT = auto()
    REPEAT = auto()
    GAP = auto()  # something before it is missing: fetch from history first


class _Token(msgspec.Struct, array_like=True, omit_defaults=True):
    floor_ms: int
    versions: dict[ConversationId, int]
    given_ms: int | None = None


class Position:
    """Everything that changed up to `floor` is had; of the conversations in `versions`, everything up to that version.

    A conversation that is not in `versions` had no change between `floor` and the moment the position was taken.

    `given` is set in the middle of a long sync, where `versions` would become too many: a conversation that is not
    among them and has not changed since `given` is had too.
    """

    __slots__ = ("floor", "given", "versions")

    def __init__(
        self, floor: datetime, versions: dict[ConversationId, int] | None = None, *, given: datetime | None = None
    ) -> None:
        self.floor = floor
        self.given = given
        self.versions: dict[ConversationId, int] = versions if versions is not None else {}

    def judge(self, event: Entry) -> Verdict:
        """Tell whether the event comes next, was had already, or leaves a gap."""
        return self.judge_version(event.conversation_id, event.version, event)

    def judge_version(self, conversation_id: ConversationId, version: int, event: Entry) -> Verdict:
        """Tell the same of an event whose conversation and version are at hand."""
        last = self.versions.get(conversation_id)
        if last is not None:
            if version == last + 1:
                return Verdict.NEXT
            return Verdict.REPEAT if version <= last else Verdict.GAP
        if event.at <= self.floor:
            return Verdict.REPEAT
        if event.previous_at is None or event.previous_at <= self.floor:
            return Verdict.NEXT
        return Verdict.GAP

    def advance(self, conversation_id: ConversationId, version: int) -> None:
        """Note that everything of the conversation up to `version` is had; never goes back."""
        if version > self.versions.get(conversation_id, 0):
            self.versions[conversation_id] = version

    def token(self) -> str:
        """Write the position as the opaque `since` of the wire."""
        given_ms = None if self.given is None else _milliseconds(self.given)
        token = _Token(floor_ms=_milliseconds(self.floor), versions=self.versions, given_ms=given_ms)
        return base64.urlsafe_b64encode(zlib.compress(msgspec.msgpack.encode(token))).decode().rstrip("=")

    @classmethod
    def from_token(cls, token: str) -> "Position":
        """Read a `since`: the client's own claim of what it has, checked for form only. Raises: Invalid.

        The id of a server-sent event may say more, behind a `~`.
        """
        token = token.partition("~")[0]
        if len(token) > MAX_TOKEN_BYTES:
            raise Invalid("The since token is too long; sync without one.", length=len(token))
        return cls._read(token, _MAX_PLAIN_BYTES)

    @classmethod
    def from_history(cls, token: str) -> "Position":
        """Read a `since` that history has answered with: of a busy user it may be longer than a client may send."""
        return cls._read(token, 0)

    @classmethod
    def _read(cls, token: str, max_plain_bytes: int) -> "Position":
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            read = msgspec.msgpack.decode(_plain(raw, max_plain_bytes), type=_Token)
            floor = _EPOCH + timedelta(milliseconds=read.floor_ms)
            given = None if read.given_ms is None else _EPOCH + timedelta(milliseconds=read.given_ms)
        except (binascii.Error, msgspec.MsgspecError, ValueError, OverflowError, zlib.error) as error:
            raise Invalid("The since token is not one of this server's; sync without one.") from error
        return cls(floor, read.versions, given=given)


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _plain(compressed: bytes, max_bytes: int) -> bytes:
    """Unpack the content of a token; `max_bytes` 0: whatever its length."""
    reader = zlib.decompressobj()
    plain = reader.decompress(compressed, max_bytes)
    if not reader.eof:
        raise ValueError("The token is cut off, or its content is too long.")
    return plain
