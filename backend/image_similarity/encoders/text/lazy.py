"""A text tower that is loaded when the first text comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from image_similarity.domain.errors import ModelUnavailable, TextSearchUnavailable
from image_similarity.encoders.base import EncodedText, TextEncoder


class LazyTextEncoder:
    """Stands for a text tower that is not loaded yet; satisfies `TextEncoder`.

    Whoever only searches by image is spared its memory (CLIP ViT-B/32: 250 MB) and the seconds it takes to load.
    A tower that cannot be loaded is not tried again: what it lacks takes an installation and a restart. Nor is one
    with another fingerprint than it was announced with, under which embeddings are cached already.
    """

    def __init__(
        self, name: str, *, fingerprint: str, dimension: int, max_tokens: int, load: Callable[[], TextEncoder]
    ) -> None:
        self._name = name
        self._fingerprint = fingerprint
        self._dimension = dimension
        self._max_tokens = max_tokens
        self._load = load
        self._loaded: TextEncoder | None = None
        self._refusal: str | None = None

    @property
    def name(self) -> str:
        """Of the model."""
        return self._name

    @property
    def fingerprint(self) -> str:
        """What tells it from others under the same name."""
        return self._fingerprint

    @property
    def dimension(self) -> int:
        """Length of its embeddings."""
        return self._dimension

    @property
    def max_tokens(self) -> int:
        """Most tokens of a text that it takes."""
        return self._max_tokens

    @property
    def loaded(self) -> bool:
        """Whether a text came already, and the tower could be loaded."""
        return self._loaded is not None

    def warm(self) -> TextEncoder:
        """Load the tower, unless it is, and return it; one caller at a time. Raises TextSearchUnavailable."""
        if self._loaded is None and self._refusal is None:
            try:
                self._loaded = self._announced(self._load())
            except ModelUnavailable as error:
                self._refusal = str(error)
        if self._loaded is None:
            raise TextSearchUnavailable(f"Searching with words is not possible: {self._refusal}")
        return self._loaded

    def encode_texts(self, texts: Sequence[str]) -> list[EncodedText]:
        """Encode texts, in order; one caller at a time, and the first one waits for the tower to be loaded.

        Raises TextSearchUnavailable where that fails, EncodingFailed as the tower itself does.
        """
        return self.warm().encode_texts(texts)

    def _announced(self, tower: TextEncoder) -> TextEncoder:
        if tower.fingerprint != self._fingerprint:
            raise ModelUnavailable(f'The files of "{self._name}" were replaced while this program ran; restart it.')
        return tower
