"""Data sets for evaluation: images in folders whose names are the labels, or images with captions."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from image_similarity.domain.errors import InvalidRequest
from image_similarity.images.files import ImageFile, find_images

SEED = 6_174
"""Seed of the sample if there is a limit; the sample is the same each time."""


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images, each with the name of its folder."""

    files: tuple[ImageFile, ...]
    labels: tuple[str, ...]
    """One per file."""
    unlabelled: tuple[ImageFile, ...]
    """Images directly in the data set's folder, which have no label; they are left out."""


@dataclass(frozen=True, slots=True)
class CaptionedImages:
    """Images and texts that describe them."""

    files: tuple[ImageFile, ...]
    captions: tuple[tuple[str, int], ...]
    """Text and the index of its file; at least one per file."""
    missing: tuple[str, ...]
    """Images that have captions but no file; they are left out."""


def read_labelled(folder: Path, *, limit: int | None = None) -> LabelledImages:
    """Read a folder of folders; an image's label is the first folder on its path.

    With a `limit`, at most so many images, and equally many per label as far as possible.
    Raises InvalidRequest if no search can succeed: fewer than two labels, or no label with two images.
    """
    files = find_images([folder], recursive=True)
    by_label: dict[str, list[ImageFile]] = defaultdict(list)
    unlabelled = []
    for file in files:
        label, inside, _ = file.relative.partition("/")
        if inside:
            by_label[label].append(file)
        else:
            unlabelled.append(file)
    if len(by_label) < 2 or max(map(len, by_label.values())) < 2:
        raise InvalidRequest(
            f"{folder} must hold at least two folders of images, whose names are the labels, and at least one of them "
            "two images or more; for images with captions, name the file with --captions."
        )
    chosen = _take_evenly(by_label, limit) if limit is not None else by_label
    pairs = [(file, label) for label, members in sorted(chosen.items()) for file in members]
    return LabelledImages(tuple(file for file, _ in pairs), tuple(label for _, label in pairs), tuple(unlabelled))


def read_captioned(folder: Path, captions: Path, *, limit: int | None = None) -> CaptionedImages:
    """Read images of a folder and a CSV file with the columns `image` (path in the folder) and `caption`.

    An image may have several captions, one per row. With a `limit`, at most so many images: a random sample, the same
    each time. Raises InvalidRequest if the file cannot be read or lacks a column, or if fewer than two images are left.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    for name, text in _read_rows(captions):
        if text:
            texts[name].append(text)
    files = [ImageFile(folder / name, name) for name in sorted(texts)]
    missing = tuple(file.relative for file in files if not file.path.is_file())
    present = [file for file in files if file.path.is_file()]
    if len(present) < 2:
        raise InvalidRequest(
            f"{captions} names {len(files)} images, of which {len(present)} are in {folder}; at least two are needed."
        )
    if limit is not None and limit < len(present):
        # No secret: the sample must be reproducible.
        present = sorted(random.Random(SEED).sample(present, limit), key=lambda file: file.relative)  # noqa: S311
    numbered = tuple((text, number) for number, file in enumerate(present) for text in texts[file.relative])
    return CaptionedImages(tuple(present), numbered, missing)


def _take_evenly(by_label: dict[str, list[ImageFile]], limit: int) -> dict[str, list[ImageFile]]:
    draw = random.Random(SEED)  # noqa: S311 - as above
    shuffled = {label: draw.sample(members, len(members)) for label, members in sorted(by_label.items())}
    # Take the first two images of a label together, because one alone would have nothing to find.
    turns = sorted(
        (max(1, number), order, number, label)
        for order, (label, members) in enumerate(shuffled.items())
        for number in range(len(members))
    )
    taken: dict[str, list[ImageFile]] = defaultdict(list)
    for _, _, number, label in turns[:limit]:
        taken[label].append(shuffled[label][number])
    return {label: sorted(members, key=lambda file: file.relative) for label, members in taken.items()}


def _read_rows(path: Path) -> Iterable[tuple[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"image", "caption"} <= set(reader.fieldnames or ()):
                raise InvalidRequest(f"{path} must begin with a line that names the columns image and caption.")
            return [((row["image"] or "").strip(), (row["caption"] or "").strip()) for row in reader if row["image"]]
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequest(f"{path} is not a CSV file in UTF-8: {error}.") from error
