"""What a line that begins with a slash does."""

import shlex
from collections.abc import Awaitable, Callable, Sequence

from client import wording
from client.conversing import Chat
from client.directory import Member
from client.errors import ClientError
from client.rest import WarrenRest
from client.transcript import Line
from client.warren import WarrenClient

HELP = "/help lists the commands, /quit ends; // begins a message with a slash."
_LISTED = 50
_MEMBERS = 200
_MOVES = ("open", "group", "join")
_STATUSES = ("online", "away", "dnd", "invisible")

Remark = Callable[[str], None]


class _Misused(Exception):
    """The command is to be said otherwise; the message is how."""


class Commands:
    """Carries out commands, one at a time. What goes wrong is told in one line."""

    def __init__(self, chat: Chat, client: WarrenClient, rest: WarrenRest, remark: Remark) -> None:
        self._chat = chat
        self._client = client
        self._rest = rest
        self._remark = remark
        self._table: dict[str, tuple[str, str, Callable[[str], Awaitable[None]]]] = {
            "list": ("", "the conversations: number, name, what is unread", self._list),
            "open": ("N|USER", "go to a conversation by its number, or to a user", self._open),
            "group": ("NAME USER…", "make a group and go there", self._group),
            "join": ("ID|NUMBER", "join a conversation and go there", self._join),
            "history": ("", "earlier messages", self._history),
            "edit": ("[N] TEXT", "say the last message, or message N, otherwise", self._edit),
            "delete": ("[N]", "delete the last message, or message N", self._delete),
            "react": ("EMOJI [N]", "react to the last message, or message N; again: take it back", self._react),
            "reply": ("N TEXT", "answer message N", self._reply),
            "who": ("", "the members, who is there, and how far they have read", self._who),
            "members": ("add|remove USER…", "let users in, or out", self._members),
            "rename": ("NAME", "give the conversation another name", self._rename),
            "status": ("online|away|dnd|invisible [TEXT]", "how others see you", self._status),
            "devices": ("", "where you are signed in", self._devices),
            "kick": ("DEVICE", "sign a device out", self._kick),
            "help": ("", "this list", self._help),
        }

    async def run(self, text: str) -> bool:
        """Carry out `/name arguments`; False: the user is not where they wanted to go."""
        name, _, arguments = text.strip().removeprefix("/").partition(" ")
        if name not in self._table:
            self._remark(f"No such command. {HELP}")
            return True
        usage, _, command = self._table[name]
        try:
            await command(arguments.strip())
        except _Misused as error:
            self._remark(str(error) or f"Say it like this: /{name} {usage}")
        except (ClientError, TimeoutError) as error:
            self._remark(wording.failure(error))
        else:
            return True
        return name not in _MOVES

    # --- going places

    async def _help(self, _: str) -> None:
        for name, (usage, what, _command) in self._table.items():
            self._chat.note(f"{f'/{name} {usage}'.rstrip()}: {what}")

    async def _list(self, _: str) -> None:
        page = await self._rest.conversations(limit=_LISTED)
        for conversation in page.conversations:
            self._client.rooms.know(conversation)
            self._chat.note(wording.listed(conversation, self._client.user_id))
        if not page.conversations:
            self._remark("No conversation yet. /open USER begins one.")

    async def _open(self, where: str) -> None:
        (where,) = _words(where, 1)
        if where.isdecimal():
            await self._chat.enter(await self._rest.conversation(where))
        else:
            await self._chat.open(where)
        self._say_where()

    async def _group(self, arguments: str) -> None:
        name, *users = _words(arguments, 2, more=True)
        await self._chat.enter(await self._rest.create_conversation("group", name=name, member_ids=users))
        self._say_where()

    async def _join(self, where: str) -> None:
        (where,) = _words(where, 1)
        await self._chat.enter(await self._rest.set_member(where, self._client.user_id))
        self._say_where()

    async def _history(self, _: str) -> None:
        await self._chat.earlier()

    def _say_where(self) -> None:
        self._remark(f"This is {self._chat.title}.")

    # --- messages

    async def _edit(self, arguments: str) -> None:
        number, _, rest = arguments.partition(" ")
        line = self._chat.transcript.at(int(number)) if number.isdecimal() and rest.strip() else None
        text = rest.strip() if line is not None else arguments
        if not text:
            raise _Misused
        await self._client.edit((line or self._last(own=True)).message_id, text)

    async def _delete(self, number: str) -> None:
        await self._client.delete(self._line(number, own=True).message_id)

    async def _react(self, arguments: str) -> None:
        emoji, *number = _words(arguments, 1, more=True)
        line = self._line(" ".join(number), own=False)
        again = self._client.user_id in line.reactions.get(emoji, ())
        await self._client.react(line.message_id, emoji, remove=again)

    async def _reply(self, arguments: str) -> None:
        number, _, text = arguments.partition(" ")
        if not number or not text.strip():
            raise _Misused
        await self._chat.send(text.strip(), self._line(number, own=False))

    def _line(self, number: str, *, own: bool) -> Line:
        """Find a message by its number, or the last one."""
        if not number:
            return self._last(own=own)
        line = self._chat.transcript.at(int(number)) if number.isdecimal() else None
        if line is None:
            raise _Misused(f"There is no message {number} here.")
        return line

    def _last(self, *, own: bool) -> Line:
        line = self._chat.transcript.last(own=own)
        if line is None:
            raise _Misused("You have said nothing here." if own else "There is no message here.")
        return line

    # --- members

    async def _who(self, _: str) -> None:
        if self._chat.conversation_id is None:
            users = [self._chat.peer] if self._chat.peer is not None else []
            for seen in await self._rest.presence(users):
                self._chat.note(f"{seen.user_id} {wording.presence(seen)}")
            return
        conversation = await self._rest.conversation(self._chat.conversation_id)
        members = (await self._rest.members(conversation.id, limit=_MEMBERS)).members
        there = {each.user_id: each for each in await self._rest.presence(member.user_id for member in members)}
        read = {mark.user_id: mark.read_seq for mark in conversation.watermarks}
        for member in members:
            presence = there.get(member.user_id)
            status = wording.presence(presence) if presence is not None else "unknown"
            up_to = f", read up to [{read[member.user_id]}]" if read.get(member.user_id) else ""
            self._chat.note(f"{_title(member)} {status}{up_to}")
        if conversation.member_count > len(members):
            self._chat.note(f"… {conversation.member_count} in all")

    async def _members(self, arguments: str) -> None:
        verb, *users = _words(arguments, 2, more=True)
        here = self._here()
        if verb == "add":
            await self._rest.add_members(here, users)
        elif verb == "remove":
            for user in users:
                await self._rest.remove_member(here, user)
        else:
            raise _Misused

    async def _rename(self, name: str) -> None:
        if not name:
            raise _Misused
        await self._rest.change_conversation(self._here(), name=name)

    def _here(self) -> str:
        if self._chat.conversation_id is None:
            raise _Misused("There is no conversation here yet; say something first.")
        return self._chat.conversation_id

    # --- oneself

    async def _status(self, arguments: str) -> None:
        status, _, text = arguments.partition(" ")
        if status not in _STATUSES:
            raise _Misused
        await self._client.set_status(status, text.strip())
        self._remark(f"Others see you as {'offline' if status == 'invisible' else status}.")

    async def _devices(self, _: str) -> None:
        for known in await self._rest.devices():
            self._chat.note(wording.device(known))

    async def _kick(self, device_id: str) -> None:
        (device_id,) = _words(device_id, 1)
        await self._rest.sign_out(device_id)
        self._remark(f"{device_id} is signed out.")


def _words(arguments: str, least: int, *, more: bool = False) -> Sequence[str]:
    """Split at spaces, except within quotes."""
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise _Misused("A quotation mark is missing.") from error
    if len(words) < least or (len(words) > least and not more):
        raise _Misused
    return words


def _title(member: Member) -> str:
    return member.user_id if member.role == "member" else f"{member.user_id} ({member.role})"
