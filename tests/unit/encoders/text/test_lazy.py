"""A text tower that waits for the first text."""

from __future__ import annotations

import pytest

from image_similarity.domain.errors import ModelUnavailable, TextSearchUnavailable
from image_similarity.encoders.base import TextEncoder, TextEncoderSpec
from image_similarity.encoders.text.lazy import LazyTextEncoder
from tests.support.encoders import DIMENSION, ColourWords


class Shelf:
    """Counts how often it is asked for a tower."""

    def __init__(self, refusal: str | None = None) -> None:
        self.asked = 0
        self._refusal = refusal

    def take(self) -> TextEncoder:
        self.asked += 1
        if self._refusal:
            raise ModelUnavailable(self._refusal)
        return ColourWords()


def lazy(shelf: Shelf, fingerprint: str = ColourWords.spec.fingerprint) -> LazyTextEncoder:
    return LazyTextEncoder(TextEncoderSpec("words", fingerprint, DIMENSION, 4), shelf.take)


def test_it_is_described_before_it_is_loaded() -> None:
    shelf = Shelf()
    tower: TextEncoder = lazy(shelf)

    assert (tower.spec.name, tower.spec.dimension, tower.spec.max_tokens) == ("words", DIMENSION, 4)
    assert shelf.asked == 0


def test_the_first_text_loads_it_and_the_next_ones_do_not() -> None:
    shelf = Shelf()
    tower = lazy(shelf)
    assert not tower.loaded

    [red] = tower.encode_texts(["red"])
    assert (red.embedding == ColourWords().encode_texts(["red"])[0].embedding).all()
    tower.encode_texts(["blue", "green"])
    assert (shelf.asked, tower.loaded) == (1, True)


def test_it_can_be_warmed() -> None:
    shelf = Shelf()
    tower = lazy(shelf)

    tower.warm()
    tower.encode_texts(["red"])
    assert shelf.asked == 1


def test_what_is_missing_is_said_every_time_and_looked_for_once() -> None:
    shelf = Shelf("the weights are not installed")
    tower = lazy(shelf)

    for _ in range(2):
        with pytest.raises(TextSearchUnavailable, match="words is not possible: the weights are not installed"):
            tower.encode_texts(["red"])
    assert shelf.asked == 1


def test_a_tower_that_was_replaced_since_it_was_announced_is_refused() -> None:
    tower = lazy(Shelf(), "of other weights")

    with pytest.raises(TextSearchUnavailable, match=r'files of "words" were replaced.*restart'):
        tower.encode_texts(["red"])
    assert not tower.loaded
