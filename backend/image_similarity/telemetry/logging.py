"""Structured logs on standard error, one line per event: JSON for machines, colours for people."""

from __future__ import annotations

import json
import logging
import sys
from typing import Literal

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

_LONGEST_CAUSE = 240
"""Maximum characters of the reason why a call is retried."""


def configure_logging(*, level: str, log_format: Literal["json", "console"]) -> None:
    """Send our events and the libraries' log records through one pipeline; call it once, at the program's entry."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _shorten_retries,
    ]
    rendering: list[Processor] = (
        [_tracebacks(), structlog.processors.JSONRenderer(serializer=_to_json)]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Our own middleware logs each request once, with its id.
    logging.getLogger("uvicorn.access").disabled = True
    # A line per request to the hub helps only when a download is debugged.
    for chatty in ("httpx", "httpcore", "huggingface_hub", "filelock", "urllib3"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    # pika logs each step of every connection, and a refused one several times; its callers report the failure.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def get_logger() -> FilteringBoundLogger:
    """Return the logger; values bound to the context (the request id) are added to every line."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def _shorten_retries(_: object, __: str, event: EventDict) -> EventDict:
    """Shorten the event of a retry: stamina adds a page of gRPC debug output."""
    if event.get("event") == "stamina.retry_scheduled":
        cause = " ".join(str(event.get("caused_by")).split())
        kept = {name: value for name, value in event.items() if name not in {"callable", "args", "kwargs"}}
        return {**kept, "caused_by": cause if len(cause) <= _LONGEST_CAUSE else f"{cause[:_LONGEST_CAUSE]}…"}
    return event


def _tracebacks() -> Processor:
    # Without local variables, because they hold API keys and whole images.
    return structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def _to_json(event: object, **_: object) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    # A file name that is not UTF-8, or a number of more than 64 bits: do not lose the line.
    except orjson.JSONEncodeError:
        return json.dumps(event, default=str)
