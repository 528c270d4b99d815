"""One chat with one peer: what is typed becomes messages, what happens becomes lines of a transcript."""

import asyncio
import uuid
from collections.abc import Callable
from typing import assert_never

from client.errors import ClientError
from client.events import (
    ConnectionChanged,
    Event,
    ConversationChanged,
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
from client.wire import Conversation, Message, Stage

HISTORY_PAGE = 30
TYPING_EVERY_S = 3.0  # the server forgets after 5 s

# A line that is new or has changed, a remark, the connection; None: something else to look at again.
Show = Callable[[Line | str | ConnectionChanged | None], None]


class Chat:
    """The state of a chat and its moves; a view shows it."""

    def __init__(self, client: WarrenClient, rest: WarrenRest, peer: str, show: Show) -> None:
        self._client = client
        self._rest = rest
        self._peer = peer
        self._show = show
        self._conversation_id: str | None = None
        self._typed_at = 0.0
        self.transcript = Transcript(client.user_id)
        self.connection = ConnectionChanged(client.state)

    async def open(self) -> None:
        """Find the conversation and show its last messages. Raises: ClientError."""
        await self._find()
        await self._page()

    async def earlier(self) -> None:
        """Show a page of messages before the first that is shown. Raises: ClientError, TimeoutError."""
        if not await self._page():
            self._show("Nothing before this.")

    async def watch(self) -> None:
        """Show what happens. Raises: Closed, when the server wants no more of us."""
        async for event in self._client:
            await self._on(event)

    async def send(self, text: str) -> None:
        """Send a message and show how it fares."""
        client_id = uuid.uuid4().hex
        line = self.transcript.write(client_id, text)
        self._show(None)
        try:
            sent = await self._client.send(text, to=self._peer, client_id=client_id)
            self._conversation_id = sent.conversation_id
            self.transcript.sent(sent)
            if sent.seq is None:
                self._show("Accepted; it will be stored.")
                self.transcript.sent(await sent.stored())
        except ClientError as error:
            self.transcript.failed(client_id)
            self._show(f"Not sent: {error}")
        self._show(line)

    def typed(self, text: str) -> None:
        """Tell the peer that the user types, or has emptied the line."""
        now = asyncio.get_running_loop().time()
        active = bool(text) and not text.startswith("/")
        if (active and now - self._typed_at >= TYPING_EVERY_S) or (not active and self._typed_at):
            self._client.typing(to=self._peer, active=active)
            self._typed_at = now if active else 0.0

    async def _on(self, event: Event) -> None:
        match event:
            case MessageReceived(message):
                await self._on_message(message)
            case ReceiptAdvanced():
                if event.conversation_id == self._conversation_id:
                    self._show(self.transcript.advanced(event))
            case Typing():
                if event.user_id == self._peer:
                    now = asyncio.get_running_loop().time()
                    self.transcript.typing(event.user_id, event.name, active=event.active, now=now)
                    self._show(None)
            case MessageFailed():
                self.transcript.failed(event.client_id)
                self._show(None)
            case ConnectionChanged():
                self.connection = event
                self._show(event)
            case Truncated() | EventsDropped():
                self._show("Some messages are left out here.")
            case (
                PresenceChanged()
                | MessageEdited()
                | MessageDeleted()
                | ReactionChanged()
                | ConversationChanged()
                | Stale()
            ):
                self._show(None)
            case _:
                assert_never(event)

    async def _on_message(self, message: Message) -> None:
        if self._conversation_id is None and message.sender_id in (self._peer, self._client.user_id):
            await self._find()
        if message.conversation_id == self._conversation_id:
            self._show(self._receive(message))

    def _receive(self, message: Message) -> Line | None:
        line = self.transcript.received(message)
        if message.sender_id != self._client.user_id:
            self._client.ack(message.conversation_id, message.seq, Stage.READ)
        return line

    async def _page(self) -> bool:
        """Show the page of messages before the first that is shown; False: there is none."""
        if self._conversation_id is None:
            return False
        page = await self._client.history(self._conversation_id, before=self.transcript.first_seq, limit=HISTORY_PAGE)
        for message in page.messages:
            self._show(self._receive(message))
        return bool(page.messages)

    async def _find(self) -> None:
        """Look for the direct conversation with the peer."""
        cursor = None
        while True:
            page = await self._rest.conversations(limit=200, cursor=cursor)
            for conversation in page.conversations:
                if self._is_ours(conversation):
                    self._conversation_id = conversation.id
                    return
            cursor = page.next_cursor
            if cursor is None:
                return

    def _is_ours(self, conversation: Conversation) -> bool:
        return conversation.kind == "direct" and set(conversation.members) == {self._client.user_id, self._peer}
