import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from shared.logging import configure_logging, mask_secrets
from shared.settings import LogSettings


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_json_lines_carry_the_event_its_fields_and_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(log_format="json"), service="history")
    structlog.get_logger().info("message_stored", seq=7)
    (line,) = lines(capsys)
    assert line.pop("timestamp")
    assert line == {"event": "message_stored", "seq": 7, "level": "info", "service": "history"}


def test_the_level_holds_for_structlog_and_the_standard_library(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(log_format="json", log_level="WARNING"), service="history")
    for name in ("info", "warning"):
        getattr(structlog.get_logger(), name)(f"ours {name}")
        getattr(logging.getLogger("library"), name)(f"theirs {name}")
    assert [line["event"] for line in lines(capsys)] == ["ours warning", "theirs warning"]


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_chatty_libraries_are_heard_from_warning_on(capsys: pytest.CaptureFixture[str], level: str) -> None:
    configure_logging(LogSettings.model_validate({"log_format": "json", "log_level": level}), service="gateway")
    for name in ("httpx", "aio_pika.channel", "uvicorn.error"):
        logging.getLogger(name).info("GET /v1/ws?token=secret")
        logging.getLogger(name).warning("lost %s", name)
    said = [(line["event"], line["level"], line["service"]) for line in lines(capsys)]
    assert said == [(f"lost {name}", "warning", "gateway") for name in ("httpx", "aio_pika.channel", "uvicorn.error")]


def test_the_amqp_library_leaves_lost_connections_to_the_broker(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(log_format="json"), service="gateway")
    logging.getLogger("aiormq.connection").error("Unexpected connection close")
    logging.getLogger("aiormq.connection").critical("worse")
    assert [line["event"] for line in lines(capsys)] == ["worse"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_form_of_line_shows_a_secret(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    configure_logging(LogSettings.model_validate({"log_format": log_format}), service="gateway")
    url = "amqp://guest:hunter2@rabbit/"
    try:
        raise ConnectionError(f"cannot reach {url}")
    except ConnectionError as error:
        structlog.get_logger().exception("lost", url=url, error=error)
        logging.getLogger("library").exception("lost %s", url)
    said = capsys.readouterr().out
    assert said.count("ConnectionError") >= 2
    assert said.count("amqp://guest:***@rabbit/") >= 5
    assert "hunter2" not in said


def test_warnings_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(log_format="json"), service="gateway")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = lines(capsys)
    assert "DeprecationWarning: old" in str(line["event"])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mongodb://u:p%40ss@a:27017,b:27017/?x=1", "mongodb://u:***@a:27017,b:27017/?x=1"),
        ("amqp://:pass@h/", "amqp://:***@h/"),
        ("GET /v1/ws?token=abc.def&x=1 HTTP/1.1", "GET /v1/ws?token=***&x=1 HTTP/1.1"),
        ("http://127.0.0.1:8103/a@b:c@d", "http://127.0.0.1:8103/a@b:c@d"),
        ("at 12:00 me@example.org: hi", "at 12:00 me@example.org: hi"),
    ],
)
def test_passwords_and_tokens_in_urls_are_masked(text: str, masked: str) -> None:
    assert mask_secrets(text) == masked
