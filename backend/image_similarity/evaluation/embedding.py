"""Embed files and texts in the same way as indexing and searching do, but without a collection."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_similarity.domain.errors import EncodingFailed, ImageSimilarityError
from image_similarity.domain.records import Embedding, Pixels
from image_similarity.encoders.base import ImageEncoder, TextEncoder
from image_similarity.engine.embedding.decoding import open_decoders
from image_similarity.engine.embedding.images import recipe_for
from image_similarity.images.files import ImageFile, read_image
from image_similarity.settings import Settings
from image_similarity.telemetry.metrics import Metrics

BATCHES_AHEAD = 2
"""Batches that are decoded in advance while the model processes one."""

OnProgress = Callable[[int], None]
"""Called with the number of items that are done."""


@dataclass(frozen=True, slots=True)
class EmbeddedImages:
    """The images that could be read."""

    embeddings: Embedding
    """Unit rows, shape (kept, dimension), float32."""
    kept: NDArray[np.int64]
    """Index of each row's file, ascending."""
    digests: tuple[str, ...]
    """The sha256 of each kept file's bytes, in hex."""
    skipped: tuple[tuple[ImageFile, str], ...]
    """The other files, each with the reason."""


def embed_texts(
    encoder: TextEncoder, texts: Sequence[str], settings: Settings, on_progress: OnProgress = lambda _: None
) -> tuple[Embedding, int]:
    """Return the unit vectors of texts, shape (texts, dimension), and how many texts the encoder truncated.

    Raises EncodingFailed, TextSearchUnavailable.
    """
    rows: list[Embedding] = []
    truncated = 0
    for start in range(0, len(texts), settings.batch_size):
        encoded = encoder.encode_texts(texts[start : start + settings.batch_size])
        rows += [each.embedding for each in encoded]
        truncated += sum(each.truncated for each in encoded)
        on_progress(len(rows))
    vectors = np.stack(rows).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise EncodingFailed("The model did not return a finite vector for each text.")
    return vectors, truncated


@dataclass(frozen=True, slots=True)
class _Prepared:
    number: int
    digest: str
    pixels: Pixels


def embed_images(
    encoder: ImageEncoder, files: Sequence[ImageFile], settings: Settings, on_progress: OnProgress = lambda _: None
) -> EmbeddedImages:
    """Embed image files; files that cannot be read or encoded are listed in `skipped`."""
    rows: list[tuple[int, str, Embedding]] = []
    skipped: list[tuple[ImageFile, str]] = []
    done = 0
    for outcomes in _prepare(encoder, files, settings):
        batch = [outcome for outcome in outcomes if isinstance(outcome, _Prepared)]
        skipped += [outcome for outcome in outcomes if not isinstance(outcome, _Prepared)]
        for prepared, vector in zip(batch, _encode(encoder, batch), strict=True):
            if isinstance(vector, EncodingFailed):
                skipped.append((files[prepared.number], str(vector)))
            else:
                rows.append((prepared.number, prepared.digest, vector))
        done += len(outcomes)
        on_progress(done)
    vectors = [vector for _, _, vector in rows]
    return EmbeddedImages(
        np.stack(vectors) if vectors else np.empty((0, encoder.spec.dimension), dtype=np.float32),
        np.array([number for number, _, _ in rows], dtype=np.int64),
        tuple(digest for _, digest, _ in rows),
        tuple(skipped),
    )


def _prepare(
    encoder: ImageEncoder, files: Sequence[ImageFile], settings: Settings
) -> Iterator[list[_Prepared | tuple[ImageFile, str]]]:
    """Read and decode in threads, a few batches ahead of the consumer."""
    decoders = open_decoders(settings, Metrics(), encoder.preprocess)
    recipe = recipe_for(encoder, max_pixels=settings.max_pixels)

    def prepare(number: int) -> _Prepared | tuple[ImageFile, str]:
        file = files[number]
        try:
            data = read_image(file.path, settings.max_body_bytes)
            [pixels] = decoders.prepare(data, recipe).pixels
            return _Prepared(number, hashlib.sha256(data).hexdigest(), pixels)
        except ImageSimilarityError as error:
            return file, str(error)

    size = settings.batch_size
    waiting: deque[list[Future[_Prepared | tuple[ImageFile, str]]]] = deque()
    threads = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
    try:
        for start in range(0, len(files), size):
            waiting.append([threads.submit(prepare, number) for number in range(start, min(start + size, len(files)))])
            if len(waiting) > BATCHES_AHEAD:
                yield [future.result() for future in waiting.popleft()]
        while waiting:
            yield [future.result() for future in waiting.popleft()]
    finally:
        threads.shutdown(cancel_futures=True)
        decoders.close()


def _encode(encoder: ImageEncoder, batch: Sequence[_Prepared]) -> Sequence[Embedding | EncodingFailed]:
    if not batch:
        return []
    try:
        return list(encoder.encode_images(np.stack([prepared.pixels for prepared in batch])))
    except EncodingFailed as error:
        if len(batch) == 1:
            return [error]
        # Encode the images one by one, so that a bad image does not spoil the others.
        return [outcome for prepared in batch for outcome in _encode(encoder, [prepared])]
