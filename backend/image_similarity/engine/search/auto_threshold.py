"""Find the score below which results are no longer about the query: `threshold: "auto"`.

Two questions, each answered with a known method:

*Where is the gap?* Otsu's method (N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions
on Systems, Man, and Cybernetics 9(1), 1979): of all ways to divide the best `WINDOW` scores in two, the one with the
greatest variance between the parts, n1 * n2 * (mean1 - mean2)^2. This favours parts of about the same size; with n1,
the size of the upper part, raised to the power `UPPER_WEIGHT` instead of 1, few hits can be separated from many others.

*Is there any good hit at all?* A ranking of noise has a widest gap too. So the best hit must be better than chance, in
the sense of a-contrario detection (A. Desolneux, L. Moisan, J.-M. Morel, "Meaningful alignments", International Journal
of Computer Vision 40(1), 2000): among as many images as the collection has, each with a score drawn from the normal
distribution of the background, fewer than `FALSE_ALARMS` would be expected to score as high. The background is the
scores of the query with randomly chosen images of the collection. Some of them may match the query and raise the mean,
so the distribution is estimated from the lower half alone: its centre is the median, its deviation the one of the
scores below the median.

Queries of texts alone are allowed more false alarms: the matches of a text stand out from the background less than the
matches of an image, and otherwise every third answer would be empty although there is something to find.

docs/QUALITY-LAB.md explains how the numbers were chosen, and shows the results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

WINDOW = 64
"""Best candidates in which the gap is searched."""

UPPER_WEIGHT = 0.8

FALSE_ALARMS = 0.01

FALSE_ALARMS_OF_TEXTS = 0.1
"""If the query consists of texts alone."""

FEWEST = 8
"""With fewer background scores, or candidates, there is no cut."""

_TIE = 1e-6
"""Largest rounding error as a share of a score; smaller steps are never cut."""


def score_cut(
    scores: Sequence[float],
    background: NDArray[np.floating] | None,
    *,
    images: int,
    alike: float | None = None,
    false_alarms: float = FALSE_ALARMS,
) -> float | None:
    """Return the score at which to cut a ranking, or None if there are too few scores to decide.

    `scores` are those of the best candidates (at least `WINDOW` of them, or all there are), best first; `background`
    those of randomly chosen images, shape (n,), in any order, or None if they are not available: then the best hit
    always counts as good. `images` is the size of the collection; fewer than `false_alarms` of them, a positive number,
    would be expected to score as high as the best hit by chance. A hit that scores `alike` is the same picture, and is
    never cut off, however ordinary its score is here. If there is no good hit, the cut is above the best score.
    """
    window = np.asarray(scores[:WINDOW], np.float64)
    if not len(window):
        return None
    upper = _upper_part(window)
    gap = float(window[upper - 1 : upper + 1].mean())
    if background is None:
        return gap if len(window) >= FEWEST and upper < len(window) else None
    if len(background) < FEWEST:
        return None
    chance = _chance(np.asarray(background, np.float64), false_alarms / max(1, images))
    tolerance = _tolerance(window)
    # If even the last candidate is better than chance, the window does not reach the background, nor the gap before it.
    out_of_sight = window[-1] > chance + tolerance
    cut = chance if out_of_sight or window[0] < chance - tolerance else gap
    return min(cut, alike) if alike is not None and window[0] >= alike else cut


def _chance(background: NDArray[np.float64], share: float) -> float:
    """Return the score that this share of images would reach or exceed by chance."""
    centre = float(np.median(background))
    lower = background[background < centre]
    deviation = math.sqrt(float(np.mean((lower - centre) ** 2))) if len(lower) else 0.0
    return centre - deviation * NormalDist().inv_cdf(min(0.5, share))


def _upper_part(scores: NDArray[np.float64]) -> int:
    """Return how many of the scores, best first, are above the gap: all of them if there is no step between any two."""
    steps = scores[:-1] - scores[1:] > _tolerance(scores)
    if not steps.any():
        return len(scores)
    above = np.arange(1, len(scores))
    below = len(scores) - above
    sums = np.cumsum(scores)
    difference = sums[:-1] / above - (sums[-1] - sums[:-1]) / below
    spread = np.where(steps, above**UPPER_WEIGHT * below * difference**2, -1.0)
    return int(spread.argmax()) + 1


def _tolerance(scores: NDArray[np.float64]) -> float:
    return _TIE * float(np.abs(scores).max())
