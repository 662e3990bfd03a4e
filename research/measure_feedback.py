#!/usr/bin/env python3
"""Measure how long a page of feedback takes on a day that has many verdicts, for docs/PERFORMANCE.md."""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated
from uuid import uuid4

import typer

from image_similarity.engine.feedback.events import Verdict
from image_similarity.engine.feedback.log import FeedbackLog
from image_similarity.storage.objects import Objects

_AT_ONCE = 64
_ROUNDS = 5
_LIMITS = (100, 1000)


async def fill(log: FeedbackLog, events: int) -> list[str]:
    """Add verdicts, and return their ids in order."""
    ids: list[str] = []
    for start in range(0, events, _AT_ONCE):
        some = range(start, min(events, start + _AT_ONCE))
        added = await asyncio.gather(*(log.add(f"image-{number}", Verdict.POSITIVE) for number in some))
        ids += [event.event_id for event in added]
    return sorted(ids)


async def measure(log: FeedbackLog, ids: list[str]) -> None:
    """Print the median milliseconds of pages at the beginning, in the middle and near the end."""
    print("| events a page | at the beginning | in the middle | near the end |\n| --- | --- | --- | --- |")
    for limit in _LIMITS:
        cells = []
        for cursor in (None, ids[len(ids) // 2], ids[-limit - 1]):
            taken = []
            for _ in range(_ROUNDS):
                start = perf_counter()
                await log.page(limit=limit, cursor=cursor)
                taken.append(1000 * (perf_counter() - start))
            cells.append(f"{median(taken):.0f} ms")
        print(f"| {limit} | {' | '.join(cells)} |")


async def run(url: str | None, folder: Path, events: int) -> None:
    """Fill a separate record, measure, and delete it."""
    log = FeedbackLog(Objects.open(url, default=folder), collection=f"measured-{uuid4()}", model="none", retention=0)
    try:
        await measure(log, await fill(log, events))
    finally:
        await log.delete_all()


def main(
    events: Annotated[int, typer.Option(help="Verdicts of the day.", min=2001)] = 20_000,
    storage: Annotated[str | None, typer.Option(help="s3://… or file:///…; a temporary folder if not given.")] = None,
) -> None:
    """Measure how long a page of feedback takes on a day that has many verdicts."""
    with TemporaryDirectory() as folder:
        asyncio.run(run(storage, Path(folder), events))


if __name__ == "__main__":
    typer.run(main)
