"""Make what the offline model `mini` adds to its two encoders: the image tower's projection and the text tower's head.

`projection` runs the backbone over every photograph once, then a principal component analysis over the features.
`head` runs both towers over captioned photographs once, then trains a small network on their outputs. Run it after
`projection`, because the head depends on it. The same data, libraries and machine give the same tensors.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
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

# What tests use too lies in benchmarks/.
sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import mini_text_head as text_head
from flickr8k import Captions, read_captions, split
from image_similarity.encoders.mini.image import BACKBONE_SHA256, MINI, WEIGHTS, load_backbone, root_features
from image_similarity.encoders.mini.squash import squash
from image_similarity.encoders.mini.text import HEAD, MINILM_SHA256

_FLICKR8K = Path(__file__).resolve().parents[1].parent / "shared" / "flickr8k"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

Array = NDArray[np.float64]

_RECIPE = text_head.Recipe()

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True)


@app.command()
def projection(
    photos: Annotated[Path, typer.Argument(help="Folder of photographs, searched recursively.")] = _FLICKR8K / "images",
    output: Annotated[Path, typer.Option(help="The file to write.")] = WEIGHTS,
    description: Annotated[str, typer.Option(help="Training data, as the file's metadata names it.")] = "Flickr8k",
    whitening: Annotated[
        float,
        typer.Option(help="0 keeps the variances as they are, 0.5 makes them all equal.", min=0, max=0.5),
    ] = 0.1,
    batch_size: Annotated[int, typer.Option(help="Images a batch.", min=1)] = 32,
) -> None:
    """Make the image tower's projection from a folder of photographs; two minutes for 7,000 on two cores.

    The new projection cannot search a collection made with another one, and the head fits only one projection.
    """
    paths = sorted(path for path in photos.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if len(paths) <= MINI.dimension:
        raise typer.BadParameter(f"{photos} holds {len(paths)} photographs; more than {MINI.dimension} are needed")

    features = extract(paths, batch_size)
    mean, components, variances = principal_components(features)
    kept = variances[: MINI.dimension]
    # The embedding is normalised later, so only the ratios of these factors matter.
    factors = (kept / kept[0]) ** -whitening
    kept_components = components[: MINI.dimension] * factors[:, np.newaxis]

    about = {
        "training_data": f"{description}, {len(paths)} photographs",
        "made_on": datetime.now(UTC).date().isoformat(),
        "backbone_sha256": BACKBONE_SHA256,
        "whitening": whitening,
        "explained_variance": round(float(kept.sum() / variances.sum()), 4),
    }
    # safetensors writes the buffer and ignores its strides, so it must be in C order.
    tensors: dict[str, NDArray[Any]] = {
        "mean": np.ascontiguousarray(mean, dtype=np.float32),
        "components": np.ascontiguousarray(kept_components, dtype=np.float16),
    }
    _save(tensors, output, about)
    for dimension in (64, 128, 256, MINI.dimension):
        share = variances[:dimension].sum() / variances.sum()
        typer.echo(f"{dimension:4d} components explain {share:.1%} of the variance")


@app.command()
def head(
    folder: Annotated[
        Path, typer.Argument(help="Folder with captions.csv (image,caption) and the photographs in images/.")
    ] = _FLICKR8K,
    output: Annotated[Path, typer.Option(help="The file to write.")] = HEAD,
    description: Annotated[str, typer.Option(help="Training data, as the file's metadata names it.")] = "Flickr8k",
    features: Annotated[
        Path | None, typer.Option(help="Keep what the encoders return in this .npz, and take it from there again.")
    ] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Write nothing: train on less, and report the validation photographs.")
    ] = False,
    epochs: Annotated[int, typer.Option(min=1)] = _RECIPE.epochs,
    batch: Annotated[int, typer.Option(min=2, help="Captions a step.")] = _RECIPE.batch,
    temperature: Annotated[float, typer.Option(min=0.001)] = _RECIPE.temperature,
    dropout: Annotated[float, typer.Option(min=0, max=0.9)] = _RECIPE.dropout,
) -> None:
    """Train the text tower's head on captions: five minutes on two cores, half a minute with stored features.

    1,000 photographs are only for the test, and 1,000 for choosing the options (with --validate). The final head is
    trained on all others, including the validation photographs.
    """
    captions = read_captions(folder)
    training, validation, test = split(captions.photos)
    if not training:
        raise typer.BadParameter(f"{folder} holds {len(captions.photos)} photographs; more than 2,000 are needed")
    known = _features(captions, features)
    recipe = text_head.Recipe(epochs=epochs, batch=batch, temperature=temperature, dropout=dropout)
    if validate:
        trained = text_head.train(captions, known, training, recipe, _track)
        _report("validation", len(validation), text_head.recall(captions, known, validation, trained))
        return
    seen = sorted(training + validation)
    trained = text_head.train(captions, known, seen, recipe, _track)
    # Measure the numbers that are shipped, which are float16.
    tensors = {name: tensor.half().numpy() for name, tensor in trained.items()}
    shipped = {name: torch.from_numpy(tensor).float() for name, tensor in tensors.items()}
    found = text_head.recall(captions, known, test, shipped)
    about = {
        "training_data": f"{description}: the captions of {len(seen)} photographs; {len(test)} others held out",
        "backbone_sha256": BACKBONE_SHA256,
        "projection_sha256": hashlib.sha256(WEIGHTS.read_bytes()).hexdigest(),
        "sentence_encoder_sha256": MINILM_SHA256,
        "recipe": asdict(recipe),
        "held_out_recall": {f"@{k}": round(value, 4) for k, value in found.items()},
    }
    _save(tensors, output, about)
    _report("held-out", len(test), found)


def _features(captions: Captions, kept: Path | None) -> text_head.Features:
    """Read the features from `kept` if it has those of the same data and weights, else compute them."""
    wanted = text_head.fingerprint(captions)
    if kept is not None and kept.is_file():
        with np.load(kept) as arrays:
            if str(arrays["fingerprint"]) == wanted:
                fields = ("images", "mirrored", "sentences")
                return text_head.Features(*(torch.from_numpy(arrays[field]) for field in fields))
    computed = text_head.compute_features(captions, _track)
    if kept is not None:
        arrays = {field.name: getattr(computed, field.name).numpy() for field in dataclass_fields(computed)}
        np.savez(kept, fingerprint=wanted, **arrays)
    return computed


def _track(numbers: Iterable[int], description: str) -> Iterable[int]:
    return track(numbers, description=description)


def _report(which: str, candidates: int, found: dict[int, float]) -> None:
    figures = " / ".join(f"{100 * value:.1f}" for value in found.values())
    typer.echo(f"Text to image among {candidates} {which} photographs, R@{'/'.join(map(str, found))}: {figures}")


def _save(tensors: dict[str, NDArray[Any]], output: Path, about: dict[str, Any]) -> None:
    # One entry, because safetensors writes several in any order, and the file would differ between runs.
    save_file(tensors, output, metadata={"about": json.dumps(about)})
    output.chmod(0o644)  # safetensors makes it readable only for its owner, and so would the wheel be
    typer.echo(f"{output} written ({output.stat().st_size / 1e6:.1f} MB)")


def extract(paths: Sequence[Path], batch_size: int) -> Array:
    """Return the input of the projection, shape (photographs, 1280), float64."""
    network = load_backbone(device="cpu", precision="fp32")
    rows: list[Array] = []
    with torch.inference_mode():
        for start in track(range(0, len(paths), batch_size), description="Features"):
            pixels = np.stack([_read(path) for path in paths[start : start + batch_size]])
            rows.append(root_features(network, pixels).numpy().astype(np.float64))
    return np.concatenate(rows)


def _read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return squash(image.convert("RGB"))


def principal_components(features: Array) -> tuple[Array, Array, Array]:
    """Return the mean, the components as unit rows, and their variances, largest first; all float64."""
    mean = features.mean(axis=0)
    variances, columns = np.linalg.eigh(np.cov(features, rowvar=False))
    components = columns[:, ::-1].T
    # The sign of an eigenvector is arbitrary: make its largest entry positive.
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(len(components)), largest])[:, np.newaxis]
    return mean, components, variances[::-1]


if __name__ == "__main__":
    app()
