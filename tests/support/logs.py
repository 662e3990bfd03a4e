"""Log lines of what runs in the tests' own process."""

from __future__ import annotations

import sys

import structlog


def log_to_standard_error() -> None:
    """Have log lines of servers in this process go where they do not end up in what a command prints."""
    structlog.reset_defaults()
    *processors, _ = structlog.get_config()["processors"]
    # As the program has it; structlog's own way renders the variables of each frame, for seconds.
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*processors, renderer], logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
