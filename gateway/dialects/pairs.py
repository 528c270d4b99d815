"""The name of a direct conversation on wires that make it of its two users' ids: `<a>_<b>`, sorted."""

from shared.ids import UserId


def pair_name(one: UserId, other: UserId) -> str:
    """Name the conversation of two users."""
    return "_".join(sorted((one, other)))


def peer_in_pair(name: str, user_id: UserId) -> UserId | None:
    """Give the other user that a name names beside this one; None: it is no such name, or of other people's."""
    for peer in (name.removeprefix(f"{user_id}_"), name.removesuffix(f"_{user_id}")):
        if peer and peer != name and pair_name(user_id, UserId(peer)) == name:
            return UserId(peer)
    return None
