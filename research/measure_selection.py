#!/usr/bin/env python3
"""Measure where rankings are cut and which images count as the same picture, for docs/QUALITY-LAB.md.

Embeds labelled photographs (a folder a label), photographs of one subject each with altered copies of them, and other
photographs to be in the way; then compares `threshold: "auto"` with flat thresholds and other rules, and counts which
pairs reach which cosine. Everything is exact and repeatable; takes two minutes on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

# What tests use too lies in benchmarks/.
sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from altered_copies import COPIES
from image_similarity.bootstrap.models import load_encoder
from image_similarity.domain.records import Embedding
from image_similarity.encoders.base import ImageEncoder
from image_similarity.engine.search.auto_threshold import WINDOW
from image_similarity.images.decode import decode
from image_similarity.settings import Settings
from rankings import Outcome, Rankings, Rule, Scores, auto, best_flat, embed, flat, labelled_rankings, outcome

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
BOUNDS = (0.85, 0.88, 0.90, 0.92, 0.95, 0.97)


def widest_step(scores: Scores, _background: Scores, _images: int) -> int:
    """Cut at the widest step between neighbours."""
    window = scores[:WINDOW]
    return int((window[:-1] - window[1:]).argmax()) + 1


def knee(scores: Scores, _background: Scores, _images: int) -> int:
    """Kneedle: cut at the point where the curve is farthest below the line between its ends."""
    window = scores[:WINDOW]
    height = (window - window[-1]) / max(1e-12, window[0] - window[-1])
    return int((1 - np.linspace(0, 1, len(window)) - height).argmax())


def otsu(scores: Scores, _background: Scores, _images: int) -> int:
    """Otsu's criterion as published, without a test whether anything stands out."""
    window = scores[:WINDOW]
    above = np.arange(1, len(window))
    sums = np.cumsum(window)
    difference = sums[:-1] / above - (sums[-1] - sums[:-1]) / (len(window) - above)
    return int((above * (len(window) - above) * difference**2).argmax()) + 1


@dataclass(frozen=True)
class Photographs:
    """All embeddings of the measurements."""

    labelled: Embedding
    labels: NDArray[np.str_]
    single: Embedding
    """Photographs of one subject each."""
    copies: dict[str, Embedding]
    """Changed copies of those, by the change."""
    others: Embedding

    @classmethod
    def read(cls, shared: Path, encoder: ImageEncoder, *, others: int) -> Photographs:
        """Read and embed the folder of shared photographs."""
        paths = sorted(path for path in (shared / "caltech101").glob("*/*") if path.is_file())
        single = [path.read_bytes() for path in sorted((shared / "images").glob("*.JPEG"))]
        opened = [decode(data, max_pixels=50_000_000).image.convert("RGB") for data in single]
        in_the_way = sorted((shared / "flickr8k" / "images").glob("*.jpg"))[:others]
        return cls(
            embed(encoder, (path.read_bytes() for path in paths)),
            np.array([path.parent.name for path in paths]),
            embed(encoder, single),
            {name: embed(encoder, map(alter, opened)) for name, alter in COPIES.items()},
            embed(encoder, (path.read_bytes() for path in in_the_way)),
        )


def other_rankings(photographs: Photographs) -> list[Rankings]:
    """Return rankings of copies among photographs, photographs among copies, and queries without a match."""
    single, others, copies = photographs.single, photographs.others, list(photographs.copies.values())[:12]
    mine = np.eye(len(single), dtype=bool)
    none = np.zeros((len(single), len(others)), bool)
    originals = np.concatenate([single, others])
    altered = np.concatenate([*copies, others])
    elsewhere = np.zeros((len(others), len(photographs.labelled)), bool)
    noise = np.random.default_rng(1).normal(size=(2000, 512))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    nothing = np.zeros((300, 1700), bool)
    relevant = np.tile(np.hstack([mine, none]), (len(copies), 1))
    return [
        Rankings.of("a copy: its original", np.concatenate(copies), originals, relevant, np.zeros_like(relevant)),
        Rankings.of(
            "an original: its 12 copies",
            single,
            altered,
            np.hstack([*[mine] * len(copies), none]),
            np.zeros((len(single), len(altered)), bool),
        ),
        Rankings.of("a photograph of Flickr8k among Caltech-101", others, photographs.labelled, elsewhere, elsewhere),
        Rankings.of("random vectors among random vectors", noise[:300], noise[300:], nothing, nothing),
    ]


def report_thresholds(photographs: Photographs) -> None:
    """Print the results of rules on labelled photographs, on copies, and on queries without a match."""
    labelled, without = labelled_rankings(photographs.labelled, photographs.labels)
    names = sorted(set(photographs.labels))
    half = np.isin(photographs.labels, names[::2])
    print("\nLabelled photographs, each a query; F1 of what is kept\n")
    print("| rule | labels | precision | recall | F1 | empty |\n| --- | --- | --- | --- | --- | --- |")
    oracle = best_flat(labelled)
    show("auto", "all", outcome(labelled, auto))
    show(f"flat, {oracle:.3f}: the best for these", "all", outcome(labelled, flat(oracle)))
    for chosen, judged, name in ((half, ~half, "second half"), (~half, half, "first half")):
        elsewhere = best_flat(labelled.part(chosen))
        show(
            f"flat, {elsewhere:.3f}: the best for the other half", name, outcome(labelled.part(judged), flat(elsewhere))
        )
        show("auto", name, outcome(labelled.part(judged), auto))
    rules: dict[str, Rule] = {"Otsu, unweighted": otsu, "widest step": widest_step, "Kneedle": knee}
    for title, rule in rules.items():
        show(title, "all", outcome(labelled, rule))
    print("\nCopies: precision, recall and F1. Nothing to find: share of answers that are empty, hits kept\n")
    print("| query | rule | precision | recall | F1 | empty | hits |\n| --- | --- | --- | --- | --- | --- | --- |")
    for rankings in [*other_rankings(photographs), without]:
        for title, rule in {"auto": auto, f"flat, {oracle:.3f}": flat(oracle)}.items():
            found = outcome(rankings, rule)
            figures = [found.precision, found.recall, found.f1] if rankings.relevant.any() else []
            cells = [f"{figure:.3f}" for figure in figures] or [""] * 3
            print(f"| {rankings.name} | {title} | {' | '.join(cells)} | {found.empty:.3f} | {found.kept:.1f} |")


def show(rule: str, labels: str, found: Outcome) -> None:
    """Print a row."""
    print(f"| {rule} | {labels} | {found.precision:.3f} | {found.recall:.3f} | {found.f1:.3f} | {found.empty:.3f} |")


def report_duplicates(photographs: Photographs) -> None:
    """Print the share of copies, and the number of pairs of different photographs, at or above each cosine."""
    print("\nShare of copies, and number of pairs of different files, at a cosine of at least\n")
    print("| | " + " | ".join(f"{bound:.2f}" for bound in BOUNDS) + " |\n| --- |" + " --- |" * len(BOUNDS))
    for name, copies in photographs.copies.items():
        cosines = (copies * photographs.single).sum(axis=1)
        print(f"| {name} | " + " | ".join(f"{(cosines >= bound).mean():.2f}" for bound in BOUNDS) + " |")
    pairs = {
        "shared/images": photographs.single,
        "Flickr8k": photographs.others,
        "Caltech-101": photographs.labelled,
    }
    for name, vectors in pairs.items():
        cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
        counts: Sequence[int] = [int((cosines >= bound).sum()) for bound in BOUNDS]
        print(f"| pairs of {name}, of {len(cosines):,} | " + " | ".join(map(str, counts)) + " |")


def main(
    model: Annotated[str, typer.Option(help="Model to measure.")] = "mini",
    shared: Annotated[Path, typer.Option(help="Folder with caltech101/, images/ and flickr8k/.")] = SHARED,
    others: Annotated[int, typer.Option(help="Photographs to be in the way.", min=1)] = 2500,
) -> None:
    """Measure where rankings are cut and which images count as the same picture."""
    encoder = load_encoder(model, Settings())
    photographs = Photographs.read(shared, encoder, others=others)
    report_thresholds(photographs)
    report_duplicates(photographs)


if __name__ == "__main__":
    typer.run(main)
