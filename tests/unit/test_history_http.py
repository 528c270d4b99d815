"""History asked over HTTP answers and refuses as it does when asked directly."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import Depends, FastAPI
from pydantic import SecretStr

from history.admin import conversations_router
from history.api import queries_router
from history.queries import StoredHistory
from shared.clock import rfc3339
from shared.commands import ConversationKind, CreateConversation
from shared.errors import Invalid, NotAMember, NotFound, Unavailable, WarrenError
from shared.history_api import MessageSearch, SyncQuery
from shared.history_http import HttpHistory
from shared.http import bearer_guard, install_error_handlers
from shared.ids import ConversationId
from tests.fakes.clock import START, FakeClock
from tests.fakes.history_commands import ALICE, BOB, DIRECT, EVE, GROUP, acknowledge, create_group, send
from tests.fakes.history_store import FakeMessageStore

TOKEN = SecretStr("internal")
OPEN = CreateConversation(
    conversation_id=ConversationId("lobby"),
    kind=ConversationKind.CHANNEL,
    creator_id=ALICE,
    member_ids=(ALICE,),
    name="lobby",
)


class Asked:
    """The same history, at first hand and over HTTP."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeMessageStore()
        self.direct = StoredHistory(self.store, clock=self.clock)
        app = FastAPI()
        install_error_handlers(app)
        app.include_router(queries_router(self.direct), dependencies=[Depends(bearer_guard(TOKEN))])
        app.include_router(conversations_router(self.direct))
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://history",
            headers={"Authorization": "Bearer internal"},
        )
        self.remote = HttpHistory(self.client)


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    made = Asked()
    now = made.clock.now()
    await made.store.create([create_group()], at=now)
    await made.store.append([send(f"c{n}", to=BOB, content="👍") for n in range(3)], at=now, repeated=False)
    await made.store.advance([acknowledge(1)], at=now)
    async with made.client:
        yield made


async def test_every_query_answers_the_same(asked: Asked) -> None:
    remote, direct = asked.remote, asked.direct
    position = await remote.position(ALICE)
    assert position.token() == (await direct.position(ALICE)).token()
    for since in (None, position.token()):
        query = SyncQuery(user_id=BOB, since=since, versions={DIRECT: 1})
        assert await remote.sync(query) == await direct.sync(query)
    page = await remote.conversations(BOB, limit=1, cursor=None)
    assert page == await direct.conversations(BOB, limit=1, cursor=None)
    following = await remote.conversations(BOB, limit=1, cursor=page.next_cursor)
    assert following == await direct.conversations(BOB, limit=1, cursor=page.next_cursor)
    assert await remote.conversation(BOB, DIRECT) == await direct.conversation(BOB, DIRECT)
    messages = await remote.messages(BOB, DIRECT, before=3, after=None, limit=1)
    assert messages == await direct.messages(BOB, DIRECT, before=3, after=None, limit=1)
    assert messages.messages[0].content == "👍"
    assert await remote.unread(BOB) == {DIRECT: 2}
    assert await remote.members(GROUP) == await direct.members(GROUP)
    for cursor in (None, "Ym9i"):
        members = await remote.member_page(ALICE, GROUP, limit=1, cursor=cursor)
        assert members == await direct.member_page(ALICE, GROUP, limit=1, cursor=cursor)
    receipts = await remote.receipts(ALICE, DIRECT, 1)
    assert receipts == await direct.receipts(ALICE, DIRECT, 1)
    assert [(each.user_id, each.read, each.read_at) for each in receipts] == [(BOB, True, START)]
    number = (await direct.conversation(ALICE, GROUP)).number
    assert await remote.conversation_numbered(ALICE, number) == GROUP
    search = MessageSearch(user_id=BOB, text="👍", limit=2)
    assert len(await remote.find_messages(search)) == 2
    assert await remote.find_messages(search) == await direct.find_messages(search)
    await asked.store.create([OPEN], at=START)
    assert await remote.conversation_named(EVE, "lobby") == OPEN.conversation_id
    assert await remote.open_channel(EVE, OPEN.conversation_id) == await direct.open_channel(EVE, OPEN.conversation_id)
    channels = await remote.open_channels(EVE, limit=1, cursor=None)
    assert channels == await direct.open_channels(EVE, limit=1, cursor=None)
    assert (await remote.open_channels(EVE, limit=1, cursor="bG9iYnk=")).conversations == ()
    place = await remote.message_place(BOB, messages.messages[0].number)
    assert place == await direct.message_place(BOB, messages.messages[0].id)
    assert (place.conversation_id, place.seq) == (DIRECT, 2)
    space = ConversationId("space")
    await asked.store.create([create_group(room=space)], at=asked.clock.now())
    assert await remote.channels(ALICE, space) == await direct.channels(ALICE, space) == ()


async def test_refusals_come_through_with_what_they_say(asked: Asked) -> None:
    with pytest.raises(NotAMember) as refused:
        await asked.remote.conversation(EVE, DIRECT)
    assert refused.value.details == {"conversation_id": DIRECT, "user_id": EVE}
    with pytest.raises(NotFound):
        await asked.remote.members(ConversationId("none"))
    with pytest.raises(Invalid):
        await asked.remote.sync(SyncQuery(user_id=ALICE, since="nonsense!"))


async def failure(asked: Asked) -> WarrenError:
    with pytest.raises(WarrenError) as failed:
        await asked.remote.unread(ALICE)
    return failed.value


async def test_whatever_is_no_answer_is_an_outage(asked: Asked) -> None:
    asked.store.fail(1)
    assert type(await failure(asked)) is Unavailable
    asked.client.headers["Authorization"] = "Bearer wrong"
    assert type(await failure(asked)) is Unavailable


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, content=b"[]"),
        httpx.Response(502, content=b'{"x":' + b"[" * 100_000),
        httpx.Response(502, content=b"Bad gateway \xff"),
        None,
    ],
)
async def test_whatever_cannot_be_read_is_an_outage(response: httpx.Response | None) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if response is None:
            raise httpx.ConnectError("nobody there", request=request)
        return response

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://history") as client:
        with pytest.raises(Unavailable):
            await HttpHistory(client).unread(ALICE)


async def test_an_outage_has_a_reason_also_where_the_error_says_none() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://history") as client:
        with pytest.raises(Unavailable, match="does not answer: ReadTimeout"):
            await HttpHistory(client).unread(ALICE)


async def test_a_query_that_cannot_be_read_names_its_fault(asked: Asked) -> None:
    for body in (b'{"user_id": 5}', b'{"user_id": "\xff"}'):
        response = await asked.client.post("/internal/history/unread", content=body)
        assert (response.status_code, response.json()["code"]) == (422, "invalid_field")


async def test_an_operator_sees_a_conversation(asked: Asked) -> None:
    response = await asked.client.get(f"/admin/conversations/{DIRECT}")
    assert response.status_code == 200
    shown = response.json()
    assert (shown["id"], shown["last_seq"], shown["member_ids"]) == (DIRECT, 3, [ALICE, BOB])
    assert shown["watermarks"][1]["read_seq"] == 1
    times = (shown["created_at"], shown["last_message"]["created_at"], shown["watermarks"][1]["read_at"])
    assert times == (rfc3339(START),) * 3
    assert (await asked.client.get(f"/admin/conversations/{shown['number']}")).json() == shown
    for missing in ("none", "0", "999"):
        assert (await asked.client.get(f"/admin/conversations/{missing}")).status_code == 404


async def test_an_operator_sees_what_became_of_a_message(asked: Asked) -> None:
    [message] = (await asked.direct.messages(BOB, DIRECT, before=2, after=None, limit=1)).messages
    response = await asked.client.get(f"/admin/messages/{message.id}/timeline")
    assert response.status_code == 200
    shown = response.json()
    assert (shown["message_id"], shown["seq"]) == (message.id, 1)
    assert shown["steps"][0] == {"step": "stored", "at": rfc3339(START), "process": "history"}
    assert {"step": "read", "at": rfc3339(START), "user_id": BOB} in shown["steps"]
    assert (await asked.client.get(f"/admin/messages/{message.number}/timeline")).json() == shown
    for missing in ("none", "0", str(message.number + 99)):
        assert (await asked.client.get(f"/admin/messages/{missing}/timeline")).status_code == 404
