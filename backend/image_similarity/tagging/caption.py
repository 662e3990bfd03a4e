"""Descriptions from an image-to-text model of the hub, by default BLIP.

Li et al., "BLIP: Bootstrapping Language-Image Pre-training for Unified Vision-Language Understanding and Generation",
ICML 2022. A description takes from tenths of a second to seconds, so nobody waits for one: bulk jobs make them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from image_similarity.domain.errors import EncodingFailed, ModelUnavailable
from image_similarity.domain.records import Pixels
from image_similarity.images.recipe import Preprocess
from image_similarity.tagging.base import TaggerOutput, TaggerSpec

CAPTION = TaggerSpec(name="caption", field="description", quick=False, min_side=384)

MAX_TOKENS = 40
MAX_SECONDS = 30.0
"""For one description; what there is of it by then counts."""

_LONGEST_SIDE = 1024
"""Pixels; the model sees 384."""


class CaptionTagger:
    """Implements `Tagger`; the weights are read when they are first needed, or by `load`."""

    def __init__(self, name: str, *, device: str, precision: str = "auto") -> None:
        """Take the hub's name of a model, or a folder, and what `choose_device` and `choose_precision` take."""
        self._name = name
        self._device = device
        self._precision = precision
        self._loaded: tuple[Any, Any] | None = None

    @property
    def spec(self) -> TaggerSpec:
        """The tagger's description."""
        return CAPTION

    def load(self) -> tuple[Any, Any]:
        """Read the processor and the model; see `Tagger`."""
        if self._loaded is not None:
            return self._loaded
        # Seconds, and hundreds of megabytes, which a server whose workers caption is spared.
        import torch
        import transformers

        from image_similarity.encoders import hub
        from image_similarity.encoders.checkpoint import quiet_transformers, why
        from image_similarity.encoders.device import choose_device, choose_precision

        device = choose_device(self._device)
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        dtype = dtypes[choose_precision(self._precision, device)]
        try:
            folder = hub.locate(self._name)
        except ModelUnavailable as error:
            raise ModelUnavailable(
                f"TAGGER=caption cannot have the model of CAPTION_MODEL_NAME. {error} For the tagger alone, "
                f"`image-similarity download-model {self._name}`, another CAPTION_MODEL_NAME, or TAGGER=none will do."
            ) from error
        # The package is typed in part only.
        of: Any = transformers
        try:
            with quiet_transformers():
                processor = of.AutoProcessor.from_pretrained(folder, local_files_only=True)
                model = of.AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True, dtype=dtype)
        # Whatever is wrong with files of somebody else's; transformers has an error of its own for each.
        except Exception as error:
            raise ModelUnavailable(
                f'"{self._name}" (CAPTION_MODEL_NAME) cannot be loaded as an image-to-text model: {why(error)}'
            ) from error
        self._loaded = processor, model.to(device).eval()
        return self._loaded

    @property
    def preprocess(self) -> Preprocess:
        """What makes the processor's input; see `shrink`."""
        return shrink

    def find(self, pixels: Pixels) -> TaggerOutput:
        """Describe an image in one sentence of up to 40 tokens; the likeliest next word each time."""
        import torch

        processor, model = self.load()
        inputs = processor(images=Image.fromarray(pixels), return_tensors="pt").to(model.device, model.dtype)
        try:
            with torch.inference_mode():
                tokens = model.generate(
                    **inputs, max_new_tokens=MAX_TOKENS, max_time=MAX_SECONDS, num_beams=1, do_sample=False
                )
        except (RuntimeError, ValueError) as error:
            raise EncodingFailed(f"the tagger caption failed: {error}") from error
        [text] = processor.batch_decode(tokens, skip_special_tokens=True)
        return TaggerOutput(" ".join(text.split()))


def shrink(image: Image.Image) -> Pixels:
    """Return the image, (height, width, 3), uint8, no larger than is of use."""
    if max(image.size) > _LONGEST_SIDE:
        image = image.copy()
        image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), reducing_gap=3.0)
    return np.array(image)
