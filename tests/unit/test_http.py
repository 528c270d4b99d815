from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import httpx
import msgspec
import pytest
from fastapi import Body, Depends, FastAPI, WebSocket
from pydantic import BaseModel, Field, SecretStr
from starlette.exceptions import HTTPException

from shared.errors import InvalidField, NotAMember, RateLimited, TokenExpired
from shared.http import StructResponse, ViewResponse, bearer_guard, install_error_handlers


class Point(msgspec.Struct):
    x: int
    note: str | None = None


class Wish(BaseModel):
    name: str = Field(max_length=3)
    parts: list[int] = []


def build_app() -> FastAPI:
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/point")
    async def point() -> StructResponse:
        return StructResponse(Point(x=1, note="é"), status_code=201, headers={"X-Seen": "yes"})

    @app.get("/fails/{how}")
    async def fails(how: str) -> None:
        raise {
            "membership": NotAMember("You are not in this conversation.", conversation_id="room"),
            "rate": RateLimited("Too many.", retry_after_ms=1200),
            "token": TokenExpired("The token has expired."),
            "forbidden": HTTPException(403, "Not for you"),
            "gone": HTTPException(410, "Gone for good"),
            "gateway": HTTPException(502, "Bad gateway"),
            "bug": RuntimeError("the password is hunter2"),
        }[how]

    @app.post("/wishes")
    async def wishes(wish: Annotated[Wish, Body()], limit: int = 1) -> None:
        return None

    @app.get("/guarded", dependencies=[Depends(bearer_guard(SecretStr("open sesame")))])
    async def guarded() -> StructResponse:
        return StructResponse("in")

    @app.websocket("/socket")
    async def refuse(socket: WebSocket) -> None:
        raise InvalidField("device: too long.", path="device")

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://warren") as client:
        yield client


async def test_a_struct_is_answered_as_json(client: httpx.AsyncClient) -> None:
    answer = await client.get("/point")
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-seen"] == "yes"
    assert answer.json() == {"x": 1, "note": "é"}


async def test_an_error_is_answered_with_its_status_and_body(client: httpx.AsyncClient) -> None:
    answer = await client.get("/fails/membership")
    assert answer.status_code == 403
    assert answer.json() == {
        "code": "not_a_member",
        "message": "You are not in this conversation.",
        "details": {"conversation_id": "room"},
    }
    assert "retry-after" not in answer.headers


async def test_the_time_to_try_again_is_a_header_too_in_whole_seconds(client: httpx.AsyncClient) -> None:
    answer = await client.get("/fails/rate")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert answer.json()["retry_after_ms"] == 1200


async def test_an_unauthenticated_caller_is_told_the_scheme(client: httpx.AsyncClient) -> None:
    answer = await client.get("/fails/token")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/point", 405, "invalid"),
        ("GET", "/fails/forbidden", 403, "forbidden"),
        ("GET", "/fails/gone", 410, "invalid"),
        ("GET", "/fails/gateway", 502, "internal"),
    ],
)
async def test_the_frameworks_own_errors_have_the_same_form(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["code"] == code
    assert answer.json()["message"].endswith(".")
    assert answer.headers.get("allow") == ("GET" if status == 405 else None)


@pytest.mark.parametrize(
    ("body", "query", "path"),
    [
        ('{"name": "long"}', "", "name"),
        ("{}", "", "name"),
        ('{"name": "a", "parts": [1, "x"]}', "", "parts.1"),
        ('{"name": "a"}', "?limit=many", "limit"),
        ("", "", "body"),
    ],
)
async def test_a_wrong_field_is_named(client: httpx.AsyncClient, body: str, query: str, path: str) -> None:
    answer = await client.post(f"/wishes{query}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_field"
    assert answer.json()["details"] == {"path": path}
    assert answer.json()["message"].startswith(f"{path}: ")


async def test_a_body_that_is_not_json_is_invalid(client: httpx.AsyncClient) -> None:
    answer = await client.post("/wishes", content="{", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


async def test_a_bug_says_nothing_of_itself(client: httpx.AsyncClient) -> None:
    answer = await client.get("/fails/bug")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "hunter2" not in answer.text


async def test_a_bug_goes_on_to_the_server_which_logs_its_traceback() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build_app()), base_url="http://warren") as client:
        with pytest.raises(RuntimeError, match="hunter2"):
            await client.get("/fails/bug")


@pytest.mark.parametrize("header", [None, "Bearer open", "Bearer öpen sesame", "Basic open sesame", "open sesame"])
async def test_only_the_bearer_of_the_token_passes(client: httpx.AsyncClient, header: str | None) -> None:
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
    answer = await client.get("/guarded", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert (await client.get("/guarded", headers={"Authorization": "Bearer open sesame"})).json() == "in"


async def test_an_error_before_the_handshake_ends_is_answered_over_http() -> None:
    sent: list[dict[str, object]] = []
    scope = {
        "type": "websocket",
        "path": "/socket",
        "headers": [],
        "query_string": b"",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await build_app()(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["type"] == "websocket.http.response.start"
    assert sent[0]["status"] == 422


def test_a_view_shows_its_times_in_milliseconds_however_deep_and_keeps_raw_json() -> None:
    at = datetime(2026, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    view = ViewResponse({"seen": (at, {"at": at}), "metadata": msgspec.Raw(b'{"a": 1}')})
    written = "2026-01-01T12:00:00.123Z"
    assert msgspec.json.decode(view.body) == {"seen": [written, {"at": written}], "metadata": {"a": 1}}
