"""How well the offline model finds photographs by what people wrote under them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open

from image_similarity.domain.records import Embedding
from image_similarity.encoders.mini.text import HEAD


def test_a_caption_finds_its_photograph_among_a_thousand_unseen_ones(looks: Embedding, words: Embedding) -> None:
    scores = words @ looks.T
    each = np.arange(len(looks))
    before = (scores > scores[each, :, each][:, :, np.newaxis]).sum(axis=2)
    recall = {k: float((before < k).mean()) for k in (1, 5, 10)}
    print(f"text to image, {before.size} captions, {len(looks)} photographs:", recall)  # noqa: T201 - shown with -s
    assert (len(looks), before.size) == (1000, 5000)
    assert recall[10] >= 0.55

    with safe_open(HEAD, "numpy") as file:
        written = json.loads(file.metadata()["about"])["held_out_recall"]
    assert {f"@{k}": value for k, value in recall.items()} == pytest.approx(written, abs=0.005)
