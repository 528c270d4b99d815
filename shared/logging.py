"""Logs: events with fields, for people on a console or for machines as JSON; libraries' records go the same way."""

import logging
import re
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.settings import LogSettings

QUIET = (
    "aio_pika",
    "asyncio",
    "engineio",
    "httpcore",
    "httpx",
    "motor",
    "pymongo",
    "uvicorn",
)  # INFO: a line a request
MUTE = ("aiormq",)  # a traceback for each lost connection and failed attempt, of which our broker logs one line
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):[^@/\s]+@")
_URL_TOKEN = re.compile(r"(?<=[?&]token=)[^&\s\"']+")


def configure_logging(settings: LogSettings, *, service: str) -> None:
    """Set up structlog and the standard library's logging for this process; every line names the service."""
    shared = _shared_processors(settings, service)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Filters before any processor runs: a DEBUG line a message costs next to nothing.
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(settings)],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
    for name in MUTE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)


def mask_secrets(text: str) -> str:
    """Hide the passwords in a text's URLs, and the tokens in their queries."""
    return _URL_TOKEN.sub("***", _URL_PASSWORD.sub(r"\1:***@", text))


def _shared_processors(settings: LogSettings, service: str) -> list[Processor]:
    def name_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    console = settings.log_format == "console"
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        name_service,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
    ]


def _renderers(settings: LogSettings) -> list[Processor]:
    renderer: Processor = structlog.processors.JSONRenderer(default=str)
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    # The traceback first: left to the renderer it would show local variables, where rich is installed.
    return [structlog.processors.format_exc_info, _mask, renderer]


def _mask(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {
        key: mask_secrets(str(value)) if isinstance(value, str | Exception) else value for key, value in event.items()
    }
