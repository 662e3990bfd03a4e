"""Run a sweep periodically, in spite of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.telemetry.logging import get_logger

_RANDOM = Random()  # noqa: S311 - a separate generator, because other code may have seeded the common one


async def run_periodically(
    sweep: Callable[[], Awaitable[int]], stop: asyncio.Event, *, seconds: float, dropped: str, failed: str
) -> None:
    """Sweep at once, and then every `seconds`, until `stop` is set.

    Each pause is up to half as long again, so that processes that start together drift apart. `dropped` is the name of
    the log event with the number of items that a sweep dropped, `failed` the one for a sweep that raised an error.
    """
    while not stop.is_set():
        try:
            if number := await sweep():
                get_logger().info(dropped, number=number)
        except StoreUnavailable as error:
            get_logger().warning(failed, reason=str(error))
        except Exception as error:
            get_logger().error(failed, exc_info=error)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds * _RANDOM.uniform(1, 1.5))
