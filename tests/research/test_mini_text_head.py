"""Training the head of mini's text tower, on features that are made up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import flickr8k
import mini_text_head
from flickr8k import Captions, split
from mini_text_head import Features, Recipe, recall, train

PHOTOS, EACH = 60, 3
RECIPE = Recipe(hidden=32, epochs=30, batch=60)


def plain(numbers: Iterable[int], description: str) -> Iterable[int]:
    return numbers


@pytest.fixture(scope="module")
def captions() -> Captions:
    photos = [Path(f"{number:03d}.jpg") for number in range(PHOTOS)]
    photo_of = np.repeat(np.arange(PHOTOS), EACH)
    return Captions(photos, [f"caption {number}" for number in range(PHOTOS * EACH)], photo_of)


@pytest.fixture(scope="module")
def features(captions: Captions) -> Features:
    """Images from three numbers each, and captions from the same three and some noise."""
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(PHOTOS, 3, generator=draw)
    images = functional.normalize(hidden @ torch.randn(3, 512, generator=draw), dim=1)
    sentences = hidden[torch.from_numpy(captions.photo_of)] @ torch.randn(3, 384, generator=draw)
    noise = 0.05 * torch.randn(PHOTOS * EACH, 384, generator=draw)
    return Features(images, images, functional.normalize(sentences + noise, dim=1))


def test_training_and_test_share_no_photograph_whatever_else_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flickr8k, "TEST_PHOTOS", 20)
    monkeypatch.setattr(flickr8k, "VALIDATION_PHOTOS", 10)
    photos = [Path(f"{number}.jpg") for number in range(100)]

    training, validation, test = split(photos)

    assert (len(training), len(validation), len(test)) == (70, 10, 20)
    assert sorted(training + validation + test) == list(range(100))
    # In another folder and another order, the same names are held out.
    moved = [Path("elsewhere") / photo for photo in reversed(photos)]
    assert {moved[i].name for i in split(moved)[2]} == {photos[i].name for i in test}


def test_a_trained_head_finds_photographs_by_captions_it_has_not_seen(captions: Captions, features: Features) -> None:
    seen, unseen = list(range(40)), list(range(40, PHOTOS))
    before = recall(captions, features, unseen, train(captions, features, seen, Recipe(32, 1, 60), plain))

    after = recall(captions, features, unseen, train(captions, features, seen, RECIPE, plain))

    assert after[1] <= after[5] <= after[10]
    assert after[5] > max(0.6, before[5])


def test_training_twice_gives_the_same_head(captions: Captions, features: Features) -> None:
    one, other = (train(captions, features, list(range(PHOTOS)), RECIPE, plain) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_features_are_known_by_all_that_they_depend_on(captions: Captions) -> None:
    renamed = Captions(captions.photos, ["another", *captions.texts[1:]], captions.photo_of)
    assert mini_text_head.fingerprint(captions) == mini_text_head.fingerprint(captions)
    assert mini_text_head.fingerprint(captions) != mini_text_head.fingerprint(renamed)
