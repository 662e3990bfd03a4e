"""Reads checkpoint folders as transformers writes them: family, configuration and weights."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders.clip.preprocessing import Family

if TYPE_CHECKING:
    from torch import Tensor

# Not "siglip2": that is the variant with variable resolution (NaFlex); fixed resolutions are "siglip".
FAMILIES: dict[str, Family] = {
    "clip": "clip",
    "clip_vision_model": "clip",
    "siglip": "siglip",
    "siglip_vision_model": "siglip",
}
"""`model_type` of a checkpoint whose image tower is supported -> its family."""


_CLASSES = {
    ("clip", "image"): ("CLIPVisionModelWithProjection", "CLIPVisionConfig"),
    ("clip", "text"): ("CLIPTextModelWithProjection", "CLIPTextConfig"),
    ("siglip", "image"): ("SiglipVisionModel", "SiglipVisionConfig"),
    ("siglip", "text"): ("SiglipTextModel", "SiglipTextConfig"),
}
"""(family, tower) -> classes of transformers for the model and its configuration."""


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """Return the checkpoint's config.json. Raises ModelUnavailable if it cannot be read."""
    return read_json(folder / "config.json", name)


def read_json(path: Path, name: str) -> dict[str, Any]:
    """Return the JSON object in a file of the checkpoint `name`. Raises ModelUnavailable if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f'The {path.name} of "{name}" cannot be read: {error}') from error
    if not isinstance(content, dict):
        raise ModelUnavailable(f'The {path.name} of "{name}" cannot be read: it does not hold a JSON object.')
    return content


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a folder's model.safetensors or pytorch_model.bin, on the CPU; of a pickle only tensors.

    Raises the errors of the library that reads them, which may be of any type for a damaged file.
    """
    import torch
    from safetensors.torch import load_file

    if (folder / "model.safetensors").is_file():
        return load_file(folder / "model.safetensors")
    tensors: dict[str, Tensor] = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    return tensors


def load_tower(checkpoint: Path, model_type: str, tower: Literal["image", "text"], name: str) -> Any:
    """Return one tower of a CLIP or SigLIP checkpoint, in float32 on the CPU.

    `model_type` is that of the checkpoint, one of `FAMILIES`. Raises ModelUnavailable if files are damaged or missing.
    """
    # Imported here, because transformers takes seconds, and a process with another model never needs it.
    import transformers as library

    transformers: Any = library
    model_class, config_class = _CLASSES[FAMILIES[model_type], tower]
    try:
        config = getattr(transformers, config_class).from_pretrained(checkpoint, local_files_only=True)
        if model_type == "clip":
            # Such a checkpoint gives the dimension twice; only the one of the whole model is sure to be right.
            whole = transformers.CLIPConfig.from_pretrained(checkpoint, local_files_only=True)
            config.projection_dim = whole.projection_dim
        model, report = getattr(transformers, model_class).from_pretrained(
            checkpoint, config=config, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # a damaged file surfaces as almost anything
        raise ModelUnavailable(
            f'The {tower} tower of "{name}" in {checkpoint} cannot be loaded ({why(error)}). '
            "If the download was cut short, delete that folder and download it again."
        ) from error
    if missing := sorted(report["missing_keys"]):  # transformers would initialise them at random
        raise ModelUnavailable(
            f'The weights of "{name}" in {checkpoint} lack {len(missing)} tensors of the {tower} tower, '
            f"{missing[0]} for one: it is not a complete checkpoint."
        )
    return model.float().eval()


def why(error: Exception) -> str:
    """Return the first line of a library's error about a damaged file, or its type if the message is empty."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress transformers' progress bars and its report on unused weights."""
    import transformers

    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
