"""Requests and events that the synchronous client has no method for."""

from queue import Queue
from typing import Any

import pytest

from client.errors import ConnectionLost, ServerError
from client.websocket_client import WebSocketClient
from tests.fakes import websocket_program
from tests.fakes.service_server import PATIENCE_S, ServiceServer
from tests.fakes.websocket_program import OPENING, connect, next_of

lasting_server, server = websocket_program.lasting_server, websocket_program.server
told, client = websocket_program.told, websocket_program.client
no_thread_left = websocket_program.no_thread_left


def test_any_other_request_has_its_answer_or_its_error(client: WebSocketClient) -> None:
    with pytest.raises(ConnectionLost):
        client.request("get_devices")
    connect(client)
    assert client.request("get_devices")["devices"] == [{"device_id": "device-uuid"}]
    with pytest.raises(ServerError, match="forbidden"):
        client.request("get_devices", {"of": "others"})


def test_an_event_of_the_server_is_not_taken_for_something_that_the_client_tells(
    client: WebSocketClient, server: ServiceServer, told: Queue[Any]
) -> None:
    connect(client)
    for event in ("message", "connect", "disconnect", "error", "status_change", "on_message"):
        server.push(event, {"id": "1"})
    server.push("message_status", {"status": "read"})
    assert next_of(told, ("message_status", {"status": "read"}))[:-1] == [*OPENING, "connect"]


def test_any_other_push_has_its_callback(client: WebSocketClient, server: ServiceServer) -> None:
    recalled: Queue[Any] = Queue()

    @client.on_connect
    def push() -> None:
        server.push("message_recalled", {"message_id": "789"})

    client.on("message_recalled", recalled.put)
    connect(client)
    assert recalled.get(timeout=PATIENCE_S) == {"message_id": "789"}
