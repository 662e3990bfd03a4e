"""A text tower that is loaded for the first text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from image_similarity.domain.errors import ModelUnavailable, TextSearchUnavailable
from image_similarity.encoders.base import EncodedText, TextEncoder


class LazyTextEncoder:
    """Stands for a text tower that is not loaded yet; satisfies `TextEncoder`.

    A server that only searches by image saves its memory (CLIP ViT-B/32: 250 MB) and the seconds to load it. A tower
    that cannot be loaded is not tried again: mending it takes an installation and a restart. The same holds for a
    tower whose fingerprint differs from the announced one, because embeddings are cached under that one already.
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
        """Maximum number of tokens per text."""
        return self._max_tokens

    @property
    def loaded(self) -> bool:
        """Whether the tower is loaded, which the first text causes."""
        return self._loaded is not None

    def warm(self) -> TextEncoder:
        """Load the tower unless it is loaded, and return it; one caller at a time. Raises TextSearchUnavailable."""
        if self._loaded is None and self._refusal is None:
            try:
                self._loaded = self._announced(self._load())
            except ModelUnavailable as error:
                self._refusal = str(error)
        if self._loaded is None:
            raise TextSearchUnavailable(f"Searching with words is not possible: {self._refusal}")
        return self._loaded

    def encode_texts(self, texts: Sequence[str]) -> list[EncodedText]:
        """Encode texts, in order; one caller at a time, and the first one waits until the tower is loaded.

        Raises TextSearchUnavailable if loading fails, and EncodingFailed as the tower does.
        """
        return self.warm().encode_texts(texts)

    def _announced(self, tower: TextEncoder) -> TextEncoder:
        if tower.fingerprint != self._fingerprint:
            raise ModelUnavailable(f'The files of "{self._name}" were replaced while this program ran; restart it.')
        return tower
