"""Tags from the classifier of EfficientNet-Lite0: the 1,000 classes of ImageNet, from pip packages alone.

The network runs on its own centre crop, even if the model `mini` has just run the same network. `mini` squashes the
whole image, so that nothing at the rim is lost; on such images the classifier is right for 78 of 100 photographs
instead of 89.
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
    """The network up to its features, and the classifier on top."""

    network: EfficientNetLite0
    weight: Tensor
    """Shape (1000, 1280), float32."""
    bias: Tensor
    """Shape (1000,), float32."""
    labels: list[str]


class ImagenetTagger:
    """Implements `Tagger`."""

    def __init__(self, *, threshold: float, device: str) -> None:
        """`threshold` is the minimum confidence of a tag, 0 to 1; `device` is "auto", "cuda", "mps" or "cpu"."""
        self._threshold = threshold
        self._device = device
        self._loaded: Loaded | None = None

    @property
    def spec(self) -> TaggerSpec:
        """The tagger's description."""
        return IMAGENET

    def load(self) -> Loaded:
        """Load the weights; see `Tagger`."""
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
        """Function that makes the network's input; see `crop_middle`."""
        return crop_middle

    def find(self, pixels: Pixels) -> TaggerOutput:
        """Return the classes with at least the threshold's probability, the most probable first, five at most."""
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
                # Two classes may share a name (a crane is a bird and a machine); the more probable one counts.
                found.setdefault(labels[place], round(probability, 4))
        return TaggerOutput(list(found), found)


def crop_middle(image: Image.Image) -> Pixels:
    """Return a centre crop of the image, (224, 224, 3), uint8, as in the network's evaluation."""
    scale = _SHORT_SIDE / min(image.size)
    width, height = (max(_SIDE, round(side * scale)) for side in image.size)
    left, top = (width - _SIDE) // 2, (height - _SIDE) // 2
    # Resize only the crop: of a panorama it is a small part.
    box = tuple(edge / scale for edge in (left, top, left + _SIDE, top + _SIDE))
    box = (box[0], box[1], min(box[2], image.width), min(box[3], image.height))
    return np.array(image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0))


def read_labels() -> list[str]:
    """Return the name of each class, in the order of the classifier's outputs."""
    return [line.partition(" ")[2] for line in LABELS.read_text(encoding="utf-8").splitlines()]
