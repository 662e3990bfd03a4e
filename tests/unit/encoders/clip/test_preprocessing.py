"""Our pixels against those of transformers' own Pillow image processors."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.domain.records import Pixels
from image_similarity.encoders.clip.preprocessing import Family, Preprocessing
from tests.support.paths import SHARED
from tests.support.sample_images import noise, photo

PHOTOS = sorted((SHARED / "images").glob("*"))[:8]

# Width and height; the last ones ask for a resized image hundreds of times longer than what is kept of it.
SIZES = [(1, 1), (2, 3), (31, 31), (32, 32), (33, 32), (224, 224), (225, 224), (640, 480), (480, 641), (200, 51)]
STRIPS = [(3, 500), (500, 3), (1, 400), (400, 1), (7, 2801)]

CONFIGS: dict[str, tuple[Family, dict[str, Any]]] = {
    "clip": ("clip", {}),
    "clip, sizes as numbers": ("clip", {"size": 32, "crop_size": 32}),
    "clip, null means no": ("clip", {"size": {"height": 32, "width": 32}, "do_center_crop": None, "crop_size": None}),
    "clip, crop smaller than resize": ("clip", {"size": {"shortest_edge": 41}, "crop_size": 32}),
    "clip, crop larger than resize": ("clip", {"size": {"shortest_edge": 21}, "crop_size": 32}),
    "clip, odd sizes": ("clip", {"size": 33, "crop_size": 27}),
    "clip, stretched": ("clip", {"size": {"height": 32, "width": 32}, "do_center_crop": False}),
    "clip, not resized": ("clip", {"do_resize": False, "crop_size": 100}),
    "clip, bilinear": ("clip", {"size": 32, "crop_size": 32, "resample": 2}),
    "clip, lanczos": ("clip", {"size": 32, "crop_size": 32, "resample": 1}),
    "siglip": ("siglip", {}),
    "siglip, small": ("siglip", {"size": {"height": 32, "width": 32}, "resample": 2}),
}
CASES = pytest.mark.parametrize(("family", "config"), CONFIGS.values(), ids=CONFIGS.keys())


def reference(family: Family, config: dict[str, Any], **overrides: Any) -> Any:
    """Make the image processor that transformers reads such a configuration into."""
    name = "CLIPImageProcessor" if family == "clip" else "SiglipImageProcessor"
    kind = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    return kind(**{**config, **overrides})


def reference_pixels(family: Family, config: dict[str, Any], image: Image.Image) -> Pixels:
    processor = reference(family, config, do_rescale=False, do_normalize=False)
    pixels: Pixels = np.asarray(processor(image)["pixel_values"][0]).transpose(1, 2, 0)
    return pixels


def largest_difference(one: Pixels, other: Pixels) -> int:
    assert one.shape == other.shape
    assert one.dtype == other.dtype == np.uint8
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@CASES
def test_pixels_equal_the_reference(family: Family, config: dict[str, Any]) -> None:
    preprocessing = Preprocessing.from_config(config, family=family)
    for size in SIZES:
        for image in (photo(*size), noise(*size)):
            ours, theirs = preprocessing.apply(image), reference_pixels(family, config, image)
            assert largest_difference(ours, theirs) <= 1, size
            assert np.mean(ours != theirs) <= 0.01, size


@CASES
def test_pixels_of_long_strips_are_within_one_of_the_reference(family: Family, config: dict[str, Any]) -> None:
    preprocessing = Preprocessing.from_config(config, family=family)
    for size in STRIPS:
        for image in (photo(*size), noise(*size)):
            assert largest_difference(preprocessing.apply(image), reference_pixels(family, config, image)) <= 1, size


@pytest.mark.skipif(not PHOTOS, reason="needs the photographs beside the project")
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_pixels_of_photographs_equal_the_reference(family: Family) -> None:
    preprocessing = Preprocessing.from_config({}, family=family)
    for path in PHOTOS:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        ours, theirs = preprocessing.apply(image), reference_pixels(family, {}, image)
        assert largest_difference(ours, theirs) <= 1, path.name
        assert np.mean(ours != theirs) <= 0.002, path.name


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"do_normalize": False},
        {"do_rescale": False},
        {"rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]},
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]},
    ],
)
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_scale_and_shift_are_rescaling_and_normalising_at_once(family: Family, config: dict[str, Any]) -> None:
    image = noise(224, 224)
    preprocessing = Preprocessing.from_config(config, family=family)

    ours = preprocessing.apply(image) * np.array(preprocessing.scale) + np.array(preprocessing.shift)

    theirs = np.asarray(reference(family, config)(image)["pixel_values"][0]).transpose(1, 2, 0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_strip_of_a_million_pixels_does_not_grow() -> None:
    # Resized as a whole it would be 224 x 224,000,000.
    pixels = Preprocessing.from_config({}, family="clip").apply(Image.new("RGB", (1, 1_000_000), (7, 8, 9)))

    assert pixels.shape == (224, 224, 3)
    assert (pixels == (7, 8, 9)).all()


def test_other_modes_become_rgb() -> None:
    preprocessing = Preprocessing.from_config({}, family="clip")
    grey = noise(300, 200, channels=1)

    assert (preprocessing.apply(grey) == preprocessing.apply(grey.convert("RGB"))).all()


def test_many_threads_may_preprocess_at_once() -> None:
    preprocessing = Preprocessing.from_config({}, family="clip")
    images = [photo(300 + n, 200, seed=n) for n in range(16)]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(preprocessing.apply, images))

    for image, pixels in zip(images, together, strict=True):
        assert (pixels == preprocessing.apply(image)).all()


def test_the_result_may_be_written_to() -> None:
    assert Preprocessing.from_config({}, family="siglip").apply(photo()).flags.writeable


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"image_processor_type": "ViTImageProcessor"}, "ViTImageProcessor, which is not supported"),
        ({"image_processor_type": "Siglip2ImageProcessor"}, "not supported"),
        ({"size": {"height": 224, "width": 336}}, "not a square"),
        ({"size": {"longest_edge": 224}}, "not a square"),
        ({"size": "large"}, "not a square"),
        ({"size": None}, "not a square"),
        ({"size": 0}, "no size"),
        ({"image_mean": None}, "NoneType"),
        ({"size": {"shortest_edge": "x"}}, "invalid literal"),
        ({"do_center_crop": False}, "not square"),
        ({"do_center_crop": False, "do_resize": False}, "not square"),
        ({"image_std": [1, 1]}, "not enough values"),
        ({"image_std": 0}, "division by zero"),
        ({"resample": 77}, "77 is not a valid"),
    ],
)
def test_a_configuration_that_cannot_be_met_is_refused(config: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelUnavailable, match=complaint):
        Preprocessing.from_config(config, family="clip")


@pytest.mark.parametrize("name", ["CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPFeatureExtractor"])
def test_the_named_processor_decides_the_defaults(name: str) -> None:
    key = "feature_extractor_type" if "Extractor" in name else "image_processor_type"

    assert Preprocessing.from_config({key: name}, family="siglip") == Preprocessing.from_config({}, family="clip")


def test_a_checkpoint_without_configuration_gets_its_towers_size(tmp_path: Path) -> None:
    clip = Preprocessing.read(tmp_path, family="clip", image_size=336)
    siglip = Preprocessing.read(tmp_path, family="siglip", image_size=384)

    assert (clip.shortest_edge, clip.crop_to, clip.output_size) == (336, 336, 336)
    assert (siglip.resize_to, siglip.crop_to, siglip.output_size) == (384, None, 384)


def test_the_newer_place_of_the_configuration_comes_first(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 40, "crop_size": 40}))
    assert Preprocessing.read(tmp_path, family="clip", image_size=32).output_size == 40

    # Older files of this name hold no image processor.
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "CLIPProcessor"}))
    assert Preprocessing.read(tmp_path, family="clip", image_size=32).output_size == 40

    nested = {"image_processor": {"size": {"shortest_edge": 50}, "crop_size": {"height": 50, "width": 50}}}
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    assert Preprocessing.read(tmp_path, family="clip", image_size=32).output_size == 50


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe"])
def test_a_damaged_configuration_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "preprocessor_config.json").write_bytes(content)

    with pytest.raises(ModelUnavailable, match=r"preprocessor_config\.json"):
        Preprocessing.read(tmp_path, family="clip", image_size=224)
