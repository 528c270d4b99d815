"""The queue of the synchronous client: bounded, in order, in a file that outlives the program."""

from pathlib import Path

import pytest

from client.errors import OutboxFull, QueueUnavailable
from client.websocket_client import WebSocketClient
from client.websocket_queue import SendQueue
from client.websocket_receipts import MAX_REMEMBERED, Arrival, Receipts, Received, receipt_of
from tests.fakes.service_server import DROP_BEFORE_ANSWERING, NO_ANSWER, PATIENCE_S, ServiceServer


def opened(path: Path | None = None) -> SendQueue:
    queue = SendQueue(path)
    queue.open()
    return queue


def put(queue: SendQueue, *names: str, user_id: str = "123", limit: int = 100) -> None:
    for name in names:
        queue.add(user_id, name, {"message": name}, limit=limit)


def drain(queue: SendQueue, user_id: str = "123") -> list[str]:
    names = []
    while (queued := queue.head(user_id)) is not None:
        assert queued.payload == {"message": queued.client_id}
        names.append(queued.client_id)
        queue.remove(queued.client_id)
    return names


def test_a_message_stays_at_the_head_until_it_is_removed() -> None:
    queue = opened()
    put(queue, "a", "b")
    assert queue.head("123") == queue.head("123")
    assert drain(queue) == ["a", "b"]
    queue.close()


def test_the_bound_is_each_users_own() -> None:
    queue = opened()
    put(queue, "a", "b", limit=2)
    with pytest.raises(OutboxFull):
        put(queue, "c", limit=2)
    put(queue, "d", user_id="5", limit=2)
    assert drain(queue, "5") == ["d"]


def test_a_file_keeps_what_is_queued_without_the_token(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    first = opened(path)
    put(first, *(f"{n}" for n in range(20)))
    first.close()
    second = opened(path)
    assert second.count("123") == 20
    put(second, "20")
    assert drain(second) == [f"{n}" for n in range(21)]
    second.close()


def test_what_is_in_memory_alone_outlives_a_disconnect() -> None:
    queue = opened()
    put(queue, "a")
    queue.close()
    queue.open()
    assert drain(queue) == ["a"]


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(QueueUnavailable, match="nowhere"):
        opened(tmp_path / "nowhere" / "queue.sqlite")
    broken = tmp_path / "broken.sqlite"
    broken.write_text("This is no database, and long enough to be seen as none." * 20)
    with pytest.raises(QueueUnavailable, match="broken"):
        opened(broken)


def test_a_closed_queue_takes_nothing(tmp_path: Path) -> None:
    queue = opened(tmp_path / "queue.sqlite")
    queue.close()
    with pytest.raises(QueueUnavailable):
        put(queue, "a")


def test_another_run_of_the_program_sends_the_rest_once(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    with ServiceServer.open() as server:
        server.plans.extend([DROP_BEFORE_ANSWERING, NO_ANSWER])
        first = WebSocketClient(server.url, queue_path=path)
        first.retry_interval = 0.02
        first.connect(123, "good", "device-uuid")
        for n in range(4):
            first.send_message("session-uuid", f"{n}")
        for _ in range(2):
            server.arrivals.get(timeout=PATIENCE_S)
        first.disconnect(flush_timeout=0)
        assert server.contents() == ["0"]
        assert b"good" not in path.read_bytes()

        second = WebSocketClient(server.url, queue_path=path)
        second.connect(123, "good", "device-uuid")
        assert second.flush(PATIENCE_S)
        second.disconnect()
        assert server.contents() == ["0", "1", "2", "3"]


def test_the_oldest_messages_had_are_forgotten_first() -> None:
    received = Received()
    for n in range(MAX_REMEMBERED + 1):
        received.take(f"{n}")
        received.finish(f"{n}")
    assert received.take(f"{MAX_REMEMBERED}") is Arrival.REPEAT
    assert received.take("0") is Arrival.NEW


def test_a_message_is_new_then_underway_then_a_repeat() -> None:
    received = Received()
    assert received.take("1") is Arrival.NEW
    assert received.take("1") is Arrival.UNDERWAY
    received.finish("1")
    received.take("2")
    received.forget_underway()
    assert received.take("1") is Arrival.REPEAT
    assert received.take("2") is Arrival.NEW


def test_receipts_are_kept_until_confirmed_and_the_oldest_go_beyond_the_limit() -> None:
    receipts = Receipts()
    keys = [receipts.add("message_read", receipt_of(n, 123)) for n in range(MAX_REMEMBERED + 1)]
    assert len(receipts) == MAX_REMEMBERED
    assert receipts.unconfirmed()[0][1] == {"message_id": 1, "user_id": 123}
    receipts.confirm(keys[1])
    assert receipts.unconfirmed()[0][1]["message_id"] == 2


@pytest.mark.parametrize(("message_id", "shown"), [("789", 789), (789, 789), ("0199-ab", "0199-ab")])
def test_a_receipt_counts_messages_with_integers(message_id: int | str, shown: int | str) -> None:
    assert receipt_of(message_id, 1)["message_id"] == shown
