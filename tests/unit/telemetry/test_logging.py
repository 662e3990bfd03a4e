"""Logs: one line an event, ours and the libraries' alike, with the request's id and without anybody's secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from datetime import datetime
from typing import Any, Literal

import pytest
import structlog

from image_similarity.telemetry.logging import configure_logging, get_logger

SECRET = "hunter2"
CHATTY = ("httpx", "httpcore", "huggingface_hub", "filelock", "urllib3")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Undo what configuring changes for the whole process."""
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    handlers, level, disabled = root.handlers[:], root.level, access.disabled
    levels = {name: logging.getLogger(name).level for name in CHATTY}
    structlog.contextvars.clear_contextvars()
    yield
    root.handlers, access.disabled = handlers, disabled
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configured(log_format: Literal["json", "console"]) -> io.StringIO:
    """Configure the logs for a standard error of their own, and return it."""
    stream = io.StringIO()
    with redirect_stderr(stream):
        configure_logging(level="INFO", log_format=log_format)
    return stream


@pytest.fixture
def lines() -> Callable[[], list[dict[str, Any]]]:
    """A function that returns what has been logged as JSON."""
    stream = configured("json")
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(lines: Any) -> None:
    get_logger().info("image_indexed", image_id="cats/tom é.jpg", ms=1.5)

    [line] = lines()
    assert (line["event"], line["level"], line["image_id"], line["ms"]) == (
        "image_indexed",
        "info",
        "cats/tom é.jpg",
        1.5,
    )
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() is not None


def test_the_request_id_goes_with_every_line_of_the_request(lines: Any) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        get_logger().info("ours")
        logging.getLogger("some.library").warning("theirs %s", 1)
    get_logger().info("later")

    ours, theirs, later = lines()
    assert (ours["request_id"], theirs["request_id"]) == ("r-1", "r-1")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("theirs 1", "warning", "some.library")
    assert "request_id" not in later


def test_less_severe_lines_are_left_out(lines: Any) -> None:
    get_logger().debug("ours")
    logging.getLogger("some.library").debug("theirs")
    logging.getLogger("httpx").info("a request to the hub")

    assert lines() == []


def fail(secret: str) -> None:
    raise ValueError("broken")


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_an_exception_is_logged_with_its_place_but_without_values(lines: Any, whose: str) -> None:
    try:
        fail(SECRET)
    except ValueError as error:
        if whose == "ours":
            get_logger().error("internal_error", exc_info=error)
        else:
            logging.getLogger("some.library").exception("internal_error")

    [line] = lines()
    [told] = line["exception"]
    assert (told["exc_type"], told["exc_value"]) == ("ValueError", "broken")
    assert told["frames"][-1]["name"] == "fail"
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize(
    "value",
    ["file-\udcff.jpg", 2**70, {1: "x"}, {"a", "b"}, object(), ValueError("odd")],
    ids=["half-a-character", "large", "number-as-key", "set", "object", "error"],
)
def test_no_value_costs_the_line(lines: Any, value: object) -> None:
    # pytest's own handlers, behind ours, would put half a character into a report that is sent between processes.
    logging.getLogger().handlers[1:] = []
    get_logger().info("odd", value=value)
    logging.getLogger("some.library").warning("odd %s", value)

    assert [line["event"].split()[0] for line in lines()] == ["odd", "odd"]


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_people_get_plain_text(whose: str) -> None:
    stream = configured("console")
    try:
        fail(SECRET)
    except ValueError:
        if whose == "ours":
            get_logger().exception("internal_error", path="/api")
        else:
            logging.getLogger("some.library").exception("internal_error")

    shown = stream.getvalue()
    assert "internal_error" in shown
    assert "ValueError: broken" in shown
    assert "in fail" in shown
    assert SECRET not in shown
    assert "\x1b[" not in shown


def test_configuring_twice_does_not_double_the_lines() -> None:
    first, second = configured("json"), configured("json")
    logging.getLogger("some.library").warning("once")
    get_logger().warning("once")

    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 2


def test_requests_are_logged_by_us_alone(lines: Any) -> None:
    assert logging.getLogger("uvicorn.access").disabled


def test_a_call_that_is_tried_again_is_told_in_a_short_line(lines: Any) -> None:
    get_logger().warning(
        "stamina.retry_scheduled",
        callable="<context block>",
        args=("x",),
        kwargs={},
        retry_num=1,
        caused_by="<AioRpcError of RPC that terminated with:\n\tstatus = UNAVAILABLE\n\t" + "debugging " * 100,
        wait_for=0.05,
    )

    [line] = lines()
    assert line["caused_by"].startswith("<AioRpcError of RPC that terminated with: status = UNAVAILABLE debugging")
    assert len(line["caused_by"]) < 300
    assert (line["retry_num"], line["wait_for"]) == (1, 0.05)
    assert line.keys().isdisjoint({"callable", "args", "kwargs"})
