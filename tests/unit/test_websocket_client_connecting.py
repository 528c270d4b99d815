"""The connection of the synchronous client: made, lost, made again, ended."""

import threading
from queue import Queue
from typing import Any

import pytest

from client.errors import Closed, ServerError
from client.websocket_client import ConnectionStatus, WebSocketClient
from tests.fakes import websocket_program
from tests.fakes.service_server import NO_ANSWER, PATIENCE_S, ServiceServer, new_message
from tests.fakes.websocket_program import OPENING, connect, next_of

lasting_server, server = websocket_program.lasting_server, websocket_program.server
told, client = websocket_program.told, websocket_program.client
no_thread_left = websocket_program.no_thread_left


def test_connect_returns_when_it_is_registered(client: WebSocketClient, told: Queue[Any]) -> None:
    assert connect(client) is True
    assert client.is_connected()
    assert next_of(told, "connect") == [*OPENING, "connect"]


def test_a_refused_user_is_an_error_of_connect_and_nothing_is_tried_again(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any]
) -> None:
    with pytest.raises(ServerError, match="The token is not valid") as refused:
        client.connect(user_id=123, token="false")
    assert refused.value.code == "unauthenticated"
    assert client.get_status() is ConnectionStatus.DISCONNECTED
    assert server.registrations.qsize() == 1
    with pytest.raises(Closed):
        client.send_message("session-uuid", "Hello")


def test_a_server_in_passing_trouble_is_asked_again(client: WebSocketClient, server: ServiceServer) -> None:
    server.registration_answers.append({"success": False, "code": "unavailable", "message": "Later."})
    registered = threading.Event()
    client.on_connect(registered.set)
    assert connect(client) is False
    assert registered.wait(PATIENCE_S)


def test_connect_without_a_server_goes_on_trying_and_what_is_sent_waits(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any]
) -> None:
    server.stop()
    assert connect(client) is False
    assert client.get_status() is ConnectionStatus.RECONNECTING
    sending = client.send_message("session-uuid", "early")
    assert not sending.done()
    server.start()
    assert sending.result(PATIENCE_S)["message_id"] == 789
    assert next_of(told, "connect") == [
        ConnectionStatus.CONNECTING,
        ConnectionStatus.RECONNECTING,
        ConnectionStatus.CONNECTED,
        "connect",
    ]


def test_what_is_no_socket_io_server_is_unreachable(client: WebSocketClient) -> None:
    nowhere = WebSocketClient("http://127.0.0.1:1")
    assert nowhere.connect(1, "good") is False
    nowhere.disconnect()


@pytest.mark.parametrize("lose", [ServiceServer.drop, ServiceServer.say_goodbye])
def test_a_lost_connection_is_made_again_on_the_same_device(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any], lose: Any
) -> None:
    connect(client)
    next_of(told, "connect")
    lose(server)
    assert next_of(told, "connect") == [
        "disconnect",
        ConnectionStatus.RECONNECTING,
        ConnectionStatus.CONNECTED,
        "connect",
    ]
    first, second = server.registrations.get_nowait(), server.registrations.get_nowait()
    assert first["device_id"] == second["device_id"] == "device-uuid"


def test_connect_again_takes_the_place_of_the_connection(client: WebSocketClient, told: Queue[Any]) -> None:
    connect(client)
    assert connect(client, user_id=5) is True
    disconnected = ConnectionStatus.DISCONNECTED
    assert next_of(told, "connect", "connect") == [*OPENING, "connect", "disconnect", disconnected, *OPENING, "connect"]


def test_it_beats_with_the_id_of_the_connection(client: WebSocketClient, server: ServiceServer) -> None:
    client.heartbeat_interval = 0.02
    connect(client)
    beats = [server.heartbeats.get(timeout=PATIENCE_S) for _ in range(3)]
    connection_id = server.registrations.get_nowait()["connection_id"]
    assert beats == [{"connection_id": connection_id}] * 3


@pytest.mark.parametrize("answer", [None, {"success": False, "code": "not_found", "message": "Who?"}])
def test_a_heartbeat_that_fails_makes_a_new_connection(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any], answer: dict[str, Any] | None
) -> None:
    client.heartbeat_interval = 0.02
    client.answer_timeout = 0.2
    server.heartbeat_answers.append(answer)
    connect(client)
    next_of(told, "connect", "disconnect", "connect")


def test_a_kicked_client_stays_away(client: WebSocketClient, server: ServiceServer, told: Queue[Any]) -> None:
    connect(client)
    server.kick("Signed in elsewhere.")
    taken = next_of(told, ConnectionStatus.DISCONNECTED)
    assert taken[3:] == [("kicked", {"reason": "Signed in elsewhere."}), "disconnect", ConnectionStatus.DISCONNECTED]
    assert server.registrations.qsize() == 1
    with pytest.raises(Closed):
        client.send_message("session-uuid", "Hello")
    assert connect(client) is True


def test_a_callback_may_send_wait_for_the_answer_and_disconnect(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any]
) -> None:
    def reply(data: dict[str, Any]) -> None:
        client.send_message(data["session_id"], "Thanks").result(PATIENCE_S)
        client.disconnect()

    client.on_message(reply)
    connect(client)
    server.push("new_message", new_message(1))
    next_of(told, "disconnect", ConnectionStatus.DISCONNECTED)
    assert server.contents() == ["Thanks"]


def test_disconnect_does_not_wait_for_a_server_that_is_silent(client: WebSocketClient, server: ServiceServer) -> None:
    server.plans.append(NO_ANSWER)
    connect(client)
    sending = client.send_message("session-uuid", "Hello")
    server.arrivals.get(timeout=PATIENCE_S)
    client.disconnect(flush_timeout=0)
    assert not sending.done()
    assert client.get_status() is ConnectionStatus.DISCONNECTED


def test_disconnect_while_it_reconnects_returns_at_once(client: WebSocketClient, server: ServiceServer) -> None:
    client.retry_interval = 3600
    client.max_retry_interval = 3600
    server.stop()
    connect(client)
    client.disconnect()
    assert client.get_status() is ConnectionStatus.DISCONNECTED


def test_a_with_statement_disconnects(server: ServiceServer) -> None:
    with WebSocketClient(server.url) as client:
        connect(client)
        client.send_message("session-uuid", "Hello")
    assert server.contents() == ["Hello"]
