"""What tells a checkpoint's files from others under the same name: part of the key of every cached embedding.

Replicas that share a cache must come to the same fingerprint, so it is made of contents and not of times, and a
server that starts must not read a gigabyte for it. So large files are sampled: of each tensor some kilobytes, for
training moves nearly all numbers of what it trains, be that a single layer or the biases alone. A file in the hub's
cache is named after its content already. Two files that differ in a few numbers of one large tensor, which a sample
may miss, are somebody's deliberate work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders import hub

WHOLE = 32 * 1024 * 1024
"""Bytes up to which a file is read from end to end: configurations, tokenizers, dense layers."""

_SAMPLE = 4096
"""Bytes of one sample."""

_SAMPLES = 4
"""Of a tensor: its beginning, its end, and two between; one of up to so many samples is read whole."""

_SAMPLES_OF_A_PICKLE = 2048
"""Spread evenly: where its tensors lie is not known without loading it."""

_PICKLE_END = 256 * 1024
"""Bytes: what torch writes is a zip, whose directory lies at its end and has a checksum of each tensor."""

_DIGITS = 16

Span = tuple[int, int]
"""Offset and length, in bytes."""


def digest(*parts: bytes) -> str:
    """Return 16 hex digits that tell these parts, in this order, from any others."""
    # The lengths too, so that nothing can move from one part to the next unnoticed.
    framed = b"".join(len(part).to_bytes(8) + hashlib.sha256(part).digest() for part in parts)
    return hashlib.sha256(framed).hexdigest()[:_DIGITS]


def fingerprint(folder: Path) -> str:
    """Return 16 hex digits that tell the model in a checkpoint folder from others; takes milliseconds.

    Raises ModelUnavailable where a file cannot be read.
    """
    files = ((path.relative_to(folder).as_posix(), path) for path in chain(folder.glob("*"), folder.glob("*/*")))
    # Others may lie there too, and come while a program runs: a calibration, what another library wants of the model.
    named = sorted((name, path) for name, path in files if hub.is_read(name) and path.is_file())
    return digest(*chain.from_iterable((name.encode(), _content(path)) for name, path in named))


def _content(path: Path) -> bytes:
    """Return what stands for a file's content: a digest of bytes of it, or the name that the hub's cache gave it."""
    kept_at = path.resolve()
    if kept_at.parent.name == "blobs" and path.is_symlink():
        return kept_at.name.encode()
    try:
        size = path.stat().st_size
        told = hashlib.sha256(size.to_bytes(8))
        with path.open("rb") as file:
            for offset, length in _spans(file, size, path.suffix):
                file.seek(offset)
                told.update(file.read(length))
        return told.digest()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailable(f"{path} cannot be read, or is no file of weights: {error}") from error


def _spans(file: BinaryIO, size: int, kind: str) -> Iterable[Span]:
    if size <= WHOLE:
        return [(0, size)]
    if kind == ".safetensors":
        return _of_tensors(file, size)
    return chain(_spread(0, size, _SAMPLES_OF_A_PICKLE), [(size - _PICKLE_END, _PICKLE_END)])


def _of_tensors(file: BinaryIO, size: int) -> Iterator[Span]:
    """Yield the header of a safetensors file, then the samples of each tensor in it."""
    length = int.from_bytes(file.read(8), "little")
    if length > size:
        raise ValueError("it does not begin with the length of a header")
    header: dict[str, Any] = json.loads(file.read(length))
    yield 0, 8 + length
    for name, tensor in header.items():
        if name != "__metadata__":
            begin, end = tensor["data_offsets"]
            yield from _spread(8 + length + begin, end - begin, _SAMPLES)


def _spread(offset: int, length: int, samples: int) -> Iterator[Span]:
    """Yield samples from the beginning to the end of a stretch; all of it, where they would cover it."""
    if length <= samples * _SAMPLE:
        yield offset, length
        return
    for number in range(samples):
        yield offset + number * (length - _SAMPLE) // (samples - 1), _SAMPLE
