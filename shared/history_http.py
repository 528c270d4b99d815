"""Ask history over HTTP: the client side of its query API."""

from shared.errors import Invalid, NotAMember, NotFound
from shared.events import Message
from shared.history_api import (
    Conversation,
    ConversationPage,
    MemberList,
    MemberPage,
    MessagePage,
    MessagePlace,
    MessageSearch,
    Receipt,
    SyncAnswer,
    SyncQuery,
)
from shared.history_wire import (
    AskChannels,
    AskConversation,
    AskConversationNamed,
    AskConversationNumbered,
    AskConversations,
    AskFindMessages,
    AskMemberPage,
    AskMembers,
    AskMessagePlace,
    AskMessages,
    AskOpenChannel,
    AskOpenChannels,
    AskPosition,
    AskReceipts,
    AskSync,
    AskUnread,
)
from shared.ids import ConversationId, MessageId, UserId
from shared.position import Position
from shared.query_http import HttpQueries


class HttpHistory(HttpQueries):
    """The `HistoryQueries` of the other services; `open` makes one.

    Every method raises what history raised; Unavailable where it cannot be reached, or does not answer in time.
    """

    asked = "History"
    errors = (Invalid, NotAMember, NotFound)

    async def position(self, user_id: UserId) -> Position:
        """Give the position of a reader who has everything that is stored now."""
        return Position.from_history(await self._ask(AskPosition(user_id=user_id), str))

    async def sync(self, query: SyncQuery) -> SyncAnswer:
        """Give what changed since a position."""
        return await self._ask(AskSync(query=query), SyncAnswer)

    async def conversations(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        """Give a page of the user's conversations."""
        return await self._ask(AskConversations(user_id=user_id, limit=limit, cursor=cursor), ConversationPage)

    async def conversation(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        """Give one conversation."""
        return await self._ask(AskConversation(user_id=user_id, conversation_id=conversation_id), Conversation)

    async def messages(
        self, user_id: UserId, conversation_id: ConversationId, *, before: int | None, after: int | None, limit: int
    ) -> MessagePage:
        """Give one page of messages."""
        query = AskMessages(user_id=user_id, conversation_id=conversation_id, before=before, after=after, limit=limit)
        return await self._ask(query, MessagePage)

    async def unread(self, user_id: UserId) -> dict[ConversationId, int]:
        """Give the conversations with unread messages and how many in each."""
        return await self._ask(AskUnread(user_id=user_id), dict[ConversationId, int])

    async def receipts(self, user_id: UserId, conversation_id: ConversationId, seq: int) -> tuple[Receipt, ...]:
        """Tell of each other member whether they have received and read a message."""
        query = AskReceipts(user_id=user_id, conversation_id=conversation_id, seq=seq)
        return await self._ask(query, tuple[Receipt, ...])

    async def member_page(
        self, user_id: UserId, conversation_id: ConversationId, *, limit: int, cursor: str | None
    ) -> MemberPage:
        """Give a page of the members."""
        query = AskMemberPage(user_id=user_id, conversation_id=conversation_id, limit=limit, cursor=cursor)
        return await self._ask(query, MemberPage)

    async def channels(self, user_id: UserId, space_id: ConversationId) -> tuple[Conversation, ...]:
        """Give the channels of a space that the user is in or may join."""
        return await self._ask(AskChannels(user_id=user_id, space_id=space_id), tuple[Conversation, ...])

    async def conversation_numbered(self, user_id: UserId, number: int) -> ConversationId:
        """Find a conversation by its number."""
        query = AskConversationNumbered(user_id=user_id, number=number)
        return ConversationId(await self._ask(query, str))

    async def message_place(self, user_id: UserId, message: MessageId | int) -> MessagePlace:
        """Find a message by its id or its number."""
        return await self._ask(AskMessagePlace(user_id=user_id, message=message), MessagePlace)

    async def find_messages(self, search: MessageSearch) -> tuple[Message, ...]:
        """Find messages that the user may see, newest first."""
        return await self._ask(AskFindMessages(search=search), tuple[Message, ...])

    async def conversation_named(self, user_id: UserId, name: str) -> ConversationId:
        """Find a conversation by its exact name."""
        return ConversationId(await self._ask(AskConversationNamed(user_id=user_id, name=name), str))

    async def open_channels(self, user_id: UserId, *, limit: int, cursor: str | None) -> ConversationPage:
        """Give a page of the channels that anybody may join."""
        return await self._ask(AskOpenChannels(user_id=user_id, limit=limit, cursor=cursor), ConversationPage)

    async def open_channel(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        """Give a conversation that the user may join."""
        return await self._ask(AskOpenChannel(user_id=user_id, conversation_id=conversation_id), Conversation)

    async def members(self, conversation_id: ConversationId) -> MemberList:
        """Give a conversation's members."""
        return await self._ask(AskMembers(conversation_id=conversation_id), MemberList)
