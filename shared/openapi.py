"""Bodies and answers that are msgspec structs, in OpenAPI documents: FastAPI does not read them."""

from typing import Any, TypeAlias

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from shared.errors import ErrorBody
from shared.json_schemas import REFERENCE, Schema, components, reference

Responses: TypeAlias = dict[int | str, dict[str, Any]]


def answers(struct: type[msgspec.Struct], status: int = 200) -> Responses:
    """Describe a route's answer, its schema written out in full: `router.get(…, responses=answers(Page))`."""
    return {status: _answer(struct)}


def takes(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Describe a route's body: `router.post(…, openapi_extra=takes(Query))`."""
    content = {"application/json": {"schema": _written_out(struct)}}
    return {"requestBody": {"required": True, "content": content}}


def describe_errors(app: FastAPI) -> None:
    """Say in an app's document that every answer besides those described is an ErrorBody, and so is a 422."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            for path in document["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
                    operation["responses"]["default"] = _answer(ErrorBody)
            for name in ("HTTPValidationError", "ValidationError"):
                document.get("components", {}).get("schemas", {}).pop(name, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way of extending it


def _answer(struct: type[msgspec.Struct]) -> dict[str, Any]:
    described = (struct.__doc__ or struct.__name__).splitlines()[0]
    return {"description": described, "content": {"application/json": {"schema": _written_out(struct)}}}


def _written_out(struct: type[msgspec.Struct]) -> object:
    return _without_references(reference(struct), components([struct]))


def _without_references(part: object, named: dict[str, Schema]) -> object:
    match part:
        case {"$ref": str(name)}:
            return _without_references(named[name.removeprefix(REFERENCE)], named)
        case dict():
            return {key: _without_references(value, named) for key, value in part.items()}
        case list():
            return [_without_references(each, named) for each in part]
        case _:
            return part
