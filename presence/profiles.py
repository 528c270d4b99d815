"""Profiles: what a change makes of one, and by which terms it is found; pure."""

import unicodedata

import msgspec

from shared.ids import UserId
from shared.presence_api import Profile, ProfileChange

MAX_TERM_CHARS = 128  # of one term: as long as an id
MAX_WORDS = 16  # of a name that can be found by each of its words


def folded(text: str) -> str:
    """Give the form in which texts are compared: without regard to case, width and composition."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def terms(user_id: UserId, name: str, username: str | None) -> list[str]:
    """Give what a user is found by the beginnings of: id, name, its words, and username; folded, sorted."""
    texts = [user_id, name, *name.split()[:MAX_WORDS], username or ""]
    return sorted({folded(text)[:MAX_TERM_CHARS] for text in texts} - {""})


def revise(profile: Profile, change: ProfileChange) -> Profile:
    """Make the change."""
    given = {field: value for field, value in msgspec.structs.asdict(change).items() if value is not msgspec.UNSET}
    return msgspec.structs.replace(profile, **given)
