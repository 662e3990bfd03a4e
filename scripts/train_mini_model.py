"""Make the projection of the offline model `mini` from a folder of photographs.

Runs the backbone over every photograph once, then a principal component analysis over the features. Nothing
is random: the same photographs and the same libraries give the same tensors. Takes two minutes on two cores.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track
from safetensors.numpy import save_file

from image_similarity.encoders.mini import (
    BACKBONE_SHA256,
    MINI,
    WEIGHTS,
    load_backbone,
    preprocess,
    root_features,
)

_PHOTOS = Path(__file__).resolve().parents[1].parent / "shared" / "flickr8k" / "images"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

Array = NDArray[np.float64]


def main(
    photos: Annotated[Path, typer.Argument(help="Folder of photographs, searched recursively.")] = _PHOTOS,
    output: Annotated[Path, typer.Option(help="The file to write.")] = WEIGHTS,
    description: Annotated[str, typer.Option(help="Training data, as the file's metadata names it.")] = "Flickr8k",
    whitening: Annotated[
        float,
        typer.Option(help="0 keeps the variances as they are, 0.5 makes them all equal.", min=0, max=0.5),
    ] = 0.1,
    batch_size: Annotated[int, typer.Option(help="Images a batch.", min=1)] = 32,
) -> None:
    """Make the projection of the offline model `mini` from a folder of photographs."""
    paths = sorted(path for path in photos.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if len(paths) <= MINI.dimension:
        raise typer.BadParameter(f"{photos} holds {len(paths)} photographs; more than {MINI.dimension} are needed")

    features = extract(paths, batch_size)
    mean, components, variances = principal_components(features)
    kept = variances[: MINI.dimension]
    # The embedding is normalised afterwards, so only the ratios of these factors matter.
    factors = (kept / kept[0]) ** -whitening
    projection = components[: MINI.dimension] * factors[:, np.newaxis]

    about = {
        "training_data": f"{description}, {len(paths)} photographs",
        "made_on": datetime.now(UTC).date().isoformat(),
        "backbone_sha256": BACKBONE_SHA256,
        "whitening": whitening,
        "explained_variance": round(float(kept.sum() / variances.sum()), 4),
    }
    # safetensors writes the buffer as it lies, without a look at its strides: it has to be in C order.
    tensors: dict[str, NDArray[Any]] = {
        "mean": np.ascontiguousarray(mean, dtype=np.float32),
        "components": np.ascontiguousarray(projection, dtype=np.float16),
    }
    # One entry, because safetensors writes several in any order, and the file would differ from run to run.
    save_file(tensors, output, metadata={"about": json.dumps(about)})
    output.chmod(0o644)  # safetensors makes it readable to its owner alone, and so would the wheel
    for dimension in (64, 128, 256, MINI.dimension):
        share = variances[:dimension].sum() / variances.sum()
        typer.echo(f"{dimension:4d} components explain {share:.1%} of the variance")
    typer.echo(f"{output} written ({output.stat().st_size / 1e6:.1f} MB)")


def extract(paths: Sequence[Path], batch_size: int) -> Array:
    """Return what the projection is applied to, shape (photographs, 1280), float64."""
    network = load_backbone(device="cpu", precision="fp32")
    rows: list[Array] = []
    with torch.inference_mode():
        for start in track(range(0, len(paths), batch_size), description="Features"):
            pixels = np.stack([_read(path) for path in paths[start : start + batch_size]])
            rows.append(root_features(network, pixels).numpy().astype(np.float64))
    return np.concatenate(rows)


def _read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return preprocess(image.convert("RGB"))


def principal_components(features: Array) -> tuple[Array, Array, Array]:
    """Return the mean, the components as unit rows, and their variances, largest first; all float64."""
    mean = features.mean(axis=0)
    variances, columns = np.linalg.eigh(np.cov(features, rowvar=False))
    components = columns[:, ::-1].T
    # An eigenvector's sign is arbitrary: take the one whose largest entry is positive.
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(len(components)), largest])[:, np.newaxis]
    return mean, components, variances[::-1]


if __name__ == "__main__":
    typer.run(main)
