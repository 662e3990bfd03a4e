"""The list of supported models."""

from __future__ import annotations

import subprocess
import sys

import pytest

from image_similarity.encoders.base import ModelSpec
from image_similarity.encoders.catalog import describe, supported_models
from image_similarity.encoders.clip.family import DEFAULT_MODEL


def test_the_default_comes_first() -> None:
    assert supported_models()[0].name == DEFAULT_MODEL == "openai/clip-vit-base-patch32"


def test_names_are_unique_and_found() -> None:
    names = [spec.name for spec in supported_models()]

    assert len(set(names)) == len(names)
    assert [describe(name) for name in names] == list(supported_models())


def test_the_offline_model_is_listed() -> None:
    mini = describe("mini")

    assert mini is not None
    assert mini.dimension == 512
    assert mini.licence == "Apache-2.0"


@pytest.mark.parametrize("spec", supported_models(), ids=lambda spec: spec.name)
def test_facts_are_plausible(spec: ModelSpec) -> None:
    assert spec.dimension in {512, 768}
    assert spec.input_size == 224
    assert "image" in spec.towers
    assert spec.licence in {"MIT", "Apache-2.0"}
    assert spec.description


@pytest.mark.parametrize("name", ["", "clip", "MINI", "/models/mine", "openai/clip-vit-base-patch32/"])
def test_an_unlisted_name_is_not_an_error(name: str) -> None:
    assert describe(name) is None


def test_reading_the_list_does_not_load_torch() -> None:
    code = "import sys; from image_similarity.encoders import catalog; catalog.describe('mini'); " + (
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
