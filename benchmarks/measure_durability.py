#!/usr/bin/env python3
"""Measure the cost of DURABILITY=power: index the same images alternately with `power` and `process`, in one process.

    python benchmarks/measure_durability.py [PHOTOS] [--rounds 5] [--images 200]

Each round has a new collection on the disk of TMPDIR, and prints images per second. The ratio of the medians ends the
output. Without a folder of photographs, those that scikit-image and scikit-learn ship are used.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Literal

from image_similarity.bootstrap.engine import build_engine
from image_similarity.settings import Settings
from load_test.photos import shipped_photos

Durability = Literal["power", "process"]

CLIENTS = 32
"""Concurrent writes, as in a bulk job."""


async def rate(images: list[bytes], durability: Durability) -> float:
    """Index the images into a new collection; return how many per second."""
    with tempfile.TemporaryDirectory() as folder:
        engine = await build_engine(Settings(data_dir=Path(folder), model_name="mini", durability=durability))
        free = asyncio.Semaphore(CLIENTS)

        async def index(number: int, image: bytes) -> None:
            async with free:
                await engine.index_image(image, image_id=f"{number}")

        try:
            # Leave out the start of a decoder and the model's first step.
            await index(-1, images[0] + b"first")
            started = time.perf_counter()
            await asyncio.gather(*(index(number, image) for number, image in enumerate(images)))
            return len(images) / (time.perf_counter() - started)
        finally:
            await engine.close()


def main() -> None:
    """Measure alternately, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="?", type=Path, help="folder of JPEG files")
    parser.add_argument("--rounds", type=int, default=5, help="of both settings each (default: %(default)s)")
    parser.add_argument("--images", type=int, default=200, help="images of a round (default: %(default)s)")
    given = parser.parse_args()
    paths = sorted(given.photos.rglob("*.jp*g"))[: given.images] if given.photos else []
    found = [path.read_bytes() for path in paths] or shipped_photos(given.images)
    # Each image gets different bytes, so that each one is stored.
    images = [found[number % len(found)] + b"%d" % number for number in range(given.images)]
    rates: dict[Durability, list[float]] = {"power": [], "process": []}
    for number in range(given.rounds):
        for durability in sorted(rates, reverse=number % 2 == 1):
            rates[durability].append(asyncio.run(rate(images, durability)))
            print(f"{durability}: {rates[durability][-1]:.1f} images/s", flush=True)
    power, process = statistics.median(rates["power"]), statistics.median(rates["process"])
    print(f"median: power {power:.1f}, process {process:.1f} images/s; power / process {power / process:.3f}")


if __name__ == "__main__":
    main()
