"""Flickr8k's photographs and captions, and which of them the text tower of `mini` has never seen."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TEST_PHOTOS = 1000
VALIDATION_PHOTOS = 1000


@dataclass(frozen=True, slots=True)
class Captions:
    """Photographs and their captions."""

    photos: list[Path]
    texts: list[str]
    photo_of: NDArray[np.int64]
    """Index into `photos`, one per text."""


def read_captions(folder: Path) -> Captions:
    """Read captions.csv (columns image, caption) and the folder `images` beside it. Raises OSError and KeyError."""
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["image"], row["caption"].strip()) for row in csv.DictReader(file)]
    names = sorted({name for name, _ in rows})
    index = {name: position for position, name in enumerate(names)}
    photo_of = np.array([index[name] for name, _ in rows], dtype=np.int64)
    return Captions([folder / "images" / name for name in names], [text for _, text in rows], photo_of)


def split(photos: list[Path]) -> tuple[list[int], list[int], list[int]]:
    """Return the indices of the photographs for training, validation and test.

    By the digest of the file's name, so that the split of a photograph does not depend on the other files.
    """
    order = sorted(range(len(photos)), key=lambda i: hashlib.sha256(photos[i].name.encode()).hexdigest())
    held_out = TEST_PHOTOS + VALIDATION_PHOTOS
    return sorted(order[held_out:]), sorted(order[TEST_PHOTOS:held_out]), sorted(order[:TEST_PHOTOS])
