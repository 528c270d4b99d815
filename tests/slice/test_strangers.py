"""A stranger who knows every id and number learns nothing and changes nothing, whichever way it asks."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import httpx
import pytest

from tests.fakes.clock import settle
from tests.slice.sockets import FakeSocket
from tests.slice.warren import Warren, running

SECRET = "secret"
Ask = tuple[str, str, object]


class Secrets(NamedTuple):
    """What alice has, by every name that it goes by; bob is with her in the first of the conversations alone."""

    conversations: tuple[str, ...]
    messages: tuple[str, ...]


class Strange:
    """Eve, who knows all of that."""

    def __init__(self, warren: Warren) -> None:
        public = warren.processes["gw-1"].service.public
        assert public is not None
        self._warren = warren
        self._transport = httpx.ASGITransport(public.app)

    async def rest(self, user: str, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._warren.token(user)}"}
        async with httpx.AsyncClient(transport=self._transport, base_url="http://w", headers=headers) as client:
            answer = await client.request(method, path, json=body)
        await settle()
        return answer


@pytest.fixture
async def warren() -> AsyncIterator[Warren]:
    async with running() as warren:
        yield warren


async def keep_secrets(strange: Strange, alice: FakeSocket) -> Secrets:
    said = [await alice.request("send", to="bob", content=SECRET, metadata={"x": SECRET})]
    names = [said[0]["conversation_id"]]
    wishes = [{"kind": "group"}, {"kind": "space"}, {"kind": "channel"}]
    for wish in wishes:
        parent = {"parent_id": names[-1]} if wish["kind"] == "channel" else {}
        made = (await strange.rest("alice", "POST", "/v1/conversations", wish | parent | {"name": SECRET})).json()
        names.append(made["id"])
    said += [await alice.request("send", conversation_id=names[at], content=SECRET) for at in (1, 3)]
    numbers = [
        str((await strange.rest("alice", "GET", f"/v1/conversations/{name}")).json()["number"]) for name in names
    ]
    messages = [str(each[name]) for each in said for name in ("message_id", "number")]
    return Secrets((*names, *numbers), tuple(messages))


def requests(secrets: Secrets) -> Iterator[Ask]:
    """Every route that names a conversation or a message, with each of theirs."""
    for name in secrets.conversations:
        path = f"/v1/conversations/{name}"
        yield from (
            ("GET", path + rest, None) for rest in ("", "/members", "/channels", "/messages", "/receipts?seq=1")
        )
        yield from (("PUT", f"{path}/members/{user}", {"role": "owner"}) for user in ("eve", "bob"))
        yield from (("DELETE", f"{path}/members/{user}", None) for user in ("eve", "bob"))
        yield "PUT", f"{path}/members/eve", None
        yield "POST", f"{path}/members", {"user_ids": ["eve"]}
        yield "PATCH", path, {"name": "mine"}
        yield "POST", "/v1/conversations", {"kind": "channel", "name": "mine", "parent_id": name}
        for message in (None, *secrets.messages):
            yield "POST", f"{path}/messages", {"content": "x", "reply_to": message}
    for message in secrets.messages:
        path = f"/v1/messages/{message}"
        yield "PATCH", path, {"content": "x"}
        yield from (("DELETE", f"{path}?scope={scope}", None) for scope in ("me", "everyone"))
        yield from ((method, f"{path}/reactions/x", None) for method in ("PUT", "DELETE"))
    yield "PATCH", "/v1/users/alice", {"name": "mine"}
    yield "DELETE", "/v1/devices/alice-phone", None


def frames(secrets: Secrets) -> Iterator[tuple[str, dict[str, object]]]:
    """Every frame that names a conversation or a message, with each of theirs."""
    for name in secrets.conversations:
        yield "history", {"conversation_id": name}
        yield "send", {"conversation_id": name, "content": "x"}
    for message in secrets.messages:
        yield "edit", {"message_id": message, "content": "x"}
        yield "react", {"message_id": message, "emoji": "x"}
        yield "delete", {"message_id": message, "scope": "me"}
        yield "delete", {"message_id": message, "scope": "everyone"}


async def test_rest_refuses_strangers(warren: Warren) -> None:
    strange, alice = Strange(warren), await warren.connect("alice")
    await warren.connect("eve")
    secrets = await keep_secrets(strange, alice)
    before = alice.unread_frames()
    for method, path, body in requests(secrets):
        answer = await strange.rest("eve", method, path, body)
        assert answer.status_code in (403, 404), (method, path, body, answer.text)
        assert SECRET not in answer.text, (method, path, body)
    assert alice.unread_frames() == before


async def test_what_a_stranger_has_is_nothing(warren: Warren) -> None:
    strange, alice = Strange(warren), await warren.connect("alice")
    await warren.connect("eve")
    await keep_secrets(strange, alice)
    for path in ("/v1/conversations", "/v1/sync", "/v1/unread"):
        answer = await strange.rest("eve", "GET", path)
        assert not answer.json()["conversations"], path
    devices = (await strange.rest("eve", "GET", "/v1/devices")).json()["devices"]
    assert [device["id"] for device in devices] == ["eve-phone"]


async def test_a_socket_refuses_strangers_and_what_is_not_answered_reaches_nobody(warren: Warren) -> None:
    strange, alice, eve = Strange(warren), await warren.connect("alice"), await warren.connect("eve")
    secrets = await keep_secrets(strange, alice)
    before = alice.unread_frames()
    for type_, data in frames(secrets):
        error = await eve.refused(type_, **data)
        assert error["code"] in ("not_a_member", "not_found"), (type_, data, error)
        assert SECRET not in json.dumps(error), (type_, data)
    for name in secrets.conversations:
        eve.send_frame("typing", conversation_id=name)
        eve.send_frame("ack", conversation_id=name, seq=1, stage="read")
    await warren.passes(2)
    assert alice.unread_frames() == before
    assert SECRET not in json.dumps(eve.unread_frames())
