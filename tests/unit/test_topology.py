from shared.broker.topology import (
    EXCHANGES,
    FAMILIES,
    Binding,
    Queue,
    QueueKind,
    RetryLadder,
    Topology,
    gateway_queue,
    gateway_route,
    routing_queue,
    signals_queue,
)
from shared.ids import ConversationId, GatewayId

TOPOLOGY = Topology(shards=4, ladder=RetryLadder(delays_s=(1, 10)))


def test_every_queue_has_its_own_name_a_known_family_and_declared_exchanges() -> None:
    own = (gateway_queue(GatewayId("g")), routing_queue("r"))
    names = [queue.name for queue in (*TOPOLOGY.queues, *own)]
    assert len(set(names)) == len(names)
    for queue in (*TOPOLOGY.queues, *own):
        assert queue.family in FAMILIES
        assert {binding.exchange for binding in queue.bindings} <= set(EXCHANGES)


def test_every_ladder_has_its_rungs_and_its_dead_letters() -> None:
    by_name = {queue.name: queue for queue in TOPOLOGY.queues}
    laddered = [queue for queue in TOPOLOGY.queues if queue.ladder]
    assert len(laddered) == 4 + 4 + 1
    for queue in laddered:
        assert f"{queue.family}.dead" in by_name
        for delay_s in (1, 10):
            rung = by_name[f"{queue.family}.retry.{delay_s}s"]
            assert (rung.message_ttl_s, rung.dead_letters_to_key) == (delay_s, True)
            headers = (("warren-family", queue.family), ("warren-delay-s", delay_s))
            assert [binding.headers for binding in rung.bindings] == [headers]


def test_what_needs_order_has_one_active_consumer() -> None:
    ordered = {queue.name for queue in TOPOLOGY.queues if queue.single_active_consumer}
    shards = {f"{family}.{n}" for family in ("history.commands", "delivery.events") for n in range(4)}
    assert ordered == shards | {"presence.sessions"}


def test_a_conversation_has_one_shard_and_its_routes_reach_that_shards_queues() -> None:
    keys = set()
    for number in range(100):
        conversation = ConversationId(f"c{number}")
        command, event = TOPOLOGY.commands_route(conversation), TOPOLOGY.events_route(conversation)
        assert command.key == event.key
        keys.add(command.key)
        assert _takers(command.exchange.name, command.key) == [f"history.commands.{command.key}"]
        assert _takers(event.exchange.name, event.key) == [f"delivery.events.{event.key}"]
    assert keys == {"0", "1", "2", "3"}


def _takers(exchange: str, key: str) -> list[str]:
    def takes(queue: Queue) -> bool:
        return any(binding.exchange.name == exchange and binding.key == key for binding in queue.bindings)

    return [queue.name for queue in TOPOLOGY.queues if takes(queue)]


def test_a_gateway_has_one_bounded_queue_that_dies_with_it() -> None:
    gateway = GatewayId("gw-1")
    queue, route = gateway_queue(gateway), gateway_route(gateway)
    assert queue.kind is QueueKind.EXCLUSIVE
    assert queue.max_length == 20_000
    assert Binding(route.exchange, route.key) in queue.bindings
    assert route.mandatory
    assert not route.persistent


def test_ephemera_expire_and_have_no_second_chance() -> None:
    queue = signals_queue()
    assert (queue.message_ttl_s, queue.dead_letters_to_key, queue.ladder) == (3, False, None)
