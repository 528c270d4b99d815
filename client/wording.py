"""The sentences in which the chat tells what has happened. Pure."""

from datetime import datetime

from client.directory import KnownDevice
from client.errors import ServerError
from client.events import ConversationChanged, PresenceChanged
from client.wire import Conversation, Room


def failure(error: Exception) -> str:
    """Tell an error in one plain line."""
    if isinstance(error, ServerError):
        return " ".join((error.message or error.code).split())
    if isinstance(error, TimeoutError):
        return "The server did not answer in time."
    return " ".join(str(error).split())


def title(room: Room, user_id: str) -> str:
    """Name a conversation: by its name, or by who is in it."""
    if room.name:
        return room.name
    others = [member for member in room.members if member != user_id]
    return ", ".join(others) if others else f"{room.kind} {room.number}"


def listed(conversation: Conversation, user_id: str) -> str:
    """Tell of a conversation in a list of them."""
    unread = f", {conversation.unread} unread" if conversation.unread else ""
    count = len(conversation.members) or conversation.member_count
    members = f", {count} members" if conversation.kind != "direct" else ""
    return f"{conversation.number}  {title(conversation, user_id)} ({conversation.kind}{members}{unread})"


def change(event: ConversationChanged, user_id: str) -> str:
    """Tell what became of a conversation."""

    def name(user: str) -> str:
        return "you" if user == user_id else user

    actor = name(event.actor_id) if event.actor_id is not None else "the operator"
    whom = ", ".join(name(user) for user in event.user_ids)
    alone = event.user_ids == (event.actor_id,)
    match event.change:
        case "created":
            said = f"{actor} made {title(event.conversation, user_id)}"
        case "member_added":
            said = f"{actor} joined" if alone else f"{actor} added {whom}"
        case "member_removed":
            said = f"{actor} left" if alone else f"{actor} removed {whom}"
        case "role_changed":
            said = f"{actor} made {whom} {event.role}"
        case "updated":
            said = f"{actor} changed the conversation, now {title(event.conversation, user_id)}"
        case other:
            said = f"{actor}: {other}"
    starts_with_id = event.actor_id not in (None, user_id)  # which is written as it is
    return f"{said if starts_with_id else said[0].upper() + said[1:]}."


def presence(seen: PresenceChanged) -> str:
    """Tell whether a user is there."""
    text = f" ({seen.text})" if seen.text else ""
    since = f", last seen {moment(seen.last_seen)}" if seen.status == "offline" and seen.last_seen else ""
    return f"{seen.status}{text}{since}"


def device(known: KnownDevice) -> str:
    """Tell of a device."""
    what = " ".join(part for part in (known.name, known.platform, known.app_version) if part) or known.type
    when = "online" if known.online else f"last seen {moment(known.last_seen)}"
    return f"{known.id}  {what}, {when}"


def moment(at: datetime | None) -> str:
    """Tell a time as the clock on the wall here has it."""
    return at.astimezone().strftime("%d %b %H:%M") if at is not None else "never"
