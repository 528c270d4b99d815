"""Put a history process together; no I/O."""

from collections.abc import Mapping

from history.admin import conversations_router
from history.altering import ALTERATIONS, AlterConversations
from history.api import queries_router
from history.data_admin import data_router
from history.erasure import Erasures
from history.export import Exports
from history.handlers import AdvanceReceipts, CreateConversations, RefuseCommands, StoreMessages
from history.queries import StoredHistory
from history.retention import EVERY_S, Retention
from history.settings import HistorySettings
from history.store import MessageStore
from shared.broker.api import Broker, Handler
from shared.broker.batching import BatchingPublisher
from shared.broker.consumer import Consumer
from shared.broker.shares import Shares
from shared.broker.topology import HISTORY_COMMANDS, Topology
from shared.clock import Clock
from shared.commands import Acknowledge, CreateConversation, SendMessage
from shared.ids import NewId
from shared.service import Service
from shared.ticker import Ticker


def build(settings: HistorySettings, *, broker: Broker, store: MessageStore, clock: Clock, new_id: NewId) -> Service:
    """Build history: its share of the shards' consumers carries out commands, the query API answers from the store."""
    topology = Topology(shards=settings.broker.shards)
    publisher = BatchingPublisher(broker, clock=clock, pace_s=settings.broker.publish_pace_s)
    queries = StoredHistory(store, clock=clock)
    handlers: Mapping[type, Handler] = {
        CreateConversation: CreateConversations(store, publisher, topology, clock=clock, new_id=new_id),
        SendMessage: StoreMessages(store, publisher, topology, clock=clock, new_id=new_id),
        **dict.fromkeys(ALTERATIONS, AlterConversations(store, publisher, topology, clock=clock, new_id=new_id)),
        Acknowledge: AdvanceReceipts(store, publisher, clock=clock, new_id=new_id),
    }
    refuse = RefuseCommands(publisher, clock=clock, new_id=new_id)
    consumers = [
        Consumer(broker, queue, handlers, clock=clock, new_id=new_id, refuse=refuse, on_open=store.take_over)
        for queue in topology.history_commands
    ]
    replica_id = new_id()
    shares = Shares(
        broker,
        consumers,
        publisher,
        family=HISTORY_COMMANDS,
        replica_id=replica_id,
        clock=clock,
        new_id=new_id,
    )
    retention = Retention(store, holder=replica_id, clock=clock)
    erasures = Erasures(store, publisher, topology, clock=clock, new_id=new_id)

    async def broker_ready() -> bool:
        return broker.connected

    async def stats() -> Mapping[str, object]:
        return {"shards_open": shares.held, "shards": topology.shards, "replicas": shares.replicas}

    return Service(
        name="history",
        runners=(shares, *consumers, Ticker("history.retention", EVERY_S, retention.sweep, clock=clock), publisher),
        settings=settings,
        ready={"broker": broker_ready, "store": store.ping},
        stats=stats,
        routers=(conversations_router(queries), data_router(Exports(store), erasures, retention)),
        internal=(queries_router(queries),),
        drain_s=settings.history.drain_s,
    )
