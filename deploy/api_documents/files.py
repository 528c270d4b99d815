"""The API documents as files: their names, and their text."""

import json

from deploy.api_documents import asyncapi, openapi
from shared.json_schemas import Schema


async def render() -> dict[str, str]:
    """Give the text of every document, by the name of its file."""
    documents = {f"openapi-{name}.json": document for name, document in (await openapi.render()).items()}
    return {name: _text(document) for name, document in (documents | {"asyncapi.json": asyncapi.render()}).items()}


def _text(document: Schema) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
