"""What the synchronous client receives, and acknowledges."""

import logging
import threading
from queue import Queue
from typing import Any

import pytest

from client.websocket_client import WebSocketClient
from client.websocket_line import Line
from tests.fakes import websocket_program
from tests.fakes.service_server import PATIENCE_S, ServiceServer, new_message
from tests.fakes.websocket_program import connect, next_of

lasting_server, server = websocket_program.lasting_server, websocket_program.server
told, client = websocket_program.told, websocket_program.client
no_thread_left = websocket_program.no_thread_left


def test_messages_come_in_order_once_each_and_are_acknowledged(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any]
) -> None:
    connect(client)
    ids = [1, 2, 2, 3, 1, 4]
    server.push_all("new_message", [new_message(n) for n in ids])
    taken = next_of(told, ("message", "4"))
    assert [one for one in taken if isinstance(one, tuple)] == [("message", f"{n}") for n in (1, 2, 3, 4)]
    assert client.flush(PATIENCE_S)
    delivered = [receipt["message_id"] for receipt in server.delivered.queue]
    assert set(delivered) == {1, 2, 3, 4}
    assert server.delivered.queue[0] == {"message_id": 1, "user_id": 123}


def test_a_thousand_messages_keep_their_order(client: WebSocketClient, server: ServiceServer, told: Queue[Any]) -> None:
    connect(client)
    server.push_all("new_message", [new_message(n) for n in range(1000)])
    taken = next_of(told, ("message", "999"))
    assert [one[1] for one in taken if isinstance(one, tuple)] == [f"{n}" for n in range(1000)]


def test_a_connection_hands_on_what_comes_on_one_thread(server: ServiceServer) -> None:
    came: Queue[tuple[int, str]] = Queue()
    line = Line(lambda line, event, data: came.put((threading.get_ident(), event)), lambda: None)
    line.open(server.url, path="socket.io", timeout_s=PATIENCE_S)
    line.request("register", {"token": "good", "connection_id": "1"}, timeout_s=PATIENCE_S)
    server.push_all("new_message", [new_message(n) for n in range(9)])
    threads = {came.get(timeout=PATIENCE_S)[0] for _ in range(10)}
    assert len(threads) == 1
    line.close()


def test_the_backlog_is_pushed_again_after_a_reconnect_and_heard_once(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any]
) -> None:
    server.backlog = [new_message(n, offline=True) for n in range(3)]
    connect(client)
    next_of(told, ("message", "2"))
    server.backlog.append(new_message(3, offline=True))
    server.drop()
    again = next_of(told, ("message", "3"))
    assert [one for one in again if isinstance(one, tuple)] == [("message", "3")]


def test_a_message_whose_callback_fails_is_not_acknowledged_and_comes_again(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any], caplog: pytest.LogCaptureFixture
) -> None:
    failures = [RuntimeError("The screen is gone.")]

    def take(data: dict[str, Any]) -> None:
        if failures:
            raise failures.pop()
        told.put(("message", data["id"]))

    client.on_message(take)
    server.backlog = [new_message(1)]
    with caplog.at_level(logging.ERROR, "warren.websocket_client"):
        connect(client)
        assert client.flush(PATIENCE_S)
        server.push("message_status", {"message_id": "789", "status": "read", "timestamp": "t"})
        next_of(told, ("message_status", {"message_id": "789", "status": "read", "timestamp": "t"}))
    assert "The screen is gone." in caplog.text
    assert server.delivered.empty()
    server.drop()
    next_of(told, ("message", "1"))
    assert server.delivered.get(timeout=PATIENCE_S)["message_id"] == 1


def test_acknowledging_may_be_left_to_the_program(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any]
) -> None:
    client.acknowledge = False
    connect(client)
    server.push("new_message", new_message(1))
    next_of(told, ("message", "1"))
    client.send_message_read("1", 123)
    assert server.read.get(timeout=PATIENCE_S) == {"message_id": 1, "user_id": 123}
    assert server.delivered.empty()


def test_receipts_said_without_a_connection_go_out_with_the_next(
    client: WebSocketClient, server: ServiceServer
) -> None:
    server.stop()
    connect(client)
    client.send_message_delivered(1, 123)
    client.send_message_delivered(2, 123)
    client.send_message_read(2, 123)
    server.start()
    assert [server.delivered.get(timeout=PATIENCE_S)["message_id"] for _ in range(2)] == [1, 2]
    assert server.read.get(timeout=PATIENCE_S)["message_id"] == 2


def test_receipts_said_before_connect_or_after_disconnect_wait_for_the_next(
    client: WebSocketClient, server: ServiceServer
) -> None:
    client.send_message_delivered(1, 123)
    connect(client)
    assert server.delivered.get(timeout=PATIENCE_S)["message_id"] == 1
    client.disconnect()
    client.send_message_read(2, 123)
    connect(client)
    assert server.read.get(timeout=PATIENCE_S)["message_id"] == 2


def test_more_messages_than_the_program_can_take_come_again_later(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any]
) -> None:
    client.max_received = 2
    go_on = threading.Event()

    def take(data: dict[str, Any]) -> None:
        go_on.wait(PATIENCE_S)
        told.put(("message", data["id"]))

    client.on_message(take)
    connect(client)
    server.backlog = [new_message(n) for n in range(2, 4)]
    server.push_all("new_message", [new_message(n) for n in range(4)])
    go_on.set()
    taken = next_of(told, ("message", "3"))
    assert [one[1] for one in taken if isinstance(one, tuple)] == ["0", "1", "2", "3"]


def test_a_slow_callback_delays_no_heartbeat(client: WebSocketClient, server: ServiceServer) -> None:
    client.heartbeat_interval = 0.02
    go_on = threading.Event()
    client.on_message(lambda data: go_on.wait(PATIENCE_S))
    connect(client)
    server.push("new_message", new_message(1))
    for _ in range(4):
        server.heartbeats.get(timeout=PATIENCE_S)
    go_on.set()
