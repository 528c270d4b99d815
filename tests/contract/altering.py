"""How the contract of a log's changes is written down: a group, what is done to it, and what is there then."""

from datetime import timedelta

from history.reading import LoggedChange, LoggedMessage, Record
from history.sequence import Appended
from history.store import Altered, MessageStore
from shared.commands import Alteration, DeleteScope, HistoryRule, Role, SendMessage
from shared.events import Entry
from shared.ids import ConversationId, MessageId, UserId
from tests.fakes.clock import START
from tests.fakes.history_commands import (
    BOB,
    EVE,
    GROUP,
    add,
    create_group,
    delete,
    done,
    edit,
    react,
    remove,
    rename,
    send,
)

SECOND = timedelta(seconds=1)
BEFORE = START - SECOND
CAROL = UserId("carol")
M1 = MessageId("m-1")


async def append(store: MessageStore, *commands: SendMessage) -> list[Appended]:
    return [done(result) for result in await store.append(commands, at=START, repeated=False)]


async def alter(store: MessageStore, command: Alteration) -> Altered:
    return done(await store.alter(command, at=START + SECOND))


async def changed(store: MessageStore, command: Alteration) -> Entry:
    entry = (await alter(store, command)).entry
    assert entry is not None
    return entry


async def group(store: MessageStore, history: HistoryRule = HistoryRule.JOINED) -> None:
    """Version 1: the group of Alice (who owns it), Bob and Eve; version 2: Alice's message m-1."""
    done((await store.create([create_group(history=history)], at=START))[0])
    await append(store, send("c1", room=GROUP, message_id=M1))


async def log(store: MessageStore, room: ConversationId = GROUP) -> list[LoggedMessage | LoggedChange]:
    return await store.entries(room, after=0, floor=BEFORE, until=None, limit=10_000)


async def versions(store: MessageStore, room: ConversationId = GROUP) -> list[int]:
    return [entry.version for entry in await log(store, room)]


async def logged(store: MessageStore, message_id: MessageId = M1) -> LoggedMessage:
    return (await store.messages_by_id([message_id]))[message_id]


async def record(store: MessageStore, room: ConversationId = GROUP) -> Record:
    return (await store.records([room]))[room]


def every_alteration() -> list[Alteration]:
    return [
        edit(M1, "new"),
        delete(M1),
        delete(M1, DeleteScope.ME, by=BOB),
        react(M1),
        rename("New"),
        add(CAROL),
        add(BOB, role=Role.ADMIN),
        remove(EVE),
    ]
