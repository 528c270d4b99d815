"""The synchronous client over Socket.IO, used as its document prints it."""

from typing import Any

import pytest

from client.websocket_client import ConnectionStatus, WebSocketClient
from tests.fakes import websocket_program
from tests.fakes.service_server import ServiceServer

lasting_server, server = websocket_program.lasting_server, websocket_program.server
no_thread_left = websocket_program.no_thread_left


def test_the_documents_program_runs_as_it_is_printed(server: ServiceServer, capsys: pytest.CaptureFixture[str]) -> None:
    ws_client = WebSocketClient(server_url=server.url)

    def on_connect() -> None:
        print("连接成功")  # noqa: T201

    def on_disconnect() -> None:
        print("连接断开")  # noqa: T201

    def on_message(data: dict[str, Any]) -> None:
        print(f"收到消息: {data}")  # noqa: T201

    def on_status_change(status: ConnectionStatus) -> None:
        print(f"状态变化: {status.value}")  # noqa: T201

    ws_client.on_connect(on_connect)
    ws_client.on_disconnect(on_disconnect)
    ws_client.on_message(on_message)
    ws_client.on_status_change(on_status_change)
    assert (ws_client.heartbeat_interval, ws_client.retry_interval, ws_client.max_queue_size) == (30, 5, 100)
    ws_client.heartbeat_interval = 30
    ws_client.retry_interval = 5
    ws_client.max_queue_size = 100

    ws_client.connect(
        user_id=123,
        token="good",
        device_id="device-uuid",
        device_info={"device_name": "My Computer", "device_type": "desktop", "platform": "Windows", "os_version": "10"},
    )
    ws_client.send_message(session_id="session-uuid", message="Hello", role="user", message_type="text")
    assert ws_client.is_connected()
    assert ws_client.get_status().value == "connected"
    ws_client.send_message_delivered(message_id=789, user_id=123)
    ws_client.send_message_read(message_id=789, user_id=123)
    ws_client.disconnect()

    assert capsys.readouterr().out.split() == [
        *("状态变化:", "connecting", "状态变化:", "connected", "连接成功"),
        *("连接断开", "状态变化:", "disconnected"),
    ]
    registration = server.registrations.get_nowait()
    assert registration["user_id"] == 123
    assert registration["device_id"] == "device-uuid"
    assert registration["device_info"]["platform"] == "Windows"
    (stored,) = server.stored
    assert {key: stored[key] for key in ("session_id", "from_user_id", "message", "role", "token", "message_type")} == {
        "session_id": "session-uuid",
        "from_user_id": 123,
        "message": "Hello",
        "role": "user",
        "token": "good",
        "message_type": "text",
    }
    assert server.delivered.get_nowait() == server.read.get_nowait() == {"message_id": 789, "user_id": 123}
    assert not ws_client.is_connected()
    assert ws_client.get_status() is ConnectionStatus.DISCONNECTED
