"""History and presence as query ports whose answers a test decides."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from shared.errors import Conflict, Invalid, NotAMember, NotFound, StoreUnavailable, Unavailable
from shared.events import Message
from shared.history_api import (
    Conversation,
    ConversationPage,
    Member,
    MemberList,
    MemberPage,
    MessagePage,
    MessagePlace,
    MessageSearch,
    Receipt,
    SyncAnswer,
    SyncQuery,
)
from shared.ids import ConversationId, DeviceId, MessageId, UserId
from shared.position import Position
from shared.presence_api import (
    Account,
    Device,
    DevicePosition,
    Here,
    Login,
    Presence,
    Profile,
    ProfileChange,
    ProfilePage,
    Registration,
)
from tests.fakes.clock import START

K = TypeVar("K")
V = TypeVar("V")

STRANGE = "strange"  # a cursor that no fake gives


class FakeHistory:
    """A `HistoryQueries`. `down`: nothing is answered; `gate`: answers wait until it is set."""

    def __init__(self) -> None:
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.at = Position(START)
        self.answers: list[SyncAnswer] = []
        self.asked: list[SyncQuery] = []
        self.known: dict[ConversationId, Conversation] = {}
        self.page = MessagePage(messages=(), watermarks=(), has_more=False)
        self.counts: dict[ConversationId, int] = {}
        self.numbers: dict[int, ConversationId] = {}
        self.places: dict[MessageId | int, MessagePlace] = {}
        self.sought: list[MessageId | int] = []
        self.receipts_of: dict[tuple[ConversationId, int], tuple[Receipt, ...]] = {}
        self.members_of: dict[ConversationId, tuple[Member, ...]] = {}
        self.channels_of: dict[ConversationId, tuple[Conversation, ...]] = {}
        self.lists: dict[ConversationId, MemberList] = {}
        self.names: dict[str, ConversationId] = {}
        self.open: dict[ConversationId, Conversation] = {}  # whoever asks may join these
        self.findings: tuple[Message, ...] = ()
        self.searches: list[MessageSearch] = []
        self.closed: set[ConversationId] = set()  # nobody who asks is in these
        self.asked_messages: list[tuple[ConversationId, int | None, int | None]] = []  # before, after

    async def _ready(self) -> None:
        await self.gate.wait()
        if self.down:
            raise StoreUnavailable("The fake history was told to be down.")

    async def _let_in(self, conversation_id: ConversationId) -> None:
        await self._ready()
        if conversation_id in self.closed:
            raise NotAMember("You are not in this conversation.")

    async def position(self, user_id: UserId) -> Position:
        await self._ready()
        return Position(self.at.floor, dict(self.at.versions))

    async def sync(self, query: SyncQuery) -> SyncAnswer:
        self.asked.append(query)
        await self._ready()
        if query.since is not None:
            Position.from_token(query.since)
        if self.answers:
            return self.answers.pop(0)
        return SyncAnswer(conversations=(), since=query.since or self.at.token())

    async def conversations(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        await self._ready()
        _check(cursor)
        return ConversationPage(conversations=tuple(self.known.values())[:limit], next_cursor=None)

    async def conversation(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        await self._let_in(conversation_id)
        if conversation_id not in self.known:
            raise NotFound("There is no such conversation.")
        return self.known[conversation_id]

    async def messages(
        self, user_id: UserId, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> MessagePage:
        self.asked_messages.append((conversation_id, before, after))
        await self._let_in(conversation_id)
        return self.page

    async def unread(self, user_id: UserId) -> dict[ConversationId, int]:
        await self._ready()
        return self.counts

    async def receipts(self, user_id: UserId, conversation_id: ConversationId, seq: int) -> tuple[Receipt, ...]:
        await self._let_in(conversation_id)
        return _known(self.receipts_of, (conversation_id, seq))

    async def member_page(
        self, user_id: UserId, conversation_id: ConversationId, *, limit: int, cursor: str | None
    ) -> MemberPage:
        await self._let_in(conversation_id)
        _check(cursor)
        members, skip = _known(self.members_of, conversation_id), int(cursor or 0)
        more = str(skip + limit) if skip + limit < len(members) else None
        return MemberPage(members=members[skip : skip + limit], next_cursor=more)

    async def channels(self, user_id: UserId, space_id: ConversationId) -> tuple[Conversation, ...]:
        await self._let_in(space_id)
        return _known(self.channels_of, space_id)

    async def conversation_numbered(self, user_id: UserId, number: int) -> ConversationId:
        await self._ready()
        return _known(self.numbers, number)

    async def message_place(self, user_id: UserId, message: MessageId | int) -> MessagePlace:
        self.sought.append(message)
        await self._ready()
        return _known(self.places, message)

    async def find_messages(self, search: MessageSearch) -> tuple[Message, ...]:
        self.searches.append(search)
        await self._ready()
        if search.conversation_id is not None:
            await self._let_in(search.conversation_id)
        return self.findings[: search.limit]

    async def conversation_named(self, user_id: UserId, name: str) -> ConversationId:
        await self._ready()
        return _known(self.names, name)

    async def open_channels(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        await self._ready()
        _check(cursor)
        return ConversationPage(conversations=tuple(self.open.values())[:limit], next_cursor=None)

    async def open_channel(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        await self._ready()
        return _known(self.open, conversation_id)

    async def members(self, conversation_id: ConversationId) -> MemberList:
        await self._ready()
        return _known(self.lists, conversation_id)


class FakePresence:
    """A `PresenceQueries`. `down`: nothing is answered; `gate`: answers wait until it is set."""

    def __init__(self) -> None:
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.here: dict[UserId, Presence] = {}
        self.accounts: dict[UserId, Account] = {}
        self.people: dict[UserId, Profile] = {}
        self.devices_of: dict[UserId, tuple[Device, ...]] = {}
        self.asked_accounts: list[tuple[UserId, str | None]] = []
        self.asked_presence: list[tuple[UserId, ...]] = []
        self.signed_out: list[tuple[UserId, DeviceId]] = []
        self.changes: list[tuple[UserId, ProfileChange]] = []
        self.there: tuple[Here, ...] = ()
        self.positions: dict[tuple[UserId, DeviceId], DevicePosition] = {}
        self.logins: dict[UserId, Login] = {}

    async def _ready(self) -> None:
        await self.gate.wait()
        if self.down:
            raise Unavailable("The fake presence was told to be down.")

    async def presence_of(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        self.asked_presence.append(tuple(user_ids))
        await self._ready()
        return {user_id: self.here[user_id] for user_id in user_ids if user_id in self.here}

    async def account(self, user_id: UserId, name: str | None) -> Account:
        self.asked_accounts.append((user_id, name))
        await self._ready()
        return self.accounts.get(user_id) or Account(user_id=user_id, name=name or user_id)

    async def profiles(self, user_ids: Sequence[UserId]) -> dict[UserId, Profile]:
        await self._ready()
        return {user_id: self.people[user_id] for user_id in user_ids if user_id in self.people}

    async def search(self, text: str, *, limit: int, cursor: str | None) -> ProfilePage:
        await self._ready()
        _check(cursor)
        found = sorted(
            (one for one in self.people.values() if one.user_id.startswith(text) and one.user_id > (cursor or "")),
            key=lambda one: one.user_id,
        )
        more = found[limit - 1].user_id if len(found) > limit else None
        return ProfilePage(users=tuple(found[:limit]), next_cursor=more)

    async def change_profile(self, user_id: UserId, change: ProfileChange) -> Profile:
        await self._ready()
        self.changes.append((user_id, change))
        taken = {one.username for one in self.people.values() if one.user_id != user_id and one.username is not None}
        if change.username in taken:
            raise Conflict("The username is taken.")
        wanted = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not msgspec.UNSET}
        changed = self.people[user_id] = msgspec.structs.replace(_known(self.people, user_id), **wanted)
        return changed

    async def devices(self, user_id: UserId) -> tuple[Device, ...]:
        await self._ready()
        return self.devices_of.get(user_id, ())

    async def sign_out(self, user_id: UserId, device_id: DeviceId, *, known: bool = True) -> None:
        await self._ready()
        if known and all(device.info.id != device_id for device in self.devices_of.get(user_id, ())):
            raise NotFound("There is no such device.")
        self.signed_out.append((user_id, device_id))

    async def online(self, *, limit: int) -> tuple[Here, ...]:
        await self._ready()
        return self.there[:limit]

    async def position(self, user_id: UserId, device_id: DeviceId) -> str | None:
        await self._ready()
        kept = self.positions.get((user_id, device_id))
        return None if kept is None else kept.since

    async def keep_positions(self, positions: Sequence[DevicePosition]) -> None:
        await self._ready()
        self.positions |= {(each.user_id, each.device_id): each for each in positions}

    async def register(self, registration: Registration) -> Login:
        await self._ready()
        for field in ("username", "email"):
            if getattr(registration, field).lower() in {getattr(each, field).lower() for each in self.logins.values()}:
                raise Conflict(f"The {field} is taken.", field=field)
        user_id = UserId(str(len(self.logins) + 1))
        given = msgspec.structs.asdict(registration)
        login = self.logins[user_id] = Login(user_id=user_id, created_at=START, **given)
        return login

    async def login(self, name: str) -> Login | None:
        await self._ready()
        return next(
            (each for each in self.logins.values() if name.lower() in (each.username.lower(), each.email.lower())), None
        )

    async def login_of(self, user_id: UserId) -> Login | None:
        await self._ready()
        return self.logins.get(user_id)


def _check(cursor: str | None) -> None:
    if cursor == STRANGE:
        raise Invalid("The cursor is not one of this server's.")


def _known(answers: dict[K, V], key: K) -> V:
    if key not in answers:
        raise NotFound("The fake was not told of it.")
    return answers[key]
