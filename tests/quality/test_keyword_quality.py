"""How well words find an image again that somebody else described: captions of Flickr8k, one kept, four asked with."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from image_similarity.domain import Embedding
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.embedded import EmbeddedStore
from image_similarity.vectors.keywords import Words
from tests.support.records import record

CAPTIONS = Path(__file__).resolve().parents[2].parent / "shared" / "flickr8k" / "captions.csv"
PHOTOS = 1000

pytestmark = pytest.mark.skipif(not CAPTIONS.is_file(), reason="the captions of ../shared are not there")


@pytest.fixture(scope="module")
def captions() -> dict[str, list[str]]:
    """Captions of the last photographs by name, five each."""
    read: defaultdict[str, list[str]] = defaultdict(list)
    with CAPTIONS.open(newline="") as file:
        for row in csv.DictReader(file):
            read[row["image"]].append(row["caption"])
    chosen = [name for name in sorted(read) if len(read[name]) == 5][-PHOTOS:]
    assert len(chosen) == PHOTOS
    return {name: read[name] for name in chosen}


async def recalls(
    folder: Path, captions: dict[str, list[str]], language: str, *, typed: float = 1.0
) -> dict[int, float]:
    """Return recall@k: each photograph is described by its first caption, and looked for by the others.

    `typed` is how much of each caption there is, to the letter.
    """
    store = EmbeddedStore.open(folder, CollectionMeta("none", 8), language=language)
    nowhere: Embedding = np.eye(1, 8, dtype=np.float32)[0]
    await store.upsert([(record(name, {"description": texts[0]}), nowhere) for name, texts in captions.items()])
    ranks: list[int] = []
    for name, texts in captions.items():
        for text in texts[1:]:
            words = text[: max(1, round(typed * len(text)))]
            found = [match.image_id for match in await store.query(Words(words), top_k=10, with_metadata=False)]
            ranks.append(found.index(name) if name in found else 10)
    await store.close()
    return {k: float(np.mean(np.asarray(ranks) < k)) for k in (1, 5, 10)}


async def test_another_persons_words_find_the_image_again(tmp_path: Path, captions: dict[str, list[str]]) -> None:
    english = await recalls(tmp_path / "english", captions, "english")
    plain = await recalls(tmp_path / "plain", captions, "none")
    half = await recalls(tmp_path / "half", captions, "english", typed=0.5)
    for name, figures in (("english", english), ("none", plain), ("english, half typed", half)):
        print(f"{name}: " + ", ".join(f"R@{k} {100 * value:.1f}" for k, value in figures.items()))  # noqa: T201

    assert english[10] >= 0.6
    assert english[1] > plain[1]
    assert english[10] > half[10] > 0.3
