"""An encoder that needs no weights and does what a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from image_similarity.domain.errors import EncodingFailed
from image_similarity.domain.records import Embedding, Pixels
from image_similarity.encoders.base import EncodedText, ModelSpec, TextEncoderSpec

WAIT = 10.0
"""Seconds after which a test that waits for an event has failed; no passing test comes near it."""

DIMENSION = 16
INPUT_SIZE = 32


class ColourEncoder:
    """Implements `ImageEncoder`: the histogram of an image's colours as a unit vector.

    Alike images have alike colours, so nearest neighbours make sense. Instead of being computed, a batch can be held
    back (`hold`), refused (`fail_when`), or come out as NaN (`nan_when`).
    """

    def __init__(self, name: str = "colours") -> None:
        self.spec = ModelSpec(
            name=name,
            dimension=DIMENSION,
            input_size=INPUT_SIZE,
            towers=frozenset({"image"}),
            licence="MIT",
            download_mb=None,
            description="For tests.",
        )
        self.fingerprint = "as ever"
        self.device = "cpu"
        self.precision = "fp32"
        self.batches: list[int] = []
        """Size of each batch that came in, those that fail included."""
        self.preprocessed = 0
        self.fail_when: Callable[[Pixels], bool] = lambda _: False
        self.nan_when: Callable[[Pixels], bool] = lambda _: False
        self.error: Exception = RuntimeError("out of memory")
        self.busy = threading.Event()
        """Set once a batch is in the model."""
        self._encoding = _Gate()
        self._preprocessing = _Gate()

    def hold(self) -> None:
        """Let the next batches wait inside the model until `release`."""
        self.busy.clear()
        self._encoding.close()

    def release(self) -> None:
        """Let everything go on."""
        self._encoding.open()
        self._preprocessing.open()

    def hold_preprocessing(self) -> None:
        """Let the next images wait in their decoding thread until `release`."""
        self._preprocessing.close()

    def preprocess(self, image: Image.Image) -> Pixels:
        self.preprocessed += 1
        self._preprocessing.pass_through()
        return np.asarray(image.convert("RGB").resize((INPUT_SIZE, INPUT_SIZE)), dtype=np.uint8)

    def encode_images(self, batch: Pixels) -> Embedding:
        if batch.shape[1:] != (INPUT_SIZE, INPUT_SIZE, 3):
            raise ValueError(f"expected {INPUT_SIZE} x {INPUT_SIZE} RGB images, got {batch.shape}")
        self.batches.append(len(batch))
        self.busy.set()
        self._encoding.pass_through()
        if any(self.fail_when(pixels) for pixels in batch):
            raise self.error
        vectors = np.stack([_histogram(pixels) for pixels in batch])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[[self.nan_when(pixels) for pixels in batch]] = np.nan
        return vectors


class StrictColourEncoder(ColourEncoder):
    """As the encoders with weights do, it finds its own NaN and refuses the whole batch."""

    def encode_images(self, batch: Pixels) -> Embedding:
        vectors = super().encode_images(batch)
        if not np.isfinite(vectors).all():
            raise EncodingFailed("colours returned numbers that are not finite")
        return vectors


class ColourWords:
    """Implements `TextEncoder` for `ColourEncoder`: knows the names of a few colours, and reads four words."""

    spec = TextEncoderSpec("colour-words", "as ever", DIMENSION, max_tokens=4)
    loaded = True
    _COLOURS: ClassVar = {"red": (250, 0, 0), "orange": (250, 90, 0), "green": (0, 250, 0), "blue": (0, 0, 250)}

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def encode_texts(self, texts: Sequence[str]) -> list[EncodedText]:
        self.batches.append(list(texts))
        return [self._encode(text.lower().split()) for text in texts]

    def _encode(self, words: list[str]) -> EncodedText:
        read = words[: self.spec.max_tokens]
        known = [self._COLOURS[word] for word in read if word in self._COLOURS] or [(128, 128, 128)]
        pixels = np.array(known, dtype=np.uint8).reshape(1, -1, 3)
        vector = _histogram(pixels)
        return EncodedText(vector / np.linalg.norm(vector), truncated=len(words) > len(read))


def _histogram(pixels: Pixels) -> Embedding:
    # Five bins a channel that overlap, so that no two colours are quite the same, and a little of everything.
    levels = pixels.reshape(-1, 3, 1) / 255 * 4
    bins = np.clip(1 - abs(levels - np.arange(5)), 0, 1).mean(axis=0)
    return np.append(bins, 0.1).astype(np.float32)


class _Gate:
    """Open at first; threads wait while it is closed."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def pass_through(self) -> None:
        if not self._open.wait(WAIT):
            raise TimeoutError("a test held the encoder back and never released it")


def square(grey: int) -> Pixels:
    """Return a preprocessed image of one grey, shape (32, 32, 3)."""
    return np.full((INPUT_SIZE, INPUT_SIZE, 3), grey, dtype=np.uint8)
