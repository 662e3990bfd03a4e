"""How well words find an image again that somebody else described: captions of Flickr8k, one kept, four asked with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from image_similarity.domain.records import Embedding
from image_similarity.vectors.base import HybridQuery, StoreQuery
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.keywords import KeywordQuery
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from tests.quality.conftest import Described
from tests.support.records import record

Recall = dict[int, float]


def other_captions(described: Described) -> list[tuple[int, int, str]]:
    """Return all captions but the first: the place of the photograph, the caption's number there, and what it says."""
    captions = enumerate(described.captions)
    return [(place, number, texts[number]) for place, texts in captions for number in range(1, 5)]


async def filled(folder: Path, described: Described, vectors: Embedding, language: str = "english") -> EmbeddedStore:
    """Return a store of the photographs, each described by its first caption."""
    store = EmbeddedStore.open(folder, CollectionMeta("mini", vectors.shape[1]), language=language)
    await store.upsert(
        [
            (record(str(place), {"description": texts[0]}), vectors[place])
            for place, texts in enumerate(described.captions)
        ]
    )
    return store


async def recall(store: EmbeddedStore, asked: list[tuple[int, StoreQuery]]) -> Recall:
    """Return recall@k."""
    ranks: list[int] = []
    for place, wanted in asked:
        found = [match.image_id for match in await store.query(wanted, top_k=10, with_metadata=False)]
        ranks.append(found.index(str(place)) if str(place) in found else 10)
    return {k: float(np.mean(np.asarray(ranks) < k)) for k in (1, 5, 10)}


def show(figures: dict[str, Recall]) -> None:
    for name, values in figures.items():
        print(f"{name}: " + ", ".join(f"recall@{k} {value:.3f}" for k, value in values.items()))  # noqa: T201 - with -s


async def test_another_persons_words_find_the_image_again(tmp_path: Path, described: Described) -> None:
    nowhere: Embedding = np.tile(np.eye(1, 8, dtype=np.float32), (1000, 1))
    english = await filled(tmp_path / "english", described, nowhere)
    plain = await filled(tmp_path / "plain", described, nowhere, "none")
    # The third caption of each photograph: the figures of all four together are within 0.02 of these.
    asked = [(place, text) for place, _, text in other_captions(described)[1::4]]
    whole: list[tuple[int, StoreQuery]] = [(place, KeywordQuery(text)) for place, text in asked]
    half: list[tuple[int, StoreQuery]] = [(place, KeywordQuery(text[: len(text) // 2])) for place, text in asked]
    figures = {
        "english": await recall(english, whole),
        "none": await recall(plain, whole),
        "english, half typed": await recall(english, half),
    }
    await english.close()
    await plain.close()

    show(figures)
    assert figures["english"][10] >= 0.6
    assert figures["english"][10] > figures["none"][10] + 0.02
    assert figures["english, half typed"][10] >= 0.3


async def test_words_and_looks_together_find_more_than_either(
    tmp_path: Path, described: Described, looks: Embedding, words: Embedding
) -> None:
    store = await filled(tmp_path / "photos", described, looks)
    by_looks: list[tuple[int, StoreQuery]] = []
    by_words: list[tuple[int, StoreQuery]] = []
    by_both: list[tuple[int, StoreQuery]] = []
    for place, number, text in other_captions(described)[::4]:
        vector = words[place, number]
        by_looks.append((place, vector))
        by_words.append((place, KeywordQuery(text)))
        by_both.append((place, HybridQuery(vector, KeywordQuery(text))))
    figures = {
        "vector": await recall(store, by_looks),
        "keywords": await recall(store, by_words),
        "hybrid": await recall(store, by_both),
    }
    await store.close()

    show(figures)
    assert figures["hybrid"][1] > figures["vector"][1]
    # First is the right one as often by words alone; that images score the same moves it by more than the difference.
    for k in (5, 10):
        assert figures["hybrid"][k] > max(figures["vector"][k], figures["keywords"][k])
