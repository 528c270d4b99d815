import json
from typing import Any

import msgspec
import pytest

from gateway.content import encode_metadata, metadata_object
from shared.errors import InvalidField


def nested(depth: int) -> str:
    """Metadata of this many levels, the outermost counted."""
    inner = depth - 1
    return '{"a":' + "[" * inner + "1" + "]" * inner + "}"


@pytest.mark.parametrize(
    "text",
    [
        nested(32),
        '{"flat": [' + ",".join(["{}"] * 100) + "]}",
        json.dumps({"text": '[{"' * 100, "[" * 40: "\\"}),
    ],
)
def test_metadata_that_nests_little_passes_whatever_its_brackets(text: str) -> None:
    assert bytes(metadata_object(msgspec.Raw(text.encode()))) == text.encode()
    assert json.loads(bytes(encode_metadata(json.loads(text)))) == json.loads(text)


@pytest.mark.parametrize("text", [nested(33), nested(500), '{"\\"": "\\\\", "x": ' + nested(32) + "}"])
def test_metadata_that_nests_deep_is_refused_on_every_way_in(text: str) -> None:
    with pytest.raises(InvalidField) as by_socket:
        metadata_object(msgspec.Raw(text.encode()))
    assert by_socket.value.details == {"path": "$.data.metadata"}
    metadata: dict[str, Any] = json.loads(text)
    with pytest.raises(InvalidField) as by_rest:
        encode_metadata(metadata)
    assert by_rest.value.details == {"path": "metadata"}
