"""Fingerprints of checkpoints: they tell models of the same name apart, in the key of every cached embedding.

Replicas that share a cache must compute the same fingerprint, so it depends on contents and not on times. A starting
server must not read a gigabyte for it, so large files are sampled: some kilobytes of each tensor. This suffices because
training changes nearly all numbers of the tensors that it trains, even if those are a single layer or the biases
alone. A file in the hub's cache is named after its content already. A sample may miss a change of a few numbers in one
large tensor, but only deliberate edits change so little.
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
"""Bytes up to which a file is read completely: configurations, tokenizers, dense layers."""

_SAMPLE = 4096
"""Bytes of one sample."""

_SAMPLES = 4
"""Samples per tensor: its start, its end, and two between; a tensor not larger than its samples is read completely."""

_SAMPLES_OF_A_PICKLE = 2048
"""Samples per pickle, evenly spread, because the positions of its tensors are unknown until it is loaded."""

_PICKLE_END = 256 * 1024
"""Bytes at the end of a pickle: torch writes a zip, whose directory is at the end and has a checksum per tensor."""

_DIGITS = 16

Span = tuple[int, int]
"""Offset and length in bytes."""


def digest(*parts: bytes) -> str:
    """Return 16 hex digits that identify these parts in this order."""
    # Hash the lengths too, so that moving bytes from one part to the next changes the digest.
    framed = b"".join(len(part).to_bytes(8) + hashlib.sha256(part).digest() for part in parts)
    return hashlib.sha256(framed).hexdigest()[:_DIGITS]


def fingerprint(folder: Path) -> str:
    """Return 16 hex digits that identify the model in a checkpoint folder; takes milliseconds.

    Raises ModelUnavailable if a file cannot be read.
    """
    files = ((path.relative_to(folder).as_posix(), path) for path in chain(folder.glob("*"), folder.glob("*/*")))
    # Skip other files, which may appear while a program runs: a calibration, files of other libraries.
    named = sorted((name, path) for name, path in files if hub.is_read(name) and path.is_file())
    return digest(*chain.from_iterable((name.encode(), _content(path)) for name, path in named))


def _content(path: Path) -> bytes:
    """Return bytes that identify a file's content: a digest of samples, or its name in the hub's cache."""
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
    """Yield evenly spread samples of a range of bytes; the whole range if the samples would cover it."""
    if length <= samples * _SAMPLE:
        yield offset, length
        return
    for number in range(samples):
        yield offset + number * (length - _SAMPLE) // (samples - 1), _SAMPLE
