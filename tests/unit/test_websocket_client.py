"""The synchronous client over Socket.IO, against a server of its wire: connecting, sending, receiving."""

import logging
import threading
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest

from client.errors import Closed, ConnectionLost, MessageRefused, OutboxFull, ServerError
from client.websocket_client import ConnectionStatus, WebSocketClient
from client.websocket_line import Line
from tests.fakes.service_server import (
    DROP_BEFORE_ANSWERING,
    DROP_BEFORE_STORING,
    HOLD_ANSWER,
    NO_ANSWER,
    PATIENCE_S,
    UNREADABLE_ANSWER,
    ServiceServer,
    new_message,
)

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
def _no_thread_left() -> Iterator[None]:
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


# --- the document's example


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


# --- connecting


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


# --- heartbeat


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


# --- sending


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


# --- receiving


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


# --- the end


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


# --- other events


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
