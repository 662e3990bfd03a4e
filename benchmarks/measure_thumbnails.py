#!/usr/bin/env python3
"""Processor time and bytes of thumbnails, by their longest side, in rounds that alternate.

python benchmarks/measure_thumbnails.py PHOTOS [--sides 320 480 512] [--images 60] [--rounds 6]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from image_similarity.images.decode import decode
from image_similarity.images.files import find_images
from image_similarity.images.thumbnail import make_thumbnail

MAX_PIXELS = 80_000_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photographs")
    parser.add_argument("--sides", type=int, nargs="+", default=[320, 480, 512], help="pixels of the longest side")
    parser.add_argument("--images", type=int, default=60, help="most photographs, spread over the folder")
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    files = find_images([given.photos], recursive=True)
    chosen = [file.path.read_bytes() for file in files[:: max(1, len(files) // given.images)][: given.images]]
    decoding, shrinking, sizes = defaultdict(list), defaultdict(list), {}
    for _ in range(given.rounds):
        for side in given.sides:
            started = time.process_time()
            images = [decode(data, max_pixels=MAX_PIXELS, min_short_side=224, min_long_side=side) for data in chosen]
            decoded = time.process_time()
            sizes[side] = sum(len(make_thumbnail(each.image, max_side=side)) for each in images)
            decoding[side].append(decoded - started)
            shrinking[side].append(time.process_time() - decoded)
    print(
        f"{len(chosen)} photographs, per image:\n\n| side | decoding | thumbnail | bytes |\n| --- | --- | --- | --- |"
    )
    for side in given.sides:
        times = (f"{1000 * median(taken[side]) / len(chosen):.1f} ms" for taken in (decoding, shrinking))
        print(f"| {side} | {' | '.join(times)} | {sizes[side] / len(chosen) / 1000:.1f} kB |")


if __name__ == "__main__":
    main()
