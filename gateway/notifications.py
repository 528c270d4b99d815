"""What operators tell users who are connected now, on whichever gateway: to every gateway, and to nobody's history."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from gateway.content import MAX_METADATA_BYTES, encode_metadata
from gateway.rest.fields import IdField, Text
from shared.broker.api import Publisher
from shared.broker.topology import RECEIPTS_ROUTE
from shared.clock import Clock
from shared.envelope import Envelope
from shared.errors import TooLarge
from shared.events import Notified
from shared.http import StructResponse
from shared.ids import MessageId, NewId, UserId
from shared.openapi import answers

MAX_USERS = 1000
MAX_TITLE_CHARS = 200
MAX_BODY_CHARS = 4096

Title = Annotated[Text, Field(min_length=1, max_length=MAX_TITLE_CHARS)]
Body = Annotated[Text, Field(max_length=MAX_BODY_CHARS)]


class NotificationWish(BaseModel):
    """What to tell whom."""

    user_ids: list[IdField] = Field(min_length=1, max_length=MAX_USERS)
    title: Title
    body: Body = ""
    data: dict[str, Any] = Field(default_factory=dict, description="a JSON object of at most 4 KiB")


class NotificationSent(msgspec.Struct, frozen=True, kw_only=True):
    """Every gateway is told; `id` is the notification's."""

    id: MessageId


class Notifications:
    """Tells all gateways."""

    def __init__(self, publisher: Publisher, *, clock: Clock, new_id: NewId) -> None:
        self._publisher = publisher
        self._clock = clock
        self._new_id = new_id

    async def send(self, wish: NotificationWish) -> NotificationSent:
        """Tell these users, once each device. Raises: InvalidField, TooLarge, Unavailable."""
        data = encode_metadata(wish.data)
        if len(bytes(data)) > MAX_METADATA_BYTES:
            raise TooLarge("The data are too long.", limit=MAX_METADATA_BYTES)
        now, id_ = self._clock.now(), MessageId(self._new_id())
        user_ids = tuple(UserId(user_id) for user_id in dict.fromkeys(wish.user_ids))
        event = Notified(id=id_, user_ids=user_ids, title=wish.title, body=wish.body, data=data, at=now)
        await self._publisher.publish(RECEIPTS_ROUTE, [Envelope(id=id_, trace_id=id_, occurred_at=now, body=event)])
        return NotificationSent(id=id_)


def notifications_router(notifications: Notifications) -> APIRouter:
    """Make the route."""
    router = APIRouter(prefix="/admin", tags=["notifications"])

    @router.post(
        "/notifications",
        status_code=202,
        summary="Tell users something, on all devices that are connected now, to any gateway",
        responses=answers(NotificationSent, status=202),
    )
    async def notify(wish: NotificationWish) -> Response:
        return StructResponse(await notifications.send(wish), status_code=202)

    return router
