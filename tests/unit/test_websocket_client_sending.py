"""What the synchronous client sends: once, in order, over lost connections."""

import threading
from queue import Queue
from typing import Any

import pytest

from client.errors import Closed, MessageRefused, OutboxFull
from client.websocket_client import WebSocketClient
from tests.fakes import websocket_program
from tests.fakes.service_server import (
    DROP_BEFORE_ANSWERING,
    DROP_BEFORE_STORING,
    HOLD_ANSWER,
    NO_ANSWER,
    PATIENCE_S,
    UNREADABLE_ANSWER,
    ServiceServer,
)
from tests.fakes.websocket_program import connect, next_of

lasting_server, server = websocket_program.lasting_server, websocket_program.server
told, client = websocket_program.told, websocket_program.client
no_thread_left = websocket_program.no_thread_left


def test_messages_arrive_once_and_in_order_over_lost_connections(
    client: WebSocketClient, server: ServiceServer
) -> None:
    server.plans.extend([DROP_BEFORE_ANSWERING, DROP_BEFORE_STORING, DROP_BEFORE_ANSWERING])
    connect(client)
    sendings = [client.send_message("session-uuid", f"{n}") for n in range(20)]
    assert [sending.result(PATIENCE_S)["message_id"] for sending in sendings] == list(range(789, 809))
    assert server.contents() == [f"{n}" for n in range(20)]
    assert server.arrivals.qsize() == 23


def test_a_message_without_an_answer_is_sent_again_under_the_same_id(
    client: WebSocketClient, server: ServiceServer
) -> None:
    client.answer_timeout = 0.2
    server.plans.append(NO_ANSWER)
    connect(client)
    assert client.send_message("session-uuid", "Hello").result(PATIENCE_S)["message_id"] == 789
    first, second = server.arrivals.get_nowait(), server.arrivals.get_nowait()
    assert first["client_id"] == second["client_id"]
    assert server.contents() == ["Hello"]


def test_a_refused_message_is_told_and_the_next_one_goes_out(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any]
) -> None:
    server.plans.append({"success": False, "code": "not_found", "message": "No such session."})
    connect(client)
    refused = client.send_message("elsewhere", "lost")
    assert client.send_message("session-uuid", "kept").result(PATIENCE_S)["success"] is True
    with pytest.raises(MessageRefused, match="No such session") as error:
        refused.result(PATIENCE_S)
    assert (error.value.code, error.value.client_id) == ("not_found", refused.client_id)
    assert next_of(told, error.value)
    assert server.contents() == ["kept"]


def test_an_answer_that_cannot_be_read_counts_as_a_refusal(client: WebSocketClient, server: ServiceServer) -> None:
    server.plans.append(UNREADABLE_ANSWER)
    connect(client)
    with pytest.raises(MessageRefused):
        client.send_message("session-uuid", "Hello").result(PATIENCE_S)


@pytest.mark.parametrize("code", ["unavailable", "rate_limited"])
def test_a_server_in_passing_trouble_gets_the_messages_later_in_their_order(
    client: WebSocketClient, server: ServiceServer, code: str
) -> None:
    server.plans.extend([{"success": False, "code": code, "message": "Later."}] * 2)
    connect(client)
    sendings = [client.send_message("session-uuid", f"{n}") for n in range(3)]
    sendings[-1].result(PATIENCE_S)
    assert server.contents() == ["0", "1", "2"]


def test_the_server_may_say_how_long_to_pause(client: WebSocketClient, server: ServiceServer) -> None:
    client.retry_interval = client.max_retry_interval = 3600
    server.plans.append({"success": False, "code": "rate_limited", "message": "Slower.", "retry_after_ms": 20})
    connect(client)
    assert client.send_message("session-uuid", "Hello").result(PATIENCE_S)["success"] is True


def test_a_full_queue_is_an_error_of_the_caller(client: WebSocketClient, server: ServiceServer) -> None:
    client.max_queue_size = 2
    server.plans.append(HOLD_ANSWER)
    connect(client)
    for n in range(2):
        client.send_message("session-uuid", f"{n}")
    with pytest.raises(OutboxFull, match="2 messages"):
        client.send_message("session-uuid", "2")
    server.released.set()
    assert client.flush(PATIENCE_S)
    client.send_message("session-uuid", "2").result(PATIENCE_S)
    assert server.contents() == ["0", "1", "2"]


def test_disconnect_waits_for_what_was_sent(client: WebSocketClient, server: ServiceServer) -> None:
    server.plans.append(HOLD_ANSWER)
    connect(client)
    client.send_message("session-uuid", "first")
    client.send_message("session-uuid", "last", reply_to_message_id=456, to_user_id=7)
    threading.Timer(0.05, server.released.set).start()
    client.disconnect()
    assert server.contents() == ["first", "last"]
    assert (server.stored[1]["reply_to_message_id"], server.stored[1]["to_user_id"]) == (456, 7)


def test_what_disconnect_left_unsent_goes_out_with_the_next_connection(
    client: WebSocketClient, server: ServiceServer
) -> None:
    server.stop()
    connect(client)
    sending = client.send_message("session-uuid", "late")
    client.disconnect()
    with pytest.raises(TimeoutError):
        sending.result(timeout=0)
    server.start()
    connect(client, user_id=5)
    assert client.flush(PATIENCE_S)
    assert server.contents() == []
    connect(client)
    assert sending.result(PATIENCE_S)["success"] is True


def test_without_connect_nothing_can_be_sent(client: WebSocketClient) -> None:
    with pytest.raises(Closed):
        client.send_message(1, "2")


def test_many_threads_may_send_at_once(client: WebSocketClient, server: ServiceServer) -> None:
    connect(client)

    def send(name: int) -> None:
        for n in range(10):
            client.send_message("session-uuid", f"{name}.{n}")

    threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(PATIENCE_S)
    for name in range(4):
        assert [text for text in server.contents() if text.startswith(f"{name}.")] == [f"{name}.{n}" for n in range(10)]
    assert len(server.stored) == 40
