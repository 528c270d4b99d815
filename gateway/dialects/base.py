"""What a dialect is: one wire language without I/O. Frames in, requests out; events in, frames out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

import msgspec

from gateway.disconnects import Disconnect
from shared.commands import (
    Acknowledge,
    DeleteMessage,
    EditMessage,
    SendMessage,
    SetReaction,
    SetTyping,
    Status,
)
from shared.errors import ErrorBody, WarrenError
from shared.events import (
    Changed,
    ConversationCreated,
    DeviceInfo,
    Entry,
    MessageFailed,
    Notified,
    ReceiptAdvanced,
    Stored,
    TypingChanged,
)
from shared.history_api import MessagePage, SyncAnswer
from shared.ids import ConversationId, DeviceId, MessageId, NewId, SessionId, UserId
from shared.presence_api import Presence

if TYPE_CHECKING:
    from gateway.dialects.world import SocketWorld

Frame: TypeAlias = str


# --- what a client may ask for, besides the commands


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Who the client is and what it has.

    `claims`: who the client says it is; a token of somebody else is refused, and where devices are open, and there is
    no token, it is believed. `echo` False: what this session sends is not pushed back to it. `takes_over`: an older
    session of the same device and wire is closed.
    """

    token: str | None = None
    claims: UserId | None = None
    device: DeviceInfo | None = None
    since: str | None = None
    echo: bool = True
    takes_over: bool = False


class FetchHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a conversation's messages."""

    conversation_id: ConversationId
    before: int | None = None
    after: int | None = None
    limit: int = 50


class Synchronise(msgspec.Struct, frozen=True, kw_only=True):
    """Everything since a position."""

    since: str | None = None
    versions: dict[ConversationId, int] = {}


class ChooseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Be seen otherwise, on all devices."""

    status: Status
    text: str = ""


class Subscribe(msgspec.Struct, frozen=True, kw_only=True):
    """Be told of the presence of these users from now on, and what it is now."""

    users: tuple[UserId, ...]


class Unsubscribe(msgspec.Struct, frozen=True, kw_only=True):
    """Be told of it no more."""

    users: tuple[UserId, ...]


# Commands may name what they are about as the client did: a conversation or message by its number. Edits, deletions and
# reactions name a message alone: their conversation_id is empty until it is found.
MessageChange: TypeAlias = EditMessage | DeleteMessage | SetReaction
Command: TypeAlias = SendMessage | Acknowledge | SetTyping | MessageChange
UNPLACED = ConversationId("")


@dataclass(frozen=True, slots=True)
class Errand:
    """A wish that takes questions to find out what is wanted, or to do it.

    `run` asks the world and gives what follows: replies, and commands, which are carried out in its place. What it
    raises as a WarrenError refuses the request. `free`: spends no rate, as an acknowledgement does not.
    """

    run: "Callable[[SocketWorld], Awaitable[Sequence[Request | Reply]]]"
    free: bool = False


Ordered: TypeAlias = Command | Errand  # carried out in the order of the frames
Wish: TypeAlias = Ordered | Hello | FetchHistory | Synchronise | ChooseStatus | Subscribe | Unsubscribe


@dataclass(frozen=True, slots=True)
class Request:
    """A wish, and the id of the frame that made it: with one, it gets exactly one answer."""

    wish: Wish
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Frames to send back as they are: the dialect needs nobody to answer."""

    frames: Sequence[Frame]


class BadFrame(Exception):
    """A frame that asks for nothing that can be done. `unreadable`: it was not even a frame of this wire."""

    def __init__(self, error: WarrenError, *, reply_to: str | None = None, unreadable: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.reply_to = reply_to
        self.unreadable = unreadable


# --- what a session is told, besides the events


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The broker has the message safe; whether it is stored follows as a receipt."""

    message_id: MessageId
    conversation_id: ConversationId


class Done(msgspec.Struct, frozen=True):
    """What was asked is done, and there is nothing to tell."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the server takes at most from this client."""

    max_frame_bytes: int
    max_content_bytes: int
    max_metadata_bytes: int
    max_in_flight: int


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """The session is open; pushes begin after `since`."""

    session_id: SessionId
    user_id: UserId
    device_id: DeviceId
    heartbeat_s: float
    since: str
    limits: Limits


class StoredLate(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was answered as accepted is stored now."""

    sender_id: UserId
    at: datetime
    stored: Stored


class Lagged(msgspec.Struct, frozen=True, kw_only=True):
    """Messages from `from_seq` up to just before `before` are not pushed: too many of them; fetch them."""

    conversation_id: ConversationId
    from_seq: int
    before: int | None = None


class Presences(msgspec.Struct, frozen=True, kw_only=True):
    """Who of those asked for is there."""

    presences: tuple[Presence, ...]


Answer: TypeAlias = (
    Stored | Accepted | ConversationCreated | Changed | MessagePage | SyncAnswer | Presences | Welcome | Done
)
Pushed: TypeAlias = Entry | ReceiptAdvanced | TypingChanged | Presence | MessageFailed | Notified | StoredLate | Lagged


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated user, as the sender of what the frames ask for. `role` is the token's."""

    user_id: UserId
    name: str
    device_id: DeviceId
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Telling:
    """Frames that take questions, such as names that the event does not say; what is said later waits for them.

    Where the world is away it is asked again; any other WarrenError leaves nothing to tell.
    """

    frames: "Callable[[SocketWorld], Awaitable[Sequence[Frame]]]"


class Confirms(Enum):
    """What tells that the client has what was written to it, where the gateway keeps its position for it."""

    SPEECH = auto()  # any frame
    ACKS = auto()  # its acknowledgements of messages


@dataclass(frozen=True, slots=True)
class Habits:
    """What clients of a wire do by themselves, and what the gateway does for them.

    `resumes`: they keep their position and say it; else the gateway keeps one for each device, moved on by what
    `confirms` it, and pushes from there when the device comes back.
    `acknowledges`: they say what was delivered; else what was written to them counts as that.
    `fetches`: they can be told (Lagged) to fetch what is too much to push; else they are pushed all of it.
    `beats`: they send a frame now and then; one that is silent for the setting's time is closed.
    `typing_s`: so long they are typing after they have said so.
    `past`: who comes to a conversation is pushed what was said there before, as far as they may read it.
    `follows`: they do not ask for the presence of those whom their user talks to directly, but are told of it.
    """

    resumes: bool = True
    confirms: Confirms = Confirms.SPEECH
    acknowledges: bool = True
    fetches: bool = True
    beats: bool = False
    typing_s: float = 5.0
    past: bool = True
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What the request that opens a connection says. `token`: from ?token=, Authorization or x-access-token."""

    token: str | None = None
    path: Mapping[str, str] = field(default_factory=dict)  # the parameters in the path
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kit:
    """What dialects are made with. `zone` is where wires that write times without a zone are."""

    new_id: NewId
    now: Callable[[], datetime]
    max_frame_bytes: int
    zone: tzinfo = UTC


class Dialect(Protocol):
    """One wire language, without I/O, one instance per session."""

    subprotocols: ClassVar[tuple[str, ...]]  # those it answers to, the best first

    @property
    def name(self) -> str:
        """Name the wire; once the client has said who it is."""
        ...

    @property
    def habits(self) -> Habits:
        """Tell what clients of this wire do by themselves; likewise."""
        ...

    @property
    def variant(self) -> str:
        """Name how events are written here: sessions of one variant share the encoded frames."""
        ...

    def upgraded(self, upgrade: Upgrade) -> Hello | None:
        """Tell who the client is by what its upgrade says; None: its first frame says it. Raises: BadFrame."""
        ...

    def opened(self, caller: Caller) -> None:
        """Take note of who the client turned out to be; again where the user has another name."""
        ...

    def receive(self, frame: Frame | None) -> Sequence[Request | Reply]:
        """Decode one frame; None: it was binary. Raises: BadFrame (the session answers with `refuse`)."""
        ...

    def render(self, event: Pushed) -> Sequence[Frame] | Telling:
        """Encode an event; empty when the dialect has no word for it. Sessions of one variant may share the outcome."""
        ...

    def answer(self, answer: Answer, *, reply_to: str) -> Sequence[Frame] | Telling:
        """Encode what a request came to."""
        ...

    def welcome(self, welcome: Welcome) -> Sequence[Frame]:
        """Encode that the session is open."""
        ...

    def refuse(self, error: ErrorBody, *, reply_to: str | None) -> Sequence[Frame]:
        """Encode why something was not done."""
        ...

    def close(self, disconnect: Disconnect, *, retry_after_ms: int | None) -> Sequence[Frame]:
        """Encode the last words before the close."""
        ...

    def close_code(self, disconnect: Disconnect) -> int:
        """Give the code of the close frame."""
        ...


MakeDialect: TypeAlias = Callable[[Kit], Dialect]
_POLICY = frozenset((Disconnect.UNAUTHENTICATED, Disconnect.TOKEN_EXPIRED, Disconnect.BANNED))


def standard_code(disconnect: Disconnect) -> int:
    """Give the close code for clients that know the standard's alone: 1008 where no valid token was given."""
    return 1008 if disconnect in _POLICY else disconnect.code
