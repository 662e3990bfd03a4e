"""Descriptions of models, and the Protocols of loaded ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from image_similarity.domain.records import Embedding, Pixels
from image_similarity.images.recipe import Preprocess


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Description of a model, loaded or not."""

    name: str
    """Hub name, local path, or "mini"; a collection belongs to one model."""
    dimension: int
    """Length of its embeddings."""
    input_size: int
    """Side of the square input of its image tower, in pixels."""
    towers: frozenset[str]
    """Those of "image" and "text" that this program can use."""
    licence: str
    """SPDX identifier, or "see the checkpoint" for one we do not know."""
    download_mb: int | None
    """Size of the download in megabytes; None for a checkpoint we do not know."""
    description: str
    duplicate_similarity: float = 0.95
    """Cosine from which two embeddings count as the same picture, slightly altered."""


@dataclass(frozen=True, slots=True)
class EncodedText:
    """The output of a text tower for one text."""

    embedding: Embedding
    """A unit vector, shape (dimension,), float32."""
    truncated: bool
    """Whether the text had more tokens than the tower takes, so that its end was ignored."""


@dataclass(frozen=True, slots=True)
class TextEncoderSpec:
    """A text tower described by data, whether or not it is loaded."""

    name: str
    """Name of the model."""
    fingerprint: str
    """Identifies it among towers of the same name; both are in the key of cached embeddings."""
    dimension: int
    """Length of its embeddings."""
    max_tokens: int
    """Maximum number of tokens per text, including start and end tokens."""


class TextEncoder(Protocol):
    """A text tower whose embeddings can be compared with those of an image tower."""

    @property
    def spec(self) -> TextEncoderSpec:
        """The tower's description."""
        ...

    @property
    def loaded(self) -> bool:
        """Whether its weights are in memory; they may be loaded on first use."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> list[EncodedText]:
        """Encode a batch; not thread-safe, one caller at a time.

        Raises EncodingFailed if the model returns a value that is not finite; TextSearchUnavailable if the weights,
        which may be loaded on first use, are not available.
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
        """Identifies its weights among others of the same name; both are in the key of cached embeddings."""
        ...

    @property
    def device(self) -> str:
        """Device that it runs on: "cuda", "mps" or "cpu"."""
        ...

    @property
    def precision(self) -> str:
        """Number format that it computes in: "bf16", "fp16" or "fp32"."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """Function that resizes and crops an upright RGB image to the input of the image tower.

        It returns shape (input_size, input_size, 3), uint8. `encode_images` scales and normalises, once per batch.
        """
        ...

    def encode_images(self, batch: Pixels) -> Embedding:
        """Encode a batch; not thread-safe, one caller at a time.

        `batch` has shape (n, input_size, input_size, 3), uint8; the result has shape (n, dimension), float32, each
        row a unit vector. Raises EncodingFailed if the model returns a value that is not finite.
        """
        ...
