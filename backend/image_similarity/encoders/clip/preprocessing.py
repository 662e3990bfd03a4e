"""Resizes and crops as a checkpoint's configuration says, with the same pixels as transformers with Pillow."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.domain.records import Pixels

Family = Literal["clip", "siglip"]
Triple = tuple[float, float, float]

# Defaults of transformers for values that a configuration lacks.
_DEFAULTS: dict[Family, dict[str, Any]] = {
    "clip": {
        "do_center_crop": True,
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "image_mean": (0.48145466, 0.4578275, 0.40821073),
        "image_std": (0.26862954, 0.26130258, 0.27577711),
    },
    "siglip": {
        "do_center_crop": False,
        "size": {"height": 224, "width": 224},
        "crop_size": {"height": 224, "width": 224},
        "image_mean": (0.5, 0.5, 0.5),
        "image_std": (0.5, 0.5, 0.5),
    },
}
_SHARED_DEFAULTS: dict[str, Any] = {
    "do_resize": True,
    "resample": Image.Resampling.BICUBIC,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
}
_FAMILY_OF_PROCESSOR: dict[str, Family] = {
    "CLIPImageProcessor": "clip",
    "CLIPFeatureExtractor": "clip",
    "SiglipImageProcessor": "siglip",
}
# Maximum ratio of the resized longer side to the crop: beyond it, enlarging a 1x1000000 strip would take gigabytes.
_LONGEST_TO_GROW_WHOLE = 4
_MARGIN_IN_FILTER_WIDTHS = 4  # Lanczos, the widest filter, reaches three


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Turns pixels into the input of an image tower; `apply` is thread-safe."""

    shortest_edge: int | None
    """Length to which the shorter edge is resized, keeping the aspect; None if `resize_to` or neither is set."""
    resize_to: int | None
    """Side of the square that the image is stretched to."""
    crop_to: int | None
    """Side of the square cut from the middle; a smaller image is padded with black."""
    resample: Image.Resampling
    scale: Triple
    """The tower's input is `pixel * scale + shift`, one value per channel: rescaling and normalising at once."""
    shift: Triple

    @classmethod
    def read(cls, checkpoint: Path, *, family: Family, image_size: int) -> Preprocessing:
        """Read a checkpoint folder's configuration.

        A checkpoint without a configuration gets the defaults of its family at its tower's `image_size`. Raises
        ModelUnavailable if the file is unreadable, or requires something that this program cannot do.
        """
        config = _read_config(checkpoint)
        if config is None:
            square = {"height": image_size, "width": image_size}
            size = {"shortest_edge": image_size} if family == "clip" else square
            config = {"size": size, "crop_size": square}
        return cls.from_config(config, family=family)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, family: Family) -> Preprocessing:
        """Return the preprocessing for the contents of a preprocessor_config.json.

        `family` decides the defaults if the configuration does not name its image processor. Raises
        ModelUnavailable for a processor, a size or a value that is not supported.
        """
        family = _family(config, family)
        known = {**_SHARED_DEFAULTS, **_DEFAULTS[family]}
        known |= {key: config[key] for key in known if key in config}  # a null stays null, and means no
        try:
            shortest_edge, resize_to = _sides(known["size"]) if known["do_resize"] else (None, None)
            crop_to = _square(known["crop_size"], "crop_size") if known["do_center_crop"] else None
            scale, shift = _scale_and_shift(known)
            resample = Image.Resampling(int(known["resample"]))
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ModelUnavailable(f"The checkpoint's preprocessor_config.json: {error}.") from error
        if crop_to is None and resize_to is None:
            raise ModelUnavailable("The checkpoint's preprocessor_config.json makes images that are not square.")
        return cls(shortest_edge, resize_to, crop_to, resample, scale, shift)

    @property
    def output_size(self) -> int:
        """Side of the square that `apply` returns, in pixels."""
        side = self.crop_to or self.resize_to
        assert side is not None  # noqa: S101 - from_config refuses anything else
        return side

    def apply(self, image: Image.Image) -> Pixels:
        """Resize and crop an upright image.

        Returns shape (output_size, output_size, 3), uint8. The pixels equal those of the reference image processor,
        except that one value in a thousand may differ by one.
        """
        if image.mode != "RGB":
            image = image.convert("RGB")
        if self.resize_to is not None:
            image = image.resize((self.resize_to, self.resize_to), self.resample)
        elif self.shortest_edge is not None:
            image = self._resize_shortest_edge(image, self.shortest_edge)
        if self.crop_to is not None:
            image = _center_crop(image, self.crop_to)
        return np.array(image)

    def _resize_shortest_edge(self, image: Image.Image, side: int) -> Image.Image:
        width, height = image.size
        longest = int(side * max(width, height) / min(width, height))  # rounds down, as the reference does
        target = (side, longest) if width <= height else (longest, side)
        grows = min(width, height) < side and longest <= _LONGEST_TO_GROW_WHOLE * max(side, self.crop_to or 0)
        if self.crop_to is None or longest <= self.crop_to or grows:
            # Identical to the reference, bit for bit.
            return image.resize(target, self.resample)
        # Resize only the part that the crop keeps: a photograph of 4:3 takes 1.0 ms instead of 1.3.
        return _resize_middle(image, target, self.crop_to, self.resample)


def _resize_middle(image: Image.Image, target: tuple[int, int], keep: int, resample: Image.Resampling) -> Image.Image:
    """Resize `image` to `target`, but compute and return only the middle `keep` pixels of the longer side."""
    axis = 0 if target[0] > target[1] else 1
    scale = image.size[axis] / target[axis]
    first = (target[axis] - keep) // 2
    start, stop = first * scale, (first + keep) * scale
    margin = _MARGIN_IN_FILTER_WIDTHS * max(scale, 1.0)
    # Crop the source first, so that the box has small numbers: Pillow holds them in 32-bit floats.
    origin = max(0, math.floor(start - margin))
    end = min(image.size[axis], math.ceil(stop + margin))
    if axis == 0:
        part = image.crop((origin, 0, end, image.height))
        box = (start - origin, 0.0, min(stop - origin, part.width), float(part.height))
        return part.resize((keep, target[1]), resample, box)
    part = image.crop((0, origin, image.width, end))
    box = (0.0, start - origin, float(part.width), min(stop - origin, part.height))
    return part.resize((target[0], keep), resample, box)


def _center_crop(image: Image.Image, side: int) -> Image.Image:
    # As in the reference: floor division also of negative numbers, and black outside the image.
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _read_config(checkpoint: Path) -> Mapping[str, Any] | None:
    """Return the image processor's configuration, from the file of transformers 5 or of older versions."""
    nested = _read_json(checkpoint / "processor_config.json") or {}
    if isinstance(nested.get("image_processor"), dict):
        processor: dict[str, Any] = nested["image_processor"]
        return processor
    return _read_json(checkpoint / "preprocessor_config.json")


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelUnavailable(f"{path} does not hold a JSON object.")
    return content


def _family(config: Mapping[str, Any], family: Family) -> Family:
    name = config.get("image_processor_type") or config.get("feature_extractor_type")
    if name is None:
        return family
    stem = str(name).removesuffix("Fast").removesuffix("Pil")
    if stem not in _FAMILY_OF_PROCESSOR:
        raise ModelUnavailable(
            f"The checkpoint wants the image processor {name}, which is not supported; "
            f"these are: {', '.join(_FAMILY_OF_PROCESSOR)}."
        )
    return _FAMILY_OF_PROCESSOR[stem]


def _sides(size: Any) -> tuple[int | None, int | None]:
    """Return (shortest_edge, None) or (None, side of the square)."""
    if isinstance(size, int):
        return _positive(size), None
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        return _positive(size["shortest_edge"]), None
    return None, _square(size, "size")


def _square(size: Any, key: str) -> int:
    if isinstance(size, int):
        return _positive(size)
    if not isinstance(size, Mapping) or set(size) != {"height", "width"} or size["height"] != size["width"]:
        raise ValueError(f"{key} {size!r} is not a square")
    return _positive(size["height"])


def _positive(side: Any) -> int:
    if int(side) <= 0:
        raise ValueError(f"{side!r} is no size")
    return int(side)


def _scale_and_shift(config: Mapping[str, Any]) -> tuple[Triple, Triple]:
    factor = float(config["rescale_factor"]) if config["do_rescale"] else 1.0
    mean = _triple(config["image_mean"]) if config["do_normalize"] else (0.0, 0.0, 0.0)
    std = _triple(config["image_std"]) if config["do_normalize"] else (1.0, 1.0, 1.0)
    scale = (factor / std[0], factor / std[1], factor / std[2])
    return scale, (-mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2])


def _triple(values: Any) -> Triple:
    if isinstance(values, int | float):
        values = (values, values, values)
    red, green, blue = (float(value) for value in values)
    return red, green, blue
