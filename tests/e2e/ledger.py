"""The ledger: pairs of users write to each other while things break, and every message is accounted for afterwards.

Every message that was said to be stored is in MongoDB once; each conversation's seq is 1 … n; both users got each
message once and in order; every sender saw all of their messages delivered and read.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from websockets.asyncio.client import ClientConnection, connect

from client.events import Event, EventsDropped, MessageFailed, MessageReceived, ReceiptAdvanced, Truncated
from client.sending import Sent
from client.warren import WarrenClient
from client.wire import Message, Stage
from tests.e2e.stack import Stack

Chaos = Callable[[], Awaitable[None]]
PAUSE_S = 0.1  # between the bursts of one user
DROP_EVERY_S = (0.2, 2.0)


@dataclass
class Participant:
    """One user: what they sent, what they got, and what they learnt of their messages."""

    user_id: str
    peer_id: str
    changed: asyncio.Event
    unanswered: int = 0
    stored: dict[str, Sent] = field(default_factory=dict)  # by client_id, in the order of sending
    received: list[Message] = field(default_factory=list)
    marks: dict[Stage, int] = field(default_factory=dict)  # how far the peer has come
    wrong: list[Event] = field(default_factory=list)  # what a client must never be told here
    statuses: list[str] = field(default_factory=list)  # the first answers
    pushed: list[tuple[int, str]] | None = None  # what a second, naive device got: it drops, sorts and fetches nothing

    async def say(self, client: WarrenClient, client_id: str) -> None:
        """Send one message and wait until it is stored."""
        self.unanswered += 1
        sent = await client.send(f"{client_id} from {self.user_id}", to=self.peer_id, client_id=client_id)
        self.statuses.append(sent.status)
        self.stored[client_id] = await sent.stored()
        self.unanswered -= 1
        self.changed.set()

    async def listen(self, client: WarrenClient) -> None:
        """Take account of what comes, and acknowledge it."""
        async for event in client:
            match event:
                case MessageReceived(message):
                    self.received.append(message)
                    if message.sender_id != self.user_id:
                        client.ack(message.conversation_id, message.seq, Stage.DELIVERED)
                        client.ack(message.conversation_id, message.seq, Stage.READ)
                case ReceiptAdvanced():
                    if event.user_id == self.peer_id:
                        self.marks[event.stage] = event.seq
                case Truncated():
                    await self._read_up(client, event)
                case MessageFailed() | EventsDropped():
                    self.wrong.append(event)
                case _:
                    continue
            self.changed.set()

    async def _read_up(self, client: WarrenClient, truncated: Truncated) -> None:
        """Fetch what was too much to be told before the first message."""
        more = True
        while more:
            had = len(self.received)
            page = await client.history(
                truncated.conversation_id, after=had, limit=min(200, truncated.before - 1 - had)
            )
            self.received.extend(page.messages)
            more = len(self.received) < truncated.before - 1

    async def listen_naively(self, socket: ClientConnection) -> None:
        """Note what a device gets that knows no more of the protocol than to read."""
        self.pushed = []
        async for raw in socket:
            frame = json.loads(raw)
            if frame["type"] == "message":
                self.pushed.append((frame["data"]["seq"], frame["data"]["id"]))
                self.changed.set()

    @property
    def last_seq(self) -> int:
        """The seq of their own last message."""
        return max((sent.seq or 0 for sent in self.stored.values()), default=0)

    def lacks(self, total: int) -> str:
        """Say what is still to come, of `total` messages in the conversation; empty where nothing is."""
        wanting = {
            "answers": self.unanswered,
            "messages": total - len(self.received),
            "pushed messages": 0 if self.pushed is None else total - len(self.pushed),
            "delivered": self.last_seq - self.marks.get(Stage.DELIVERED, 0),
            "read": self.last_seq - self.marks.get(Stage.READ, 0),
        }
        missing = ", ".join(f"{count} {what}" for what, count in wanting.items() if count > 0)
        return f"{self.user_id} lacks {missing}" if missing else ""


class Ledger:
    """All pairs of one test."""

    def __init__(self, stack: Stack, *, users: int) -> None:
        self._stack = stack
        self.changed = asyncio.Event()
        names = [f"user-{n}" for n in range(users)]
        peers = [name for one, other in zip(names[::2], names[1::2], strict=True) for name in (other, one)]
        self.participants = [Participant(*pair, self.changed) for pair in zip(names, peers, strict=True)]

    @property
    def pairs(self) -> Sequence[tuple[Participant, Participant]]:
        """Those who write to each other."""
        return list(zip(self.participants[::2], self.participants[1::2], strict=True))

    async def fill(
        self,
        *,
        burst: int,
        chaos: Chaos | None = None,
        drops: bool = False,
        naive: bool = False,
        deadline_s: float = 60.0,
    ) -> None:
        """Let everyone send bursts until the chaos is over, then wait until every message is accounted for.

        Without chaos everyone sends one burst. With `drops` the clients lose their connections at random moments. With
        `naive` everyone has a second device that only listens; its gateway must not be killed.
        """
        async with self._clients() as clients, self._naive_devices(naive) as devices, asyncio.TaskGroup() as listening:
            tasks = [listening.create_task(who.listen(client)) for who, client in clients]
            tasks += [listening.create_task(who.listen_naively(socket)) for who, socket in devices]
            if drops:
                tasks += [listening.create_task(_drop_at_random(client, who.user_id)) for who, client in clients]
            calm = asyncio.Event()
            async with asyncio.TaskGroup() as talking:
                for who, client in clients:
                    talking.create_task(_talk(who, client, burst, calm))
                if chaos is not None:
                    await chaos()
                calm.set()
            lacking = await self._settle(deadline_s)
            for task in tasks:
                task.cancel()
        assert not lacking, f"after {deadline_s:.0f} s {'; '.join(lacking)}"

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[list[tuple[Participant, WarrenClient]]]:
        """Connect everyone, the two of a pair to different gateways."""
        async with AsyncExitStack() as stack:
            clients = []
            for index, who in enumerate(self.participants):
                gateway = self._stack.gateways[index % len(self._stack.gateways)]
                client = WarrenClient(gateway.socket_url, token=await self._stack.token(who.user_id))
                clients.append((who, await stack.enter_async_context(client)))
            yield clients

    @asynccontextmanager
    async def _naive_devices(self, wanted: bool) -> AsyncIterator[list[tuple[Participant, ClientConnection]]]:
        async with AsyncExitStack() as stack:
            devices = []
            for index, who in enumerate(self.participants if wanted else ()):
                gateway = self._stack.gateways[index % len(self._stack.gateways)]
                url = f"{gateway.socket_url}?token={await self._stack.token(who.user_id)}"
                devices.append((who, await stack.enter_async_context(connect(url))))
            yield devices

    async def _settle(self, deadline_s: float) -> list[str]:
        """Wait until nothing is lacking; give what is after the deadline."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while self._lacking():
                    self.changed.clear()
                    await self.changed.wait()
        return self._lacking()

    def _lacking(self) -> list[str]:
        lacking = []
        for pair in self.pairs:
            total = sum(len(who.stored) for who in pair)
            lacking += [lack for who in pair if (lack := who.lacks(total))]
        return lacking

    def check(self, database: Database[dict[str, Any]]) -> int:
        """Compare everyone's account with the database's. Gives the number of messages."""
        return sum(self._check_pair(one, other, database) for one, other in self.pairs)

    def _check_pair(self, one: Participant, other: Participant, database: Database[dict[str, Any]]) -> int:
        conversation_id = next(iter(one.stored.values())).conversation_id
        documents = list(database["messages"].find({"conversation_id": conversation_id}).sort("seq"))
        assert [document["seq"] for document in documents] == list(range(1, len(documents) + 1))
        in_database = {(document["sender_id"], document["client_id"]): document["seq"] for document in documents}
        assert len(in_database) == len(documents), "a message is stored twice"
        said = {(who.user_id, sent.client_id): sent.seq for who in (one, other) for sent in who.stored.values()}
        assert said == in_database
        for who in (one, other):
            assert who.wrong == []
            received = [(message.seq, message.id) for message in who.received]
            places = [(document["seq"], document["_id"]) for document in documents]
            assert received == places, f"{who.user_id} {_difference(received, places)}"
            assert who.pushed in (None, places), f"{who.user_id} {_difference(who.pushed or [], places)}"
        return len(documents)

    def check_order_of_sending(self) -> None:
        """See that each sender's messages have their places in the order in which they were sent."""
        for who in self.participants:
            order = [int(message.client_id) for message in who.received if message.sender_id == who.user_id]
            assert order == sorted(order), who.user_id


def _difference(got: Sequence[tuple[int, str]], wanted: Sequence[tuple[int, str]]) -> str:
    at = next((n for n, (one, other) in enumerate(zip(got, wanted, strict=False)) if one != other), len(wanted))
    return f"got {len(got)} of {len(wanted)}, and at place {at} {got[at : at + 3]} for {wanted[at : at + 3]}"


async def _talk(who: Participant, client: WarrenClient, burst: int, calm: asyncio.Event) -> None:
    sent = 0
    while True:
        async with asyncio.TaskGroup() as group:
            for number in range(sent, sent + burst):
                group.create_task(who.say(client, str(number)))
        sent += burst
        if calm.is_set():
            return
        await asyncio.sleep(PAUSE_S)


async def _drop_at_random(client: WarrenClient, seed: str) -> None:
    dice = random.Random(seed)
    while True:
        await asyncio.sleep(dice.uniform(*DROP_EVERY_S))
        client.drop()


@asynccontextmanager
async def accounts(stack: Stack, *, users: int, dead: int = 0) -> AsyncIterator[Ledger]:
    """Open a ledger; at the end see that it agrees with the database and that there are so many dead letters."""
    ledger = Ledger(stack, users=users)
    yield ledger
    database: MongoClient[dict[str, Any]] = MongoClient(stack.environ["WARREN_MONGO_URL"])
    with database:
        ledger.check(database[stack.environ["WARREN_MONGO_DATABASE"]])
    async with stack.admin("delivery") as delivery:
        depths = (await delivery.get("/admin/retries")).raise_for_status().json()
    assert sum(depth for queue, depth in depths.items() if queue.endswith(".dead")) == dead
