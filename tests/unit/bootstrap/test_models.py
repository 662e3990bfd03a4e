"""Which towers the settings lead to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from image_similarity.bootstrap import models
from image_similarity.domain.errors import ModelMismatch, ModelUnavailable, ModelUnknown
from image_similarity.encoders.base import ImageEncoder
from image_similarity.encoders.mini.image import MINI
from image_similarity.encoders.text.lazy import LazyTextEncoder
from image_similarity.settings import Settings
from tests.support.encoders import ColourEncoder
from tests.support.servers import make_settings

MULTILINGUAL = "sentence-transformers/clip-ViT-B-32-multilingual-v1"


def pretended_mini() -> ImageEncoder:
    encoder = ColourEncoder("mini")
    encoder.spec = replace(MINI, towers=frozenset({"image"}))
    return encoder


def test_the_models_own_text_tower_waits_for_the_first_text(tmp_path: Path) -> None:
    text = models.load_text_encoder(pretended_mini(), make_settings(tmp_path, "mini"))
    assert isinstance(text, LazyTextEncoder)
    assert (text.spec.name, text.spec.dimension, text.spec.max_tokens) == ("mini", 512, 256)


def test_a_text_model_known_to_be_another_models_is_refused_unsought(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, "mini", text_model_name=MULTILINGUAL)
    with pytest.raises(ModelMismatch, match=r"was aligned to openai/clip-vit-base-patch32.*embedded by mini"):
        models.load_text_encoder(pretended_mini(), settings)


def test_nothing_stands_in_for_a_model_whose_name_is_misspelt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str, settings: Settings) -> ImageEncoder:
        raise ModelUnknown(f"There is no {name}.")

    monkeypatch.setattr(models, "load_encoder", unknown)
    with pytest.raises(ModelUnknown, match=r"There is no openai/clip-vit-base-path32\."):
        models.load_model(make_settings(tmp_path, "openai/clip-vit-base-path32"))


def test_the_stand_in_reads_texts_with_its_own_tower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_mini(name: str, settings: Settings) -> ImageEncoder:
        if name != MINI.name:
            raise ModelUnavailable(f"There are no weights of {name}.")
        return pretended_mini()

    monkeypatch.setattr(models, "load_encoder", only_mini)
    settings = make_settings(tmp_path, "openai/clip-vit-base-patch32", text_model_name=MULTILINGUAL)

    loaded = models.load_model(settings)

    assert (loaded.image.spec.name, loaded.text.spec.name) == ("mini", "mini")
    assert loaded.fallback_reason == "There are no weights of openai/clip-vit-base-patch32."
