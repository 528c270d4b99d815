"""What the services publish is what the AsyncAPI document says that the exchanges carry."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from deploy.api_documents import asyncapi
from shared.broker.memory import MemoryBroker
from shared.broker.topology import COMMANDS, EVENTS, GATEWAYS, PRESENCE, RECEIPTS, REPLICAS, SESSIONS, SIGNALS, Route
from tests.slice.warren import Warren, running

Published = defaultdict[str, list[bytes]]  # exchange → bodies


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Published:
    """Listen to everything that any service publishes."""
    heard: Published = defaultdict(list)
    publish = MemoryBroker.publish

    async def listen(
        self: MemoryBroker, route: Route, body: bytes, *, headers: Mapping[str, Any] | None = None
    ) -> None:
        heard[route.exchange.name].append(body)
        await publish(self, route, body, headers=headers)

    monkeypatch.setattr(MemoryBroker, "publish", listen)
    return heard


async def people_do_all_sorts_of_things(warren: Warren) -> None:
    alice, bob = await warren.connect("alice"), await warren.connect("bob")
    sent = await alice.request("send", to="bob", content="hi", client_id="c1")
    bob.send_frame("ack", conversation_id=sent["conversation_id"], seq=1, stage="read")
    await bob.request("react", message_id=sent["message_id"], emoji="👍")
    await alice.request("edit", message_id=sent["message_id"], content="hello")
    await alice.request("typing", to="bob", active=True)
    await alice.request("delete", message_id=sent["message_id"])
    await bob.refused("send", conversation_id="of-others", content="hi")
    await bob.request("presence", status="dnd", text="busy")
    await warren.passes(1)
    alice.hang_up()
    await warren.passes(10)
    await warren.settled()


async def test_every_message_of_the_broker_is_as_documented(published: Published) -> None:
    async with running() as warren:
        await people_do_all_sorts_of_things(warren)
    document = asyncapi.render()
    exchanges = (COMMANDS, EVENTS, GATEWAYS, PRESENCE, RECEIPTS, REPLICAS, SESSIONS, SIGNALS)
    used = {exchange.name for exchange in exchanges}
    assert published.keys() == used
    for exchange, bodies in published.items():
        payload = document["components"]["messages"][f"{exchange}.batch"]["payload"]
        validator = Draft202012Validator({**payload, "components": document["components"]})
        for body in bodies:
            validator.validate(msgspec.json.decode(body))
