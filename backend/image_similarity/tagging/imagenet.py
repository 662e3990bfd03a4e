"""Tags from EfficientNet-Lite0's own classifier: the 1,000 classes of ImageNet, from pip packages alone.

The network looks at a crop of its own, also where the model `mini` has just run the same one: `mini` squashes the whole
image, so that nothing at the rim is missed, and of 100 photographs the classifier then names 78 rightly in place of 89.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from image_similarity.domain.errors import EncodingFailed
from image_similarity.domain.records import Pixels
from image_similarity.images.recipe import Preprocess
from image_similarity.tagging.base import TaggerOutput, TaggerSpec

if TYPE_CHECKING:
    from torch import Tensor

    from image_similarity.encoders.mini.efficientnet import EfficientNetLite0

IMAGENET = TaggerSpec(name="imagenet", field="tags", quick=True, min_side=256)

MAX_TAGS = 5

LABELS = Path(__file__).with_name("imagenet_labels.txt")

_SHORT_SIDE = 256
_SIDE = 224


class Loaded(NamedTuple):
    """What is read: the network up to its features, and the classifier over them."""

    network: EfficientNetLite0
    weight: Tensor
    """Shape (1000, 1280), float32."""
    bias: Tensor
    """Shape (1000,), float32."""
    labels: list[str]


class ImagenetTagger:
    """Implements `Tagger`."""

    def __init__(self, *, threshold: float, device: str) -> None:
        """Take the least confidence of a tag, 0 to 1, and where to run: "auto", "cuda", "mps" or "cpu"."""
        self._threshold = threshold
        self._device = device
        self._loaded: Loaded | None = None

    @property
    def spec(self) -> TaggerSpec:
        """The tagger's description."""
        return IMAGENET

    def load(self) -> Loaded:
        """Read the weights; see `Tagger`."""
        if self._loaded is not None:
            return self._loaded
        from image_similarity.encoders.device import choose_device
        from image_similarity.encoders.mini.efficientnet import from_checkpoint
        from image_similarity.encoders.mini.image import read_checkpoint

        device = choose_device(self._device)
        checkpoint = read_checkpoint()
        network = from_checkpoint(checkpoint).to(device)
        weight, bias = (checkpoint[f"_fc.{name}"].float().to(device) for name in ("weight", "bias"))
        self._loaded = Loaded(network, weight, bias, read_labels())
        return self._loaded

    @property
    def preprocess(self) -> Preprocess:
        """What makes the network's input; see `crop_middle`."""
        return crop_middle

    def find(self, pixels: Pixels) -> TaggerOutput:
        """Return the classes of at least the threshold's probability, the likeliest first, five at most."""
        import torch

        network, weight, bias, labels = self.load()
        with torch.inference_mode():
            batch = torch.from_numpy(pixels).to(weight.device).permute(2, 0, 1)[None]
            features = network(batch.float().sub_(127).div_(128))
            probabilities = torch.softmax(features @ weight.T + bias, dim=1)[0].cpu()
        if not torch.isfinite(probabilities).all():
            raise EncodingFailed("the tagger imagenet returned numbers that are not finite")
        best = probabilities.topk(MAX_TAGS)
        found: dict[str, float] = {}
        for probability, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            if probability >= self._threshold:
                # A crane is a bird and a machine; the likelier counts.
                found.setdefault(labels[place], round(probability, 4))
        return TaggerOutput(list(found), found)


def crop_middle(image: Image.Image) -> Pixels:
    """Return the middle of the image, (224, 224, 3), uint8, as the network was tested."""
    scale = _SHORT_SIDE / min(image.size)
    width, height = (max(_SIDE, round(side * scale)) for side in image.size)
    left, top = (width - _SIDE) // 2, (height - _SIDE) // 2
    # Only the part that is seen is resized: of a panorama, a small one.
    box = tuple(edge / scale for edge in (left, top, left + _SIDE, top + _SIDE))
    box = (box[0], box[1], min(box[2], image.width), min(box[3], image.height))
    return np.array(image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0))


def read_labels() -> list[str]:
    """Return the name of each class, in the order of the classifier's outputs."""
    return [line.partition(" ")[2] for line in LABELS.read_text(encoding="utf-8").splitlines()]
