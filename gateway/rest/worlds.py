"""The world of who calls a REST route: what the routes of other systems' wires ask and do."""

from typing import Annotated

from fastapi import Depends, Request

from gateway.dialects import base
from gateway.rest.callers import Caller
from gateway.world import Reach, UserWorld
from shared.ids import DeviceId


async def _world(caller: Caller, request: Request) -> UserWorld:
    reach: Reach = request.app.state.reach
    device_id = caller.device_id or DeviceId("")
    return UserWorld(reach, base.Caller(caller.user_id, caller.name, device_id, caller.role))


ThatWorld = Annotated[UserWorld, Depends(_world)]
