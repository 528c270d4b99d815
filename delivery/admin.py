"""Delivery's admin API: where users are routed, how full the retry ladder is, the dead letters."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from delivery.dead_letters import DeadLetterBody, DeadLetterPage, DeadLetters, Filter
from delivery.routing import RoutingTable
from shared.broker.api import Broker
from shared.broker.topology import Topology
from shared.errors import FailureKind
from shared.http import StructResponse
from shared.ids import UserId
from shared.openapi import answers

MAX_PAGE = 200


class Wanted(BaseModel):
    """Which dead letters to replay; nothing said: all that can be."""

    stage: str | None = None
    reason: FailureKind | None = None


def routing_router(table: RoutingTable, broker: Broker, topology: Topology) -> APIRouter:
    """Make the routes that show what delivery is doing."""
    router = APIRouter(prefix="/admin", tags=["delivery"])

    @router.get("/routes/{user_id}", summary="The user's sessions by gateway, as this replica knows them")
    async def routes(user_id: str) -> StructResponse:
        return StructResponse({"user_id": user_id, "gateways": table.sessions_of(UserId(user_id))})

    @router.get("/retries", summary="How many broker messages wait on each rung of the ladder, and as dead letters")
    async def retries() -> StructResponse:
        rungs = [queue for queue in topology.queues if queue.dead_letters_to_key]
        return StructResponse({queue.name: await broker.depth(queue) for queue in (*rungs, *topology.dead_queues)})

    return router


def dead_letter_router(dead_letters: DeadLetters) -> APIRouter:
    """Make the routes that look into the dead letters and settle them."""
    router = APIRouter(prefix="/admin/dead-letters", tags=["dead letters"])

    @router.get("", summary="A page of them, the latest first", responses=answers(DeadLetterPage))
    async def page(
        stage: str | None = None,
        reason: FailureKind | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    ) -> StructResponse:
        return StructResponse(await dead_letters.page(Filter(stage, reason), cursor=cursor, limit=limit))

    @router.post("/replay", summary="Send back all that are meant and can be read")
    async def replay_all(wanted: Wanted) -> StructResponse:
        return StructResponse({"replayed": await dead_letters.replay_all(Filter(wanted.stage, wanted.reason))})

    @router.get("/{dead_id}", summary="One with its body", responses=answers(DeadLetterBody))
    async def inspect(dead_id: str) -> StructResponse:
        return StructResponse(await dead_letters.inspect(dead_id))

    @router.post("/{dead_id}/replay", summary="Send one back to the queue it failed on", status_code=204)
    async def replay(dead_id: str) -> None:
        await dead_letters.replay(dead_id)

    @router.delete("/{dead_id}", summary="Throw one away", status_code=204)
    async def discard(dead_id: str) -> None:
        await dead_letters.discard(dead_id)

    return router
