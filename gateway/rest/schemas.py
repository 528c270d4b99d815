"""The schemas of the answers, in the OpenAPI document: they are msgspec structs, which FastAPI does not read."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from shared.errors import ErrorBody, ErrorCode

_REF = "#/components/schemas/{name}"
_ERRORS = (401, 429, 503)  # what every route that needs a token may answer
Responses = dict[int | str, dict[str, Any]]


def returns(
    *, errors: tuple[int, ...] = (), base: tuple[int, ...] = _ERRORS, **by_status: type[msgspec.Struct]
) -> Responses:
    """Describe the answers of a route: `returns(s200=ConversationView, errors=(404,))`; `errors` adds to `base`."""
    described: Responses = {
        int(status[1:]): _answer(struct, (struct.__doc__ or struct.__name__).splitlines()[0])
        for status, struct in by_status.items()
    }
    return described | {status: _answer(ErrorBody, _codes(status)) for status in sorted({*base, *errors})}


def document(app: FastAPI, *structs: type[msgspec.Struct]) -> None:
    """Put the structs' schemas into the app's OpenAPI document."""
    _, components = msgspec.json.schema_components((*structs, ErrorBody), ref_template=_REF)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _forget_validation(schema)
            schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way of extending it


def _forget_validation(schema: dict[str, Any]) -> None:
    """Take out the 422 that FastAPI writes for every route with a parameter: ours say theirs, and some have none."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schema.get("components", {}).get("schemas", {}).pop(name, None)


def _codes(status: int) -> str:
    """Name the codes that an error of this status may have; `unknown_type` is about frames of the socket."""
    return ", ".join(code for code in ErrorCode if code.http_status == status and code is not ErrorCode.UNKNOWN_TYPE)


def _answer(struct: type[msgspec.Struct], description: str) -> dict[str, Any]:
    reference = {"$ref": _REF.format(name=struct.__name__)}
    return {"description": description, "content": {"application/json": {"schema": reference}}}
