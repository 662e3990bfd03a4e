"""Image towers of CLIP and SigLIP checkpoints, through transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from image_similarity.domain.errors import EncodingFailed, ModelUnavailable
from image_similarity.domain.records import Embedding, Pixels
from image_similarity.encoders import catalog, hub
from image_similarity.encoders.base import ModelSpec
from image_similarity.encoders.checkpoint import FAMILIES, load_tower, quiet_transformers, read_config
from image_similarity.encoders.clip import text as clip_text
from image_similarity.encoders.clip.onednn import OneDnnVisionTower, agrees
from image_similarity.encoders.clip.preprocessing import Family, Preprocessing
from image_similarity.encoders.clip.threads import ParallelInference
from image_similarity.encoders.device import choose_device, choose_precision
from image_similarity.encoders.fingerprint import fingerprint
from image_similarity.images.recipe import Preprocess

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

Tower = Callable[[Tensor], Tensor]
"""Normalised pixels, (n, side, side, 3), to embeddings, not yet normalised, (n, dimension), of the same dtype."""


class ClipEncoder:
    """An image tower of the CLIP or SigLIP family; satisfies `ImageEncoder`."""

    def __init__(
        self,
        spec: ModelSpec,
        preprocessing: Preprocessing,
        tower: Tower,
        *,
        fingerprint: str,
        device: str,
        precision: str,
    ) -> None:
        self._spec = spec
        self._fingerprint = fingerprint
        self._preprocessing = preprocessing
        self._tower = tower
        self._device = torch.device(device)
        self._precision = precision
        self._lanes = ParallelInference(torch.get_num_threads() if device == "cpu" else 1)
        self._scale = torch.tensor(preprocessing.scale, device=self._device)
        self._shift = torch.tensor(preprocessing.shift, device=self._device)

    @classmethod
    def load(cls, name_or_path: str, *, device: str, precision: str) -> ClipEncoder:
        """Load the image tower of a checkpoint: a hub name (downloaded if need be) or a local folder.

        `device` and `precision` may be "auto"; see `choose_device` and `choose_precision`. Reads only the weights of
        the image tower. Raises ModelUnavailable if the checkpoint is not available, damaged, incomplete or of an
        unknown kind, or if the device is not available.
        """
        device = choose_device(device)
        precision = choose_precision(precision, device)
        checkpoint = hub.locate(name_or_path)
        model_type = _model_type(checkpoint, name_or_path)
        family = FAMILIES[model_type]
        with quiet_transformers():
            model = load_tower(checkpoint, model_type, "image", name_or_path)
        side: int = model.config.image_size
        preprocessing = Preprocessing.read(checkpoint, family=family, image_size=side)
        if preprocessing.output_size != side:
            raise ModelUnavailable(
                f'The checkpoint of "{name_or_path}" contradicts itself: its preprocessor makes images of '
                f"{preprocessing.output_size} pixels, its image tower takes {side}."
            )
        tower, dimension = _build_tower(model, torch.device(device), _DTYPES[precision])
        spec = catalog.describe(name_or_path) or _unlisted(name_or_path, family)
        towers = {"image"} if clip_text.lacks(checkpoint, name_or_path) else {"image", "text"}
        spec = replace(spec, dimension=dimension, input_size=side, towers=frozenset(towers))
        return cls(spec, preprocessing, tower, fingerprint=fingerprint(checkpoint), device=device, precision=precision)

    @property
    def spec(self) -> ModelSpec:
        """The model's description."""
        return self._spec

    @property
    def fingerprint(self) -> str:
        """Identifies its weights among others of the same name; see `fingerprint.py`."""
        return self._fingerprint

    @property
    def device(self) -> str:
        """Device that it runs on: "cuda", "mps" or "cpu"."""
        return self._device.type

    @property
    def precision(self) -> str:
        """Number format that it computes in: "bf16", "fp16" or "fp32"."""
        return self._precision

    @property
    def preprocess(self) -> Preprocess:
        """Function that resizes and crops an upright image to (input_size, input_size, 3), uint8."""
        return self._preprocessing.apply

    def encode_images(self, batch: Pixels) -> Embedding:
        """Encode a batch of shape (n, input_size, input_size, 3), uint8; one caller at a time.

        Returns shape (n, dimension), float32, each row a unit vector: the checkpoint's image features,
        normalised. Raises EncodingFailed if the model returns a value that is not finite, or a zero vector;
        ValueError for a batch of another shape or type.
        """
        side = self._spec.input_size
        if batch.ndim != 4 or batch.shape[1:] != (side, side, 3) or batch.dtype != np.uint8:
            raise ValueError(f"expected (n, {side}, {side}, 3) uint8, got {batch.shape} {batch.dtype}")
        if len(batch) == 0:
            return np.empty((0, self._spec.dimension), dtype=np.float32)
        # torch shares the array's memory, and warns if it is read-only.
        batch = np.require(batch, requirements=["C", "W"])
        return np.concatenate(self._lanes.run(self._encode, batch))

    def _encode(self, batch: Pixels) -> Embedding:
        with torch.inference_mode():
            pixels = torch.from_numpy(batch).to(self._device)
            normalised = pixels.float().mul_(self._scale).add_(self._shift)  # in place: allocating costs more
            features = self._tower(normalised.to(_DTYPES[self._precision])).float()
            norms = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
            unit = (features / norms).cpu()  # NaN also if the norm is zero or infinite
        if not torch.isfinite(unit).all() or not torch.isfinite(norms).all():
            raise EncodingFailed(
                f'The model "{self._spec.name}" returned numbers that are not finite ({self._precision} on '
                f"{self.device}): its weights are damaged or its numbers too large for this precision."
            )
        embeddings: Embedding = unit.numpy()
        return embeddings


def _model_type(checkpoint: Path, name: str) -> str:
    model_type = str(read_config(checkpoint, name).get("model_type"))
    if model_type not in FAMILIES:
        raise ModelUnavailable(
            f'"{name}" is a model of type "{model_type}", which is not supported: choose a CLIP or SigLIP '
            "checkpoint (SigLIP 2: one of fixed resolution)."
        )
    return model_type


def _build_tower(model: Any, device: torch.device, dtype: torch.dtype) -> tuple[Tower, int]:
    """Turn a float32 model on the CPU into the fastest tower for `device`; also return the dimension."""
    # inference_mode: torch keeps neither gradients nor version counters for the weights made here.
    with torch.inference_mode():
        side: int = model.config.image_size
        noise = torch.randn((2, side, side, 3), generator=torch.Generator().manual_seed(0))
        expected = _plain_tower(model)(noise)
        if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            # OneDnnVisionTower depends on undocumented operators of torch and on the structure of transformers' models.
            # If either changes, use the plain model, which is only slower.
            try:
                packed = OneDnnVisionTower(model, dtype)
                if agrees(packed(noise.to(dtype)), expected, dtype):
                    return packed, expected.shape[-1]
            except (AttributeError, KeyError, RuntimeError):
                pass
        return _plain_tower(model.to(device=device, dtype=dtype)), expected.shape[-1]


def _plain_tower(model: Any) -> Tower:
    def run(pixels: Tensor) -> Tensor:
        output = model(pixel_values=pixels.permute(0, 3, 1, 2))
        features: Tensor = output.image_embeds if hasattr(output, "image_embeds") else output.pooler_output
        return features

    return run


def _unlisted(name: str, family: Family) -> ModelSpec:
    return ModelSpec(
        name=name,
        dimension=0,
        input_size=0,
        towers=frozenset({"image"}),
        licence="see the checkpoint",
        download_mb=None,
        description=f"A {'CLIP' if family == 'clip' else 'SigLIP'} checkpoint of your own choice.",
    )
