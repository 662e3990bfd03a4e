"""How well the offline model retrieves: altered copies find their original."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from image_similarity.domain.records import Embedding
from image_similarity.encoders.mini.image import MINI, MiniEncoder
from image_similarity.images.decode import decode
from tests.support.paths import SHARED
from tests.support.sample_images import encoded

PHOTOS = SHARED / "images"
KEPT = 0.8
"""Share of width and of height that a crop keeps."""

# Shipped inside scikit-image, so nothing is downloaded.
SCIKIT_IMAGE = [
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "clock",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "page",
    "retina",
    "rocket",
    "text",
]


def embed(encoder: MiniEncoder, files: Iterable[bytes]) -> Embedding:
    """Embeddings of image files, one a row, made as the product makes them."""
    rows, rest = [], iter(files)
    while part := list(islice(rest, 32)):
        decoded = [decode(data, max_pixels=50_000_000, min_short_side=MINI.input_size) for data in part]
        rows.append(encoder.encode_images(np.stack([encoder.preprocess(each.image) for each in decoded])))
    return np.concatenate(rows)


def library_photographs() -> list[bytes]:
    """Photographs that come with scikit-image and scikit-learn."""
    data = pytest.importorskip("skimage.data")
    datasets = pytest.importorskip("sklearn.datasets")
    arrays = [getattr(data, name)() for name in SCIKIT_IMAGE]
    arrays += [data.stereo_motorcycle()[0], *datasets.load_sample_images().images]
    return [encoded(Image.fromarray(array).convert("RGB"), "PNG") for array in arrays]


def shared_photographs() -> list[bytes]:
    """The photographs of ../shared/images; none where the folder is not there."""
    return [path.read_bytes() for path in sorted(PHOTOS.glob("*.JPEG"))]


def rotated(image: Image.Image) -> bytes:
    """Pixels turned a quarter to the left, and the EXIF orientation that says to turn them back."""
    orientation = Image.Exif()
    orientation[0x0112] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=90, exif=orientation)


def recompressed(image: Image.Image) -> bytes:
    return encoded(image, "JPEG", quality=30)


def halved(image: Image.Image) -> bytes:
    return encoded(image.resize((image.width // 2, image.height // 2)), "JPEG", quality=90)


def cropped_at_the_corner(image: Image.Image) -> bytes:
    box = (0, 0, round(image.width * KEPT), round(image.height * KEPT))
    return encoded(image.crop(box), "JPEG", quality=90)


def cropped_in_the_middle(image: Image.Image) -> bytes:
    width, height = round(image.width * KEPT), round(image.height * KEPT)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return encoded(image.crop((left, top, left + width, top + height)), "JPEG", quality=90)


ALTERATIONS = [rotated, recompressed, halved, cropped_at_the_corner, cropped_in_the_middle]


@pytest.mark.parametrize("with_shared", [False, True], ids=["library", "library-and-shared"])
def test_altered_copies_find_their_original_first(encoder: MiniEncoder, with_shared: bool) -> None:
    if with_shared and not PHOTOS.is_dir():
        pytest.skip("the photographs of ../shared/images are not there")
    files = [*library_photographs(), *(shared_photographs() if with_shared else [])]
    originals = embed(encoder, files)
    recalls = {alter.__name__: recall_of(encoder, alter, files, originals) for alter in ALTERATIONS}
    print("recall@1 of copies:", recalls)  # noqa: T201 - shown with -s, or when the test fails
    assert min(recalls.values()) >= 0.95, recalls


def recall_of(
    encoder: MiniEncoder, alter: Callable[[Image.Image], bytes], files: list[bytes], originals: Embedding
) -> float:
    """Share of copies whose nearest original is the one they were made from."""
    images = (decode(data, max_pixels=50_000_000).image for data in files)
    copies = embed(encoder, (alter(image) for image in images))
    nearest = (copies @ originals.T).argmax(axis=1)
    return float((nearest == np.arange(len(files))).mean())
