"""The bodies of history's query API over HTTP: one struct a query, posted to its own path."""

from shared.history_api import MessageSearch, SyncQuery
from shared.ids import ConversationId, MessageId, UserId
from shared.query_http import Query


class AskPosition(Query, frozen=True, kw_only=True):
    """Ask for the position of a reader who has everything; answered with a since token."""

    path = "/internal/history/position"
    user_id: UserId


class AskSync(Query, frozen=True, kw_only=True):
    """Ask for what changed since a position."""

    path = "/internal/history/sync"
    query: SyncQuery


class AskConversations(Query, frozen=True, kw_only=True):
    """Ask for a page of a user's conversations."""

    path = "/internal/history/conversations"
    user_id: UserId
    limit: int
    cursor: str | None


class AskConversation(Query, frozen=True, kw_only=True):
    """Ask for one conversation."""

    path = "/internal/history/conversation"
    user_id: UserId
    conversation_id: ConversationId


class AskMessages(Query, frozen=True, kw_only=True):
    """Ask for a page of messages."""

    path = "/internal/history/messages"
    user_id: UserId
    conversation_id: ConversationId
    before: int | None
    after: int | None
    limit: int


class AskUnread(Query, frozen=True, kw_only=True):
    """Ask for the unread counts."""

    path = "/internal/history/unread"
    user_id: UserId


class AskMembers(Query, frozen=True, kw_only=True):
    """Ask for a conversation's members."""

    path = "/internal/history/members"
    conversation_id: ConversationId


class AskReceipts(Query, frozen=True, kw_only=True):
    """Ask who has received and read a message."""

    path = "/internal/history/receipts"
    user_id: UserId
    conversation_id: ConversationId
    seq: int


class AskMemberPage(Query, frozen=True, kw_only=True):
    """Ask for a page of a conversation's members, on a member's behalf."""

    path = "/internal/history/member-page"
    user_id: UserId
    conversation_id: ConversationId
    limit: int
    cursor: str | None


class AskChannels(Query, frozen=True, kw_only=True):
    """Ask for a space's channels."""

    path = "/internal/history/channels"
    user_id: UserId
    space_id: ConversationId


class AskConversationNumbered(Query, frozen=True, kw_only=True):
    """Ask which conversation has a number."""

    path = "/internal/history/conversation-numbered"
    user_id: UserId
    number: int


class AskMessagePlace(Query, frozen=True, kw_only=True):
    """Ask where a message is."""

    path = "/internal/history/message-place"
    user_id: UserId
    message: MessageId | int


class AskFindMessages(Query, frozen=True, kw_only=True):
    """Ask for messages by what they say, or whom they mention."""

    path = "/internal/history/find-messages"
    search: MessageSearch


class AskConversationNamed(Query, frozen=True, kw_only=True):
    """Ask which conversation has a name."""

    path = "/internal/history/conversation-named"
    user_id: UserId
    name: str


class AskOpenChannels(Query, frozen=True, kw_only=True):
    """Ask for a page of the channels that anybody may join."""

    path = "/internal/history/open-channels"
    user_id: UserId
    limit: int
    cursor: str | None


class AskOpenChannel(Query, frozen=True, kw_only=True):
    """Ask for a conversation that the user may join."""

    path = "/internal/history/open-channel"
    user_id: UserId
    conversation_id: ConversationId
