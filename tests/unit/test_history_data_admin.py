"""Operators export users, erase them, and set how long messages are kept."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from history import erasure
from history.data_admin import data_router
from history.erasure import Erasures
from history.export import Exports
from history.retention import Retention
from shared.broker.topology import Topology
from shared.commands import DeleteMessage, DeleteScope, RemoveMember, Stage
from shared.http import install_error_handlers
from shared.ids import new_id
from tests.fakes.clock import FakeClock
from tests.fakes.history_commands import ALICE, BOB, DIRECT, GROUP, acknowledge, create_group, done, send
from tests.fakes.history_store import FakeMessageStore
from tests.fakes.publisher import FakePublisher

TOPOLOGY = Topology(shards=4)


class Office:
    """An operator's way to the data."""

    def __init__(self) -> None:
        self.clock, self.store, self.publisher = FakeClock(), FakeMessageStore(), FakePublisher()
        erasures = Erasures(self.store, self.publisher, TOPOLOGY, clock=self.clock, new_id=new_id)
        app = FastAPI()
        install_error_handlers(app)
        app.include_router(
            data_router(Exports(self.store), erasures, Retention(self.store, holder="one", clock=self.clock))
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://history")

    async def people_talk(self) -> None:
        at = self.clock.now()
        [created] = await self.store.create([create_group((ALICE, BOB))], at=at)
        done(created)
        said = [
            send("d1", to=BOB),
            send("d2", sender=BOB, to=ALICE),
            *(send(f"g{n}", room=GROUP, content=f"{n}\n") for n in range(3)),
        ]
        for result in await self.store.append(said, at=at, repeated=False):
            done(result)
        await self.store.advance([acknowledge(2, Stage.READ, user=ALICE)], at=at)

    async def export(self, user: str) -> list[dict[str, Any]]:
        answer = await self.http.post(f"/admin/users/{user}/export")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
        return [json.loads(line) for line in answer.text.removesuffix("\n").split("\n")]


@pytest.fixture
async def office() -> Office:
    office = Office()
    await office.people_talk()
    return office


# --- export


async def test_an_export_is_all_of_a_user_and_nothing_of_others(office: Office) -> None:
    lines = await office.export("alice")
    assert {line["conversation_id"] for line in lines if line["type"] == "membership"} == {DIRECT, GROUP}
    assert sorted(line["content"] for line in lines if line["type"] == "message") == ["0\n", "1\n", "2\n", "hi"]
    [read] = [line for line in lines if line["type"] == "receipt" and line["conversation_id"] == DIRECT]
    assert (read["read_seq"], {move["stage"] for move in read["moves"]}) == (2, {"delivered", "read"})
    assert lines[-1] == {"type": "end", "lines": len(lines) - 1}


async def test_an_export_of_nobody_is_its_end(office: Office) -> None:
    assert await office.export("nobody") == [{"type": "end", "lines": 0}]


async def test_an_export_that_cannot_begin_says_so(office: Office) -> None:
    office.store.fail(1)
    answer = await office.http.post("/admin/users/alice/export")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_an_export_that_is_cut_off_lacks_its_end(office: Office) -> None:
    exports = await Exports(office.store).begin(ALICE)
    first = json.loads(await anext(exports))
    assert first["type"] == "membership"
    office.store.fail(1)
    await anext(exports)
    with pytest.raises(Exception, match="told to fail"):
        await anext(exports)


# --- erasure


async def test_erasing_asks_the_shards_to_delete_and_to_remove(office: Office) -> None:
    answer = await office.http.post("/admin/users/alice/erase")
    assert (answer.status_code, answer.json()) == (202, {"conversations": 2, "messages": 4})
    deletions = [body for body in office.publisher.bodies if isinstance(body, DeleteMessage)]
    assert {(each.actor_id, each.scope) for each in deletions} == {(None, DeleteScope.EVERYONE)}
    assert len({each.message_id for each in deletions}) == len({each.change_id for each in deletions}) == 4
    removals = [body for body in office.publisher.bodies if isinstance(body, RemoveMember)]
    assert [(each.actor_id, each.user_id, each.conversation_id) for each in removals] == [(None, ALICE, GROUP)]


async def test_an_erasure_lets_the_shards_do_what_is_posted_before_it_posts_more(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "POSTED", 2)
    async with asyncio.TaskGroup() as tasks:
        erasing = tasks.create_task(office.http.post("/admin/users/alice/erase"))
        while not erasing.done():
            await office.clock.advance(1)
            waiting = office.publisher.bodies
            assert len(waiting) <= 2
            office.publisher.posted.clear()
            for body in waiting:
                assert isinstance(body, DeleteMessage | RemoveMember)
                done(await office.store.alter(body, at=office.clock.now()))
    assert erasing.result().json() == {"conversations": 2, "messages": 4}
    assert all(not place.present for place in await office.store.places(ALICE) if place.conversation_id == GROUP)


async def test_an_erasure_gives_up_on_shards_that_do_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "POSTED", 2)
    async with asyncio.TaskGroup() as tasks:
        erasing = tasks.create_task(office.http.post("/admin/users/alice/erase"))
        await office.clock.advance(erasure.PATIENCE_S + 1)
    assert (erasing.result().status_code, erasing.result().json()["code"]) == (503, "unavailable")
    assert len(office.publisher.posted) <= 2


async def test_a_command_of_an_erasure_goes_to_the_shard_of_its_conversation(office: Office) -> None:
    await office.http.post("/admin/users/alice/erase")
    for route, envelope in office.publisher.posted:
        body = envelope.body
        assert isinstance(body, DeleteMessage | RemoveMember)
        assert (route, envelope.reply_to) == (TOPOLOGY.commands_route(body.conversation_id), None)


async def test_who_leaves_a_group_has_their_messages_deleted_first(office: Office) -> None:
    await office.http.post("/admin/users/alice/erase")
    in_group = [type(body) for body in office.publisher.bodies if getattr(body, "conversation_id", "") == GROUP]
    assert in_group == [DeleteMessage] * 3 + [RemoveMember]


async def test_the_name_is_gone_at_once(office: Office) -> None:
    await office.http.post("/admin/users/alice/erase")
    page = await office.store.messages(DIRECT, before=None, after=0, limit=9, newest=False)
    assert [logged.message.sender_name for logged in page] == ["", "Bob"]


async def test_nobody_is_erased_where_nobody_is(office: Office) -> None:
    answer = await office.http.post("/admin/users/nobody/erase")
    assert (answer.json(), office.publisher.posted) == ({"conversations": 0, "messages": 0}, [])


async def test_an_erasure_that_the_queue_refuses_is_asked_for_again(office: Office) -> None:
    office.publisher.full = True
    assert (await office.http.post("/admin/users/alice/erase")).status_code == 503
    office.publisher.full = False
    assert (await office.http.post("/admin/users/alice/erase")).json()["messages"] == 4


# --- retention


async def test_days_are_set_read_and_taken_back(office: Office) -> None:
    path = "/admin/retention"
    assert (await office.http.get(path)).json() == {"days": None}
    assert (await office.http.put(path, json={"days": 30})).json() == {"days": 30}
    assert (await office.http.get(path)).json() == {"days": 30}
    assert (await office.http.put(path, json={"days": None})).json() == {"days": None}


@pytest.mark.parametrize("wish", [{"days": 0}, {"days": -1}, {"days": 10**9}, {"days": "x"}, {}, []])
async def test_days_that_are_none_are_refused(office: Office, wish: object) -> None:
    answer = await office.http.put("/admin/retention", json=wish)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")
