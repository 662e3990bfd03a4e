"""What a model is, as data, and what a loaded model can do, as a Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from image_similarity.domain.records import Embedding, Pixels
from image_similarity.images.recipe import Preprocess


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model described by data, whether or not it is loaded."""

    name: str
    """Hub name, local path, or "mini"; a collection is bound to it."""
    dimension: int
    """Length of its embeddings."""
    input_size: int
    """Side of the square, in pixels, that its image tower sees."""
    towers: frozenset[str]
    """Of "image" and "text", those this program can use."""
    licence: str
    """SPDX identifier, or "see the checkpoint" for one we do not know."""
    download_mb: int | None
    """Size of what is downloaded, in megabytes; None for a checkpoint we do not know."""
    description: str
    duplicate_similarity: float = 0.95
    """Cosine from which on its embeddings are taken for those of the same picture, altered a little."""


@dataclass(frozen=True, slots=True)
class EncodedText:
    """What a text tower makes of a text."""

    embedding: Embedding
    """A unit vector, shape (dimension,), float32."""
    truncated: bool
    """Whether the text had more tokens than the tower takes, and its end was ignored."""


class TextEncoder(Protocol):
    """A text tower whose embeddings can be compared with those of an image tower."""

    @property
    def name(self) -> str:
        """Of the model."""
        ...

    @property
    def fingerprint(self) -> str:
        """What tells it from others under the same name; embeddings are cached under both."""
        ...

    @property
    def dimension(self) -> int:
        """Length of its embeddings."""
        ...

    @property
    def max_tokens(self) -> int:
        """Most tokens of a text that it reads, those that mark its ends included."""
        ...

    @property
    def loaded(self) -> bool:
        """Whether its weights are in memory; they may be loaded on first use."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> list[EncodedText]:
        """Encode a batch; not thread-safe, one caller at a time.

        Raises EncodingFailed where the model returns anything that is not finite, TextSearchUnavailable where its
        weights, which may be loaded on first use, cannot be had.
        """
        ...


class ImageEncoder(Protocol):
    """A loaded model."""

    @property
    def spec(self) -> ModelSpec:
        """The model's description."""
        ...

    @property
    def fingerprint(self) -> str:
        """What tells its weights from others under the same name; embeddings are cached under both."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: "cuda", "mps" or "cpu"."""
        ...

    @property
    def precision(self) -> str:
        """What it computes in: "bf16", "fp16" or "fp32"."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """What resizes and crops an upright RGB image to what the image tower sees.

        It returns shape (input_size, input_size, 3), uint8. Scaling and normalisation are left to
        `encode_images`, where they run once a batch.
        """
        ...

    def encode_images(self, batch: Pixels) -> Embedding:
        """Encode a batch; not thread-safe, one caller at a time.

        `batch` has shape (n, input_size, input_size, 3), uint8; the answer (n, dimension), float32,
        each row a unit vector. Raises EncodingFailed where the model returns anything that is not finite.
        """
        ...
