"""Find messages among a user's conversations by what they say or whom they mention, with bounded work."""

from collections.abc import Mapping
from itertools import islice

from history.reading import LoggedMessage, LogReader, Membership, Tip, Wanted
from history.sight import Sight
from shared.errors import Invalid
from shared.events import Message
from shared.history_api import MAX_SEARCH_CHARS, MessageSearch
from shared.ids import ConversationId

MAX_LOOKED_AT = 100_000  # messages of a search: MongoDB looks at some 300,000 a second
AT_ONCE = 100  # conversations in one question to the store


def wanted(search: MessageSearch, size: int) -> Wanted:
    """Say what the store is to look for. Raises: Invalid."""
    text = search.text or None
    if text is not None and len(text) > MAX_SEARCH_CHARS:
        raise Invalid(f"A text to look for has at most {MAX_SEARCH_CHARS} characters.", length=len(text))
    return Wanted(search.user_id, text=text, mentioned=search.mentions, before=search.before, limit=size)


async def find(
    store: LogReader, sought: Wanted, memberships: Mapping[ConversationId, Membership]
) -> tuple[Message, ...]:
    """Find messages that a member may see, newest first."""
    if sought.mentioned:
        after = {each: membership.first_seq - 1 for each, membership in memberships.items()}
        found = await store.mentions(sought, after) if after else []
    else:
        found = await _look_through(store, sought, memberships)
    return tuple(Sight.of(memberships[each.message.conversation_id]).message(each) for each in found)


async def _look_through(
    store: LogReader, sought: Wanted, memberships: Mapping[ConversationId, Membership]
) -> list[LoggedMessage]:
    tips = await store.tips(memberships.keys())
    rest = iter(stretches(memberships, tips, MAX_LOOKED_AT).items())
    found: list[LoggedMessage] = []
    while some := dict(islice(rest, AT_ONCE)):
        newest = max(tips[each].at for each in some)
        if len(found) == sought.limit and found[-1].at > newest:
            break  # all that follows is older
        found += await store.found(sought, some)
        found = sorted(found, key=lambda each: (each.at, each.message.seq), reverse=True)[: sought.limit]
    return found


def stretches(
    memberships: Mapping[ConversationId, Membership], tips: Mapping[ConversationId, Tip], most: int
) -> dict[ConversationId, int]:
    """Give the seqs after which to look: as many messages as may be, first where something happened last."""
    after: dict[ConversationId, int] = {}
    for each in sorted(tips, key=lambda each: (tips[each].at, each), reverse=True):
        first = max(memberships[each].first_seq - 1, tips[each].seq - most)
        if first < tips[each].seq:
            after[each] = first
            most -= tips[each].seq - first
    return after
