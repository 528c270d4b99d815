"""What is good to know of devices, and nobody waits for: their names, and who of them is connected."""

import asyncio
from collections.abc import Iterable, Mapping

from gateway.dialects import devices_names
from gateway.dialects.world import World
from shared.errors import Unavailable
from shared.ids import UserId
from shared.presence_api import MAX_USERS

PATIENCE_S = 1.0


async def names_of(world: World, user_ids: Iterable[UserId]) -> Mapping[UserId, str]:
    """Give the names of devices; while presence is away, of those that are known, or none."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await devices_names.names_of(world, user_ids)
    except TimeoutError:
        return {}


async def here_among(world: World, user_ids: Iterable[UserId]) -> set[UserId]:
    """Tell who of these is connected; while presence is away, nobody is known to be."""
    wanted = sorted(user_ids)
    here: set[UserId] = set()
    try:
        async with asyncio.timeout(PATIENCE_S):
            for start in range(0, len(wanted), MAX_USERS):
                found = await world.presence.presence_of(wanted[start : start + MAX_USERS])
                here |= {user_id for user_id, presence in found.items() if presence.status != "offline"}
    except (Unavailable, TimeoutError):
        return set()
    return here
