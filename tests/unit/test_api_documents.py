"""The API documents are what the code says, and hold to the specifications they follow."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from deploy.api_documents import broker, files, socket
from shared.broker.topology import EXCHANGES
from shared.envelope import Body
from shared.events import TypingChanged

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
VECTORS = ROOT / "tests" / "vectors" / "native"
OPENAPI = ["gateway", "gateway-admin", "history-admin", "delivery-admin", "presence-admin"]
Document = dict[str, Any]


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return asyncio.run(files.render())


@pytest.fixture(scope="module")
def spoken(generated: dict[str, str]) -> Document:
    document: Document = json.loads(generated["asyncapi.json"])
    return document


def resolve(document: Document, reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def references(part: object) -> Iterator[str]:
    match part:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for each in part.values():
                yield from references(each)
        case list():
            for each in part:
                yield from references(each)


class Spoken:
    """The frames of the AsyncAPI document."""

    def __init__(self, document: Document) -> None:
        self.names = document["components"]["messages"].keys()
        resource = DRAFT202012.create_resource(document)
        self._registry: Registry[Any] = Registry().with_resource("urn:warren", resource).crawl()

    def payload(self, name: str) -> Draft202012Validator:
        """Give what judges the frames of a name."""
        reference = {"$ref": f"urn:warren#/components/messages/socket.{name}/payload"}
        return Draft202012Validator(reference, registry=self._registry)


@pytest.fixture(scope="module")
def frames(spoken: Document) -> Spoken:
    return Spoken(spoken)


def test_the_committed_documents_are_what_the_code_says(generated: dict[str, str]) -> None:
    committed = {path.name: path.read_text() for path in sorted(DOCS.glob("*.json"))}
    assert committed.keys() == generated.keys(), "run `make docs`"
    assert [name for name in generated if committed[name] != generated[name]] == [], "run `make docs`"


async def test_a_document_is_the_same_each_time(generated: dict[str, str]) -> None:
    assert await files.render() == generated


@pytest.mark.parametrize("name", OPENAPI)
def test_an_openapi_document_holds_to_the_specification(generated: dict[str, str], name: str) -> None:
    OpenAPIV31SpecValidator(json.loads(generated[f"openapi-{name}.json"])).validate()


@pytest.mark.parametrize("name", OPENAPI)
def test_every_route_has_an_id_of_its_own_and_says_what_it_answers(generated: dict[str, str], name: str) -> None:
    document = json.loads(generated[f"openapi-{name}.json"])
    routes = [route for path in document["paths"].values() for route in path.values()]
    ids = [route["operationId"] for route in routes]
    assert sorted(set(ids)) == sorted(ids)
    assert [route["operationId"] for route in routes if not route["responses"]] == []


def test_every_reference_of_the_asyncapi_document_leads_somewhere(spoken: Document) -> None:
    for reference in references(spoken):
        assert isinstance(resolve(spoken, reference), dict), reference


def test_every_schema_of_the_asyncapi_document_is_one(spoken: Document) -> None:
    for schema in spoken["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for message in spoken["components"]["messages"].values():
        Draft202012Validator.check_schema(message["payload"])


def test_operations_use_messages_of_their_channels(spoken: Document) -> None:
    """AsyncAPI 3: a message of an operation is a reference into the operation's channel."""
    for name, operation in spoken["operations"].items():
        assert operation["action"] in ("send", "receive")
        for part in (operation, operation.get("reply", operation)):
            channel = part["channel"]["$ref"]
            assert [each for each in part["messages"] if not each["$ref"].startswith(f"{channel}/messages/")] == [], (
                name
            )


def test_every_client_frame_has_a_reply() -> None:
    assert socket.REPLIES.keys() == socket.CLIENT_FRAMES.keys()


def test_every_exchange_and_every_body_is_in_the_document() -> None:
    assert list(broker.CARRIES) == list(EXCHANGES)
    carried = {body for bodies in broker.CARRIES.values() for body in bodies}
    assert set(get_args(Body)) - carried == {TypingChanged}  # inside hand-offs alone


def vectors(name: str, *, unasked: tuple[str, ...] = ()) -> list[Any]:
    found = json.loads((VECTORS / f"{name}.json").read_text())
    return [pytest.param(value, id=key) for key, value in found.items() if key not in unasked]


@pytest.mark.parametrize("vector", vectors("receive"))
def test_what_the_server_takes_is_documented_and_what_it_refuses_as_a_field_is_not(
    frames: Spoken, vector: Document
) -> None:
    frame, means = vector["frame"], vector["means"]
    if "wish" in means or "reply" in means:
        frames.payload(f"client.{frame['type']}").validate(frame)
    elif means["code"] == "invalid_field" and means["path"] != "$.data.emoji":  # that is more than a schema can say
        known = isinstance(frame, dict) and f"socket.client.{frame.get('type')}" in frames.names
        assert not known or not frames.payload(f"client.{frame['type']}").is_valid(frame)


@pytest.mark.parametrize("frame", [*vectors("render"), *vectors("server")])
def test_what_the_server_says_is_as_documented(frames: Spoken, frame: Document) -> None:
    name = frame["type"] if frame["type"] == "error" else f"server.{frame['type']}"
    frames.payload(name).validate(frame)


@pytest.mark.parametrize("frame", vectors("answer", unasked=("created",)))  # no frame creates a conversation
def test_what_the_server_answers_is_as_documented(frames: Spoken, frame: Document) -> None:
    asked = [type_ for type_, views in socket.REPLIES.items() if views is not None]
    assert any(frames.payload(f"reply.{type_}").is_valid(frame) for type_ in asked)
