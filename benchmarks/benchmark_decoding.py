"""Throughput of decoding in threads and in processes: `benchmarks/benchmark_decoding.py PHOTOS`.

Alternates between the two, so that other work of the machine affects both; the best rounds count. On a busy machine
only the processor time is meaningful: the kernel divides a full machine by sessions, and a decoding process has its
own.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated

import typer

from image_similarity.concurrency.cores import usable_cores
from image_similarity.encoders.mini.squash import squash
from image_similarity.images.decoders import Decoders, Isolation
from image_similarity.images.recipe import Recipe
from image_similarity.telemetry.metrics import Metrics

MODES: tuple[Isolation, ...] = ("thread", "process")
SEARCH = Recipe(max_pixels=80_000_000, min_short_side=224, min_long_side=320, preprocess=(squash,))
INDEX = Recipe(max_pixels=80_000_000, min_short_side=224, min_long_side=320, preprocess=(squash,), thumbnail_side=320)


async def one_by_one(decoders: Decoders, files: list[bytes]) -> list[float]:
    """Return the milliseconds per image for a single client that searches."""
    taken = []
    for data in files:
        started = perf_counter()
        await decoders.run(data, SEARCH)
        taken.append(1000 * (perf_counter() - started))
    return taken


async def all_at_once(decoders: Decoders, files: list[bytes]) -> float:
    """Return images per second while a folder is indexed."""
    started = perf_counter()
    await asyncio.gather(*(decoders.run(data, INDEX) for data in files))
    return len(files) / (perf_counter() - started)


async def measure(mode: Isolation, files: list[bytes], rounds: int) -> AsyncIterator[tuple[list[float], float, float]]:
    """Yield per round the results of the two functions above, and this process's CPU milliseconds per image."""
    decoders = Decoders((squash,), Metrics(), isolation=mode, count=usable_cores(), timeout=60, memory=1 << 30)
    await all_at_once(decoders, files)
    for _ in range(rounds):
        own = process_time()
        alone, rate = await one_by_one(decoders, files), await all_at_once(decoders, files)
        yield alone, rate, 1000 * (process_time() - own) / (2 * len(files))
    decoders.close()


async def compare(files: list[bytes], rounds: int) -> None:
    """Print the figures of each mode."""
    measurements = {mode: measure(mode, files, rounds) for mode in MODES}
    found: dict[str, list[tuple[list[float], float, float]]] = {mode: [] for mode in MODES}
    for _ in range(rounds):
        for mode, measurement in measurements.items():
            found[mode].append(await anext(measurement))
    for measurement in measurements.values():
        await anext(measurement, None)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Includes the first round, in which the processes start.
    theirs = 1000 * (children.ru_utime + children.ru_stime) / (len(files) * (2 * rounds + 1))
    for mode, decoders in (("thread", 0.0), ("process", theirs)):
        alone, rates, own = zip(*found[mode], strict=True)
        # The fastest round of each image is the one that other work disturbed least.
        quickest = statistics.median(min(times) for times in zip(*alone, strict=True))
        server = statistics.median(own)
        print(
            f"{mode:8} one by one {quickest:5.2f} ms, at once {max(rates):5.1f} images/s; processor time an image: "
            f"{server:5.2f} ms of the server, {decoders:5.2f} ms of decoders, {server + decoders:5.2f} ms in all"
        )


def main(
    photos: Annotated[Path, typer.Argument(help="Folder of photographs.")],
    rounds: Annotated[int, typer.Option(min=1, help="Times that each mode is measured.")] = 7,
) -> None:
    """Compare decoding in threads and in processes."""
    files = [path.read_bytes() for path in sorted(photos.iterdir()) if path.is_file()]
    asyncio.run(compare(files, rounds))


if __name__ == "__main__":
    typer.run(main)
