"""A program with the synchronous client over Socket.IO, and a server of its wire."""

import threading
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest

from client.websocket_client import ConnectionStatus, WebSocketClient
from tests.fakes.service_server import PATIENCE_S, ServiceServer

OPENING = [ConnectionStatus.CONNECTING, ConnectionStatus.CONNECTED]


@pytest.fixture(scope="module")
def lasting_server() -> Iterator[ServiceServer]:
    with ServiceServer.open() as server:
        yield server


@pytest.fixture
def server(lasting_server: ServiceServer) -> Iterator[ServiceServer]:
    lasting_server.forget()
    if not lasting_server.running:
        lasting_server.start()
    yield lasting_server
    lasting_server.released.set()


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    names = [thread.name for thread in threading.enumerate()]
    assert [name for name in names if "websocket" in name or "_loop" in name] == []


@pytest.fixture
def told() -> Queue[Any]:
    """What the client called back, in order."""
    return Queue()


@pytest.fixture
def client(server: ServiceServer, told: Queue[Any]) -> Iterator[WebSocketClient]:
    client = WebSocketClient(server_url=server.url)
    client.retry_interval = 0.02
    client.on_connect(lambda: told.put("connect"))
    client.on_disconnect(lambda: told.put("disconnect"))
    client.on_message(lambda data: told.put(("message", data["id"])))
    client.on_message_status(lambda data: told.put(("message_status", data)))
    client.on_status_change(lambda status: told.put(status))
    client.on_error(lambda error: told.put(error))
    client.on_kicked(lambda data: told.put(("kicked", data)))
    yield client
    client.disconnect(flush_timeout=0)


def connect(client: WebSocketClient, user_id: int = 123) -> bool:
    return client.connect(user_id=user_id, token="good", device_id="device-uuid")


def next_of(told: Queue[Any], *wanted: object) -> list[Any]:
    """Take what was called back until all of these came, in this order; gives everything taken."""
    taken = []
    for one in wanted:
        taken.append(told.get(timeout=PATIENCE_S))
        while taken[-1] != one:
            taken.append(told.get(timeout=PATIENCE_S))
    return taken
