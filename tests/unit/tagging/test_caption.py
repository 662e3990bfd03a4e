"""The tagger `caption`: a checkpoint of BLIP's structure, tiny and random, through the code that loads a real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.tagging import caption
from image_similarity.tagging.caption import CaptionTagger
from tests.support.captions import WORDS, build_captioner
from tests.support.sample_images import photo


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_captioner(tmp_path_factory.mktemp("tiny-blip"))


@pytest.fixture(scope="module")
def tagger(checkpoint: Path) -> CaptionTagger:
    loaded = CaptionTagger(str(checkpoint), device="cpu")
    loaded.load()
    return loaded


def describe(tagger: CaptionTagger, image: Image.Image) -> str:
    finding = tagger.find(tagger.preprocess(image))
    assert isinstance(finding.value, str)
    assert finding.confidence == {}
    return finding.value


def test_an_image_is_described_in_no_more_words_of_the_model_than_allowed(tagger: CaptionTagger) -> None:
    text = describe(tagger, photo(seed=1))

    assert 0 < len(text.split()) <= caption.MAX_TOKENS
    assert set(text.split()) <= {*WORDS, "[UNK]"}
    assert text == describe(tagger, photo(seed=1))


@pytest.mark.parametrize("precision", ["auto", "bf16", "fp32"])
def test_it_computes_in_the_precision_that_is_asked_for(checkpoint: Path, precision: str) -> None:
    assert describe(CaptionTagger(str(checkpoint), device="cpu", precision=precision), photo(seed=1))


def test_a_description_takes_no_longer_than_allowed(tagger: CaptionTagger, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = describe(tagger, photo(seed=2))
    monkeypatch.setattr(caption, "MAX_SECONDS", 1e-6)
    assert len(describe(tagger, photo(seed=2)).split()) < len(whole.split())


def test_a_huge_image_is_made_small_first(tagger: CaptionTagger) -> None:
    image = Image.new("RGB", (4000, 1000), (9, 9, 9))
    pixels = tagger.preprocess(image)

    assert pixels.shape == (256, 1024, 3)
    assert pixels.dtype == np.uint8
    assert image.size == (4000, 1000)


def test_a_model_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="CAPTION_MODEL_NAME") as refused:
        CaptionTagger(str(tmp_path / "nowhere"), device="cpu").load()
    assert "TAGGER=none" in str(refused.value)


def test_a_model_of_another_kind_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(ModelUnavailable, match="image-to-text"):
        CaptionTagger(str(tiny_checkpoint), device="cpu").load()


def test_damaged_weights_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(
            file.read_bytes()[:1000] if file.suffix == ".safetensors" else file.read_bytes()
        )
    with pytest.raises(ModelUnavailable, match="CAPTION_MODEL_NAME"):
        CaptionTagger(str(tmp_path), device="cpu").load()
