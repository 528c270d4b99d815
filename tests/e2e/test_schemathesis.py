"""Whatever is sent to the REST APIs, their answers are those that their OpenAPI documents describe, and never a 500."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shared.settings import DEVELOPMENT_SECRET
from tests.e2e.stack import Stack

DOCS = Path(__file__).parents[2] / "docs"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
LONG = os.environ.get("WARREN_TEST_FUZZ_EXAMPLES")  # of each operation, at random; without it: few, the same each time
EXAMPLES = int(LONG or 8)
WISHES: Sequence[Mapping[str, object]] = [
    {"kind": "direct", "member_ids": ["bob"]},
    *({"kind": "group", "name": "Group", "member_ids": ["bob", "carol"]} for _ in range(4)),
    *({"kind": "space", "name": "Space"} for _ in range(2)),
    *({"kind": "channel", "name": "Channel"} for _ in range(3)),
]
MESSAGES = 5  # in each
SHOWN = 1_500  # characters of one failure
# An operation of the document that a request of a test must not make: it ends the service, or never ends itself.
LEFT_OUT = {"/admin/drain", "/sse"}


@dataclass
class Api:
    """One API that runs: its document, where it is, and what is known to be there."""

    name: str
    url: str
    token: str
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)  # path parameter → values that lead somewhere

    tried: set[str] = field(default_factory=set)  # operations
    done: set[str] = field(default_factory=set)  # those that did what was asked, once at least

    def fuzz(self) -> list[str]:
        """Send all sorts of requests; gives what was wrong with the answers."""
        schema = schemathesis.openapi.from_path(DOCS / f"openapi-{self.name}.json")
        wrong: list[str] = []
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {self.token}"
            for result in schema.get_all_operations():
                if isinstance(result, Err):
                    raise result.err()
                operation = result.ok()
                if operation.path in LEFT_OUT:
                    continue
                for mode in GenerationMode:
                    try:
                        self._try(operation.as_strategy(generation_mode=mode), session)
                    except Unsatisfiable:  # nothing that this operation takes could be wrong
                        assert mode is GenerationMode.NEGATIVE
                    except FailureGroup as failures:
                        wrong += [f"{self.name} {operation.label}: {each}"[:SHOWN] for each in failures.exceptions]
        return wrong

    def _try(self, strategy: st.SearchStrategy[Case[Any]], session: requests.Session) -> None:
        @settings(
            max_examples=EXAMPLES,
            derandomize=LONG is None,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy, leads_somewhere=st.booleans(), choice=st.integers(0, 2**16))
        def send(case: Case[Any], leads_somewhere: bool, choice: int) -> None:
            for name in self.known.keys() & case.path_parameters.keys() if leads_somewhere else ():
                case.path_parameters[name] = self.known[name][choice % len(self.known[name])]
            answer = case.call_and_validate(base_url=self.url, session=session, checks=CHECKS)
            self.tried.add(case.operation.label)
            if answer.status_code < 300:
                self.done.add(case.operation.label)

        send()


async def prepared(stack: Stack) -> list[Api]:
    """Let alice have conversations and messages, enough to lose some on the way, and give all APIs."""
    gateway = stack.gateways[0]
    token = await stack.token("alice")
    known: dict[str, list[str]] = {"user_id": ["alice", "bob", "nobody"], "emoji": ["👍"], "device_id": ["phone"]}
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=gateway.rest_url, headers=headers, timeout=30) as http:
        for wish in WISHES:
            created = (await http.post("/v1/conversations", json=wish)).raise_for_status().json()
            known.setdefault("conversation_id", []).append(created["id"])
            for n in range(MESSAGES if wish["kind"] != "space" else 0):
                path = f"/v1/conversations/{created['id']}/messages"
                sent = (await http.post(path, json={"content": f"{n}"})).raise_for_status().json()
                known.setdefault("message_id", []).append(sent["message_id"])
    admins = {"gateway-admin": gateway.name, **{f"{each}-admin": each for each in ("history", "delivery", "presence")}}
    return [
        Api("gateway", gateway.rest_url, token, known),
        *(
            Api(api, f"http://127.0.0.1:{stack.admin_ports[program]}", DEVELOPMENT_SECRET, known)
            for api, program in admins.items()
        ),
    ]


async def test_every_answer_is_one_that_the_documents_describe(stack: Stack) -> None:
    apis = await prepared(stack)
    wrong = [each for api in apis for each in await asyncio.to_thread(api.fuzz)]
    assert wrong == [], "\n\n".join(wrong)
    for api in apis:  # requests that only fail would say little
        assert len(api.done) >= len(api.tried) * 0.6, (api.name, api.tried - api.done)
    await stack.ready()


def test_every_document_is_tried() -> None:
    documents = {path.stem.removeprefix("openapi-") for path in DOCS.glob("openapi-*.json")}
    assert documents == {"gateway", "gateway-admin", "history-admin", "delivery-admin", "presence-admin"}
