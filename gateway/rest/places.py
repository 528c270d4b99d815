"""What a path is about: its conversation or message, named by an id or by a number."""

from typing import Annotated

from fastapi import Depends, Request

from gateway.directory import Directory
from gateway.rest.callers import Caller
from gateway.rest.fields import ConversationPath, MessagePath
from shared.history_api import MessagePlace
from shared.ids import ConversationId, MessageId, UserId, is_number


async def _conversation(conversation_id: ConversationPath, caller: Caller, request: Request) -> ConversationId:
    directory: Directory = request.app.state.directory
    return await directory.conversation(caller.user_id, conversation_id)


async def _message(message_id: MessagePath, caller: Caller, request: Request) -> MessagePlace:
    directory: Directory = request.app.state.directory
    return await directory.message(caller.user_id, message_id)


ThatConversation = Annotated[ConversationId, Depends(_conversation)]
ThatMessage = Annotated[MessagePlace, Depends(_message)]


async def message_id_of(directory: Directory, user_id: UserId, name: str) -> MessageId:
    """Give the id of a message that a body names; an id is not looked up, its reader does. Raises: NotFound."""
    if not is_number(name):
        return MessageId(name)
    return (await directory.message(user_id, name)).message_id
