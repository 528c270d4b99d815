"""One chat: what is typed becomes messages, what happens becomes lines of the transcript of one conversation."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, assert_never

from client import wording
from client.errors import ClientError
from client.events import (
    ConnectionChanged,
    ConversationChanged,
    Event,
    EventsDropped,
    MessageDeleted,
    MessageEdited,
    MessageFailed,
    MessageReceived,
    PresenceChanged,
    ReactionChanged,
    ReceiptAdvanced,
    Stale,
    Truncated,
    Typing,
)
from client.rest import WarrenRest
from client.transcript import Line, Transcript
from client.warren import WarrenClient
from client.wire import Conversation, Message, Room, Stage

HISTORY_PAGE = 30
MAX_WATCHED = 100  # members of the conversation whose presence is asked for
TYPING_EVERY_S = 3.0  # the server forgets after 5 s

# A line that is new or has changed, a remark, the connection; None: something else to look at again.
Show = Callable[[Line | str | ConnectionChanged | None], None]
Start = Callable[[Coroutine[Any, Any, None]], None]  # of what nobody waits for


class Chat:
    """The state of a chat and its moves; a view shows it. It is in one conversation at a time.

    A direct conversation that does not exist yet is known by its `peer` alone.
    """

    def __init__(self, client: WarrenClient, rest: WarrenRest, show: Show, start: Start) -> None:
        self._client = client
        self._rest = rest
        self._show = show
        self._start = start
        self._typed_at = 0.0
        self.peer: str | None = None  # of a direct conversation
        self.conversation_id: str | None = None
        self.title = ""
        self.transcript = Transcript(client.user_id)
        self.connection = ConnectionChanged(client.state)

    @property
    def user_id(self) -> str:
        """Who we are."""
        return self._client.user_id

    def presence_of_peer(self) -> PresenceChanged | None:
        """Tell whether the other one of a direct conversation is there, as far as that is known."""
        return self._client.presences.get(self.peer) if self.peer is not None else None

    # --- moves

    async def open(self, peer: str) -> None:
        """Go to the direct conversation with a user. Raises: ClientError, TimeoutError."""
        conversation = await self._find(peer)
        if conversation is not None:
            await self.enter(conversation)
        else:
            self._go_to(None, peer, peer)
            self._watch()

    async def enter(self, conversation: Conversation) -> None:
        """Go to a conversation and show its last messages. Raises: ClientError, TimeoutError."""
        others = [member for member in conversation.members if member != self.user_id]
        peer = others[0] if conversation.kind == "direct" and others else None
        self._go_to(conversation.id, peer, wording.title(conversation, self.user_id))
        self._meet(conversation)
        self.transcript.marked(conversation.watermarks)
        if conversation.kind != "space":
            await self._page()
        self._watch()

    async def earlier(self) -> None:
        """Show a page of messages before the first that is shown. Raises: ClientError, TimeoutError."""
        if not await self._page():
            self._show("Nothing before this.")

    async def watch(self) -> None:
        """Show what happens. Raises: Closed, when the server wants no more of us."""
        async for event in self._client:
            try:
                await self._on(event)
            except (ClientError, TimeoutError) as error:
                self._show(f"Not all can be shown: {wording.failure(error)}")

    async def send(self, text: str, reply_to: Line | None = None) -> None:
        """Send a message and show how it fares."""
        client_id = uuid.uuid4().hex
        transcript, target = self.transcript, self._target()
        line = transcript.write(client_id, text, reply_to)
        self._show(None)
        try:
            answers = reply_to.message_id if reply_to is not None else None
            sent = await self._client.send(text, client_id=client_id, reply_to=answers, **target)
            if transcript is self.transcript:
                self.conversation_id = sent.conversation_id
            transcript.sent(sent)
            if sent.seq is None:
                self._show("Accepted; it will be stored.")
                transcript.sent(await sent.stored())
        except ClientError as error:
            transcript.failed(client_id)
            self._show(f"Not sent: {wording.failure(error)}")
        self._show(line)

    def typed(self, text: str) -> None:
        """Tell the others that the user types, or has emptied the line."""
        now = asyncio.get_running_loop().time()
        active = bool(text) and not text.startswith("/")
        if (active and now - self._typed_at >= TYPING_EVERY_S) or (not active and self._typed_at):
            self._client.typing(**self._target(), active=active)
            self._typed_at = now if active else 0.0

    def note(self, text: str) -> None:
        """Show something that nobody said."""
        self._show(self.transcript.note(text))

    # --- what happens

    async def _on(self, event: Event) -> None:
        match event:
            case MessageReceived(message):
                await self._on_message(message)
            case Stale():
                await self._show_anew(event)
            case ConversationChanged():
                self._on_change(event)
            case Typing():
                self._on_typing(event)
            case PresenceChanged():
                self._on_presence(event)
            case ConnectionChanged():
                self.connection = event
                self._show(event)
            case Truncated() | EventsDropped():
                self._show("Some messages are left out here.")
            case _:
                self._show(self._line_of(event))

    def _line_of(
        self, event: MessageEdited | MessageDeleted | ReactionChanged | ReceiptAdvanced | MessageFailed
    ) -> Line | None:
        """Give the line that an event changes the looks of."""
        match event:
            case MessageEdited(message) | MessageDeleted(message):
                return self.transcript.changed(message) if self._is_here(message.conversation_id) else None
            case ReactionChanged():
                return self.transcript.reacted(event) if self._is_here(event.conversation_id) else None
            case ReceiptAdvanced():
                return self.transcript.advanced(event) if self._is_here(event.conversation_id) else None
            case MessageFailed():
                self.transcript.failed(event.client_id)
                return None
        assert_never(event)

    def _is_here(self, conversation_id: str) -> bool:
        return conversation_id == self.conversation_id

    async def _on_message(self, message: Message) -> None:
        peer = self.peer
        if self.conversation_id is None and peer is not None and message.sender_id in (peer, self.user_id):
            conversation = await self._find(peer)
            if conversation is not None and self.peer == peer:
                self.conversation_id = conversation.id
                self._meet(conversation)
        if message.conversation_id == self.conversation_id:
            self._show(self._receive(message))
        elif message.sender_id != self.user_id:
            self._client.ack(message.conversation_id, message.seq)
            self._show(f"{self._where(message)}: {message.content}")

    def _on_change(self, event: ConversationChanged) -> None:
        said = wording.change(event, self.user_id)
        if event.conversation_id == self.conversation_id:
            self._meet(event.conversation)
            if self.peer is None:
                self.title = wording.title(event.conversation, self.user_id)
            self.note(said)
        elif event.actor_id != self.user_id and (self.user_id in event.user_ids or event.change == "created"):
            room = event.conversation
            self._show(f"{wording.title(room, self.user_id)} (/open {room.number}): {said}")

    def _on_typing(self, event: Typing) -> None:
        if event.conversation_id == self.conversation_id or event.user_id == self.peer:
            now = asyncio.get_running_loop().time()
            self.transcript.typing(event.user_id, event.name, active=event.active, now=now)
            self._show(None)

    def _on_presence(self, event: PresenceChanged) -> None:
        if event.user_id in self.transcript.others:
            self._show(f"{event.user_id} is {wording.presence(event)}")
        elif event.user_id == self.user_id:
            self._show(None)

    async def _show_anew(self, event: Stale) -> None:
        """Fetch again what is shown, and may have changed while we were away."""
        first = self.transcript.first_seq
        if event.conversation_id != self.conversation_id or first is None:
            return
        after = first - 1
        while after < event.up_to:
            page = await self._client.history(event.conversation_id, after=after, limit=200)
            for message in page.messages:
                self._show(self.transcript.changed(message))
                after = message.seq
            if not page.has_more or not page.messages:
                return

    def _receive(self, message: Message) -> Line | None:
        line = self.transcript.received(message)
        if message.sender_id != self.user_id:
            self._client.ack(message.conversation_id, message.seq, Stage.READ)
        return line

    # --- where we are

    def _go_to(self, conversation_id: str | None, peer: str | None, title: str) -> None:
        self.conversation_id, self.peer, self.title = conversation_id, peer, title
        self._typed_at = 0.0
        self.transcript = Transcript(self.user_id)
        self.transcript.others = frozenset([peer] if peer is not None else [])

    def _meet(self, room: Room) -> None:
        if room.members:
            self.transcript.others = frozenset(room.members) - {self.user_id}

    def _watch(self) -> None:
        others = sorted(self.transcript.others)[:MAX_WATCHED]
        if others:
            self._start(self._subscribe(others))

    async def _subscribe(self, users: list[str]) -> None:
        try:
            await self._client.subscribe(users)
        except (ClientError, TimeoutError) as error:
            self._show(f"Who is there cannot be told: {wording.failure(error)}")
        self._show(None)

    def _target(self) -> dict[str, Any]:
        return {"to": self.peer} if self.peer is not None else {"conversation_id": self.conversation_id}

    def _where(self, message: Message) -> str:
        sender = message.sender_name or message.sender_id
        room = self._client.rooms.get(message.conversation_id)
        if room is None or room.kind == "direct":
            return f"{sender} (/open {message.sender_id})" if room is not None else sender
        return f"{sender} in {wording.title(room, self.user_id)} (/open {room.number})"

    async def _page(self) -> bool:
        """Show the page of messages before the first that is shown; False: there is none."""
        if self.conversation_id is None:
            return False
        page = await self._client.history(self.conversation_id, before=self.transcript.first_seq, limit=HISTORY_PAGE)
        for message in page.messages:
            self._show(self._receive(message))
        return bool(page.messages)

    async def _find(self, peer: str) -> Conversation | None:
        """Look for the direct conversation with a peer."""
        cursor = None
        while True:
            page = await self._rest.conversations(limit=200, cursor=cursor)
            for conversation in page.conversations:
                self._client.rooms.know(conversation)
                if conversation.kind == "direct" and set(conversation.members) == {self.user_id, peer}:
                    return conversation
            cursor = page.next_cursor
            if cursor is None:
                return None
