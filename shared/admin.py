"""The admin API that all services share: probes, metrics, settings, statistics, drain; and a service's own routes."""

import asyncio
from collections.abc import Mapping

import prometheus_client
from fastapi import APIRouter, Depends, FastAPI
from starlette.responses import Response

from shared.errors import Unavailable, WarrenError
from shared.http import StructResponse, bearer_guard, install_error_handlers
from shared.logging import mask_secrets
from shared.openapi import Responses, describe_errors
from shared.service import Service
from shared.settings import AdminSettings

_SERIES: Responses = {
    200: {
        "description": "Prometheus text exposition.",
        "content": {prometheus_client.CONTENT_TYPE_LATEST.partition(";")[0]: {}},
    }
}
CHECK_TIMEOUT_S = 2.0  # of one readiness check; a probe of Kubernetes waits for 1 s by default, ours are given more


def build_admin_app(service: Service, admin: AdminSettings, drain: asyncio.Event) -> FastAPI:
    """Make the app of the admin port. `drain` is set by `POST /admin/drain`, and turns readiness false."""
    app = FastAPI(
        title=f"Warren {service.name}: admin and internal API",
        description=(
            "For operators and for the other services, never for the internet. Probes and metrics are open; `/admin` "
            "needs the admin token, `/internal` the token by which services query each other. Every error is "
            "`{code, message, retry_after_ms?, details?}`."
        ),
        version="1",
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    install_error_handlers(app)
    describe_errors(app)
    app.include_router(_probes(service, drain))
    for router in (_operations(service, drain), *service.routers):
        app.include_router(router, dependencies=[Depends(bearer_guard(admin.admin_token))])
    for router in service.internal:
        app.include_router(router, dependencies=[Depends(bearer_guard(admin.internal_token))])
    return app


def _probes(service: Service, drain: asyncio.Event) -> APIRouter:
    router = APIRouter(tags=["probes"])

    @router.get("/healthz", summary="Whether the event loop is alive")
    async def health() -> StructResponse:
        return StructResponse({"status": "alive"})

    @router.get("/readyz", summary="Whether it can do its work: 503 names what fails, or says that it drains")
    async def ready() -> StructResponse:
        if drain.is_set():
            raise Unavailable("Not ready: it drains.", failing="draining")
        failing = [name for name in service.ready if not await _passes(service, name)]
        if failing:
            raise Unavailable(f"Not ready: {', '.join(failing)}.", failing=",".join(failing))
        return StructResponse({"status": "ready", "checks": list(service.ready)})

    @router.get("/metrics", summary="Prometheus series", response_class=Response, responses=_SERIES)
    async def metrics() -> Response:
        return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    return router


def _operations(service: Service, drain: asyncio.Event) -> APIRouter:
    router = APIRouter(prefix="/admin", tags=["admin"])

    @router.get("/config", summary="The settings in force, secrets masked")
    async def config() -> StructResponse:
        return StructResponse(_masked(service.settings.model_dump(mode="json")))

    @router.get("/stats", summary="What the service holds and does now")
    async def stats() -> StructResponse:
        return StructResponse(await service.stats())

    @router.post("/drain", status_code=202, summary="Finish what is in flight and end, as on SIGTERM")
    async def start_drain() -> StructResponse:
        drain.set()
        return StructResponse({"status": "draining"}, status_code=202)

    return router


async def _passes(service: Service, name: str) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await service.ready[name]()
    except (WarrenError, TimeoutError):
        return False


def _masked(value: object) -> object:
    match value:
        case str():
            return mask_secrets(value)
        case Mapping():
            return {key: _masked(item) for key, item in value.items()}
        case list():
            return [_masked(item) for item in value]
        case _:
            return value
