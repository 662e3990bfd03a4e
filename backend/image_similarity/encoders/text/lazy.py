"""A text tower that is loaded for the first text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from image_similarity.domain.errors import ModelUnavailable, TextSearchUnavailable
from image_similarity.encoders.base import EncodedText, TextEncoder, TextEncoderSpec


class LazyTextEncoder:
    """Stands for a text tower that is not loaded yet; satisfies `TextEncoder`.

    A server that only searches by image saves its memory (CLIP ViT-B/32: 250 MB) and the seconds to load it. A tower
    that cannot be loaded is not tried again: mending it takes an installation and a restart. The same holds for a
    tower whose fingerprint differs from the announced one, because embeddings are cached under that one already.
    """

    def __init__(self, spec: TextEncoderSpec, load: Callable[[], TextEncoder]) -> None:
        self.spec = spec
        self._load = load
        self._loaded: TextEncoder | None = None
        self._refusal: str | None = None

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
        if tower.spec.fingerprint != self.spec.fingerprint:
            raise ModelUnavailable(f'The files of "{self.spec.name}" were replaced while this program ran; restart it.')
        return tower
