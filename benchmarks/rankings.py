"""Rankings of labelled images, and how good a rule is that cuts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from image_similarity.domain.records import Embedding
from image_similarity.encoders.base import ImageEncoder
from image_similarity.engine.search.auto_threshold import WINDOW, score_cut
from image_similarity.engine.search.ranker import BACKGROUND
from image_similarity.images.decode import decode

Scores = NDArray[np.float64]
Rule = Callable[[Scores, Scores, int], int]
"""From the scores of a ranking (best first), those of a background, and the number of images: how many hits to keep."""


@dataclass(frozen=True)
class Rankings:
    """Queries of one kind, with all candidates of each, best first."""

    name: str
    scores: Scores
    """Shape (queries, candidates)."""
    relevant: NDArray[np.bool_]
    background: Scores
    """Shape (queries, `BACKGROUND`): scores with random candidates."""

    @classmethod
    def of(
        cls,
        name: str,
        queries: Embedding,
        candidates: Embedding,
        relevant: NDArray[np.bool_],
        left_out: NDArray[np.bool_],
    ) -> Rankings:
        """Rank; `relevant` and `left_out` have shape (queries, candidates); each query leaves out the same number."""
        scores = (queries @ candidates.T).astype(np.float64)
        kept = scores.shape[1] - int(left_out.sum(axis=1).max())
        drawn = np.random.default_rng(0).permutation(scores.shape[1])
        rows = []
        for row, out in zip(scores, left_out, strict=True):
            rows.append(row[[place for place in drawn if not out[place]][: min(BACKGROUND, kept)]])
        order = np.argsort(np.where(left_out, np.inf, -scores), axis=1, kind="stable")[:, :kept]
        ranked = np.take_along_axis(scores, order, axis=1)
        return cls(name, ranked, np.take_along_axis(relevant, order, axis=1), np.stack(rows))

    def part(self, queries: NDArray[np.bool_]) -> Rankings:
        """Return some of the queries."""
        return Rankings(self.name, self.scores[queries], self.relevant[queries], self.background[queries])


@dataclass(frozen=True)
class Outcome:
    """Results of a rule, averaged over queries."""

    precision: float
    recall: float
    f1: float
    empty: float
    kept: float


def outcome(rankings: Rankings, rule: Rule) -> Outcome:
    """Apply a rule to every query; precision and F1 of an empty answer are 0."""
    images = rankings.scores.shape[1]
    rows = []
    for scores, relevant, background in zip(rankings.scores, rankings.relevant, rankings.background, strict=True):
        kept = rule(scores, background, images)
        right, wanted = int(relevant[:kept].sum()), int(relevant.sum())
        precision, recall = right / kept if kept else 0.0, right / wanted if wanted else 0.0
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        rows.append((precision, recall, f1, float(kept == 0), kept))
    return Outcome(*np.mean(rows, axis=0).tolist())


def auto(scores: Scores, background: Scores, images: int) -> int:
    """The rule of the product."""
    cut = score_cut(scores[:WINDOW].tolist(), background, images=images)
    return len(scores) if cut is None else int((scores >= cut).sum())


def flat(threshold: float) -> Rule:
    """The same threshold for every query."""
    return lambda scores, _background, _images: int((scores >= threshold).sum())


def best_flat(rankings: Rankings) -> float:
    """Return the flat threshold with the greatest F1, in steps of 0.005."""
    return max(np.arange(0, 1, 0.005).tolist(), key=lambda threshold: outcome(rankings, flat(threshold)).f1)


def embed(encoder: ImageEncoder, files: Iterable[bytes]) -> Embedding:
    """Return the embeddings of image files, one per row."""
    rows, rest = [], iter(files)
    while part := list(islice(rest, 32)):
        decoded = [decode(data, max_pixels=50_000_000, min_short_side=encoder.spec.input_size) for data in part]
        rows.append(encoder.encode_images(np.stack([encoder.preprocess(each.image) for each in decoded])))
    return np.concatenate(rows)


def labelled_rankings(vectors: Embedding, labels: NDArray[np.str_]) -> tuple[Rankings, Rankings]:
    """Return rankings of each labelled row among all others, and among those of other labels only."""
    same = labels[:, np.newaxis] == labels
    itself = np.eye(len(same), dtype=bool)
    return (
        Rankings.of("the others", vectors, vectors, same & ~itself, itself),
        Rankings.of("other labels alone", vectors, vectors, np.zeros_like(same), same),
    )
