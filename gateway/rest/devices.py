"""The caller's devices: list, sign out."""

import msgspec
from fastapi import APIRouter, Response

from gateway.rest.callers import Caller
from gateway.rest.fields import DevicePath
from gateway.rest.schemas import returns
from shared.clock import rfc3339
from shared.http import StructResponse
from shared.ids import DeviceId
from shared.presence_api import Device, PresenceQueries


class DeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """A device that the caller has signed in with."""

    id: DeviceId
    name: str
    type: str
    platform: str
    browser: str
    os_version: str
    app_version: str
    first_seen: str
    last_seen: str
    online: bool


class DevicesView(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's devices, last seen first."""

    devices: list[DeviceView]


def devices_router(*, presence: PresenceQueries) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1", tags=["devices"])

    @router.get("/devices", summary="List your devices", responses=returns(s200=DevicesView))
    async def list_devices(caller: Caller) -> Response:
        """List the devices that the caller is signed in with, last seen first."""
        devices = await presence.devices(caller.user_id)
        return StructResponse(DevicesView(devices=[_view(device) for device in devices if device.signed_in]))

    @router.delete(
        "/devices/{device_id}", summary="Sign a device out", status_code=204, responses=returns(errors=(404, 422))
    )
    async def sign_out(device_id: DevicePath, caller: Caller) -> None:
        """End the device's sessions everywhere; its tokens from before count no more."""
        await presence.sign_out(caller.user_id, DeviceId(device_id))

    return router


def _view(device: Device) -> DeviceView:
    info = device.info
    return DeviceView(
        id=info.id,
        name=info.name,
        type=info.type,
        platform=info.platform,
        browser=info.browser,
        os_version=info.os_version,
        app_version=info.app_version,
        first_seen=rfc3339(device.first_seen),
        last_seen=rfc3339(device.last_seen),
        online=device.online,
    )
