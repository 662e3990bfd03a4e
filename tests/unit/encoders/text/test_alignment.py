"""Whether a text tower from elsewhere fits an image tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from image_similarity.domain.errors import ModelMismatch, TextSearchUnavailable
from image_similarity.encoders.base import EncodedText, TextEncoderSpec
from image_similarity.encoders.catalog import describe
from image_similarity.encoders.clip.family import DEFAULT_MODEL
from image_similarity.encoders.mini.image import MINI
from image_similarity.encoders.text.alignment import KNOWN, SENTENCES, check_alignment

MULTILINGUAL = "sentence-transformers/clip-ViT-B-32-multilingual-v1"
MINE = replace(MINI, name="my-clip", dimension=32)


class Tower:
    """Places each of the sentences at random, and so does every tower of the same `seed`."""

    loaded = True

    def __init__(self, name: str = "my-words", *, dimension: int = 32, seed: int = 0, noise: float = 0.0) -> None:
        self.spec = TextEncoderSpec(name, "as ever", dimension, max_tokens=77)
        self._noise = noise
        self._seed = seed

    def encode_texts(self, texts: Sequence[str]) -> list[EncodedText]:
        places = np.random.default_rng(self._seed).normal(size=(len(texts), self.spec.dimension))
        # Into a cone, as real towers do: any two texts are rather alike.
        places = places + 2 + self._noise * np.random.default_rng(99).normal(size=places.shape)
        unit = (places / np.linalg.norm(places, axis=1, keepdims=True)).astype(np.float32)
        return [EncodedText(row, truncated=False) for row in unit]


class NoTower(Tower):
    def encode_texts(self, texts: Sequence[str]) -> list[EncodedText]:
        raise TextSearchUnavailable("it lacks its tokenizer")


def check(text: Tower, own: Tower, *, trusted: bool = False) -> None:
    check_alignment(text, MINE, own, trusted=trusted)


@pytest.mark.parametrize("noise", [0.0, 0.3], ids=["exact", "distilled"])
def test_a_tower_that_agrees_with_the_models_own_fits(noise: float) -> None:
    check(Tower(noise=noise), Tower("my-clip"))


def test_a_tower_of_the_same_dimension_that_does_not_agree_is_refused() -> None:
    with pytest.raises(ModelMismatch, match=r"my-words was not aligned to my-clip.*TEXT_MODEL_TRUSTED"):
        check(Tower(seed=1), Tower("my-clip"))


def test_another_dimension_is_refused_however_trusted() -> None:
    with pytest.raises(ModelMismatch, match=r"my-words makes embeddings of 16 numbers.*my-clip of 32"):
        check(Tower(dimension=16), Tower("my-clip"), trusted=True)


def test_without_a_tower_to_compare_with_somebody_has_to_vouch_for_it() -> None:
    with pytest.raises(ModelMismatch, match=r"cannot be checked.*lacks its tokenizer.*TEXT_MODEL_TRUSTED=true"):
        check(Tower(), NoTower())
    check(Tower(), NoTower(), trusted=True)
    check(Tower(seed=1), Tower(), trusted=True)


def test_a_known_pair_needs_no_comparison() -> None:
    image = describe(DEFAULT_MODEL)
    assert image is not None
    check_alignment(Tower(MULTILINGUAL, dimension=512), image, NoTower(), trusted=False)


def test_a_known_tower_is_refused_for_any_other_model_of_its_dimension() -> None:
    with pytest.raises(ModelMismatch, match=rf"{MULTILINGUAL} was aligned to {DEFAULT_MODEL}.*embedded by mini"):
        check_alignment(Tower(MULTILINGUAL, dimension=512), MINI, Tower(dimension=512), trusted=False)


def test_every_known_tower_belongs_to_a_listed_model() -> None:
    assert all(describe(image) is not None for image in KNOWN.values())


def test_the_sentences_differ() -> None:
    assert len({sentence.lower() for sentence in SENTENCES}) == len(SENTENCES) == 16
