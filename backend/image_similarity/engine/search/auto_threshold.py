"""Where a ranking stops to be about the query: `threshold: "auto"`.

Two questions, each answered by what is known of it:

*Where is the gap?* Otsu's method (N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions
on Systems, Man, and Cybernetics 9(1), 1979): of all ways to divide the best `WINDOW` scores in two, the one with the
greatest variance between the parts, n1 * n2 * (mean1 - mean2)^2. As it is, it favours parts of about the same size;
raising the number of the upper part to `UPPER_WEIGHT` instead of 1 lets few hits stand apart from many others.

*Is anything apart at all?* A ranking of noise has its widest gap too. So the best hit must be better than chance would
have it, in the sense of a-contrario detection (A. Desolneux, L. Moisan, J.-M. Morel, "Meaningful alignments",
International Journal of Computer Vision 40(1), 2000): among as many images as the collection has, each with a score
drawn from the normal distribution of the background, fewer than `FALSE_ALARMS` would be expected to score as high. The
background is what the query scores with images of the collection picked blindly; some of those may be what the query is
about, and pull the mean up. So the distribution is taken from the lower half alone: its centre is the median, its
deviation that of the scores below.

Queries of texts alone are granted more false alarms: what a text is about stands out from the background by less than
what an image is like, and every third answer would be empty where there is something to find.

How the numbers were chosen, and what they come to, is in docs/QUALITY-LAB.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

WINDOW = 64
"""Best candidates among which the gap is looked for."""

UPPER_WEIGHT = 0.8

FALSE_ALARMS = 0.01

FALSE_ALARMS_OF_TEXTS = 0.1
"""Where the query is texts alone."""

FEWEST = 8
"""Scores of the background, or candidates, below which nothing can be said."""

_TIE = 1e-6
"""Share of a score that rounding can come to; no cut runs through a smaller step."""


def score_cut(
    scores: Sequence[float],
    background: NDArray[np.floating] | None,
    *,
    images: int,
    alike: float | None = None,
    false_alarms: float = FALSE_ALARMS,
) -> float | None:
    """Return the score at which a ranking is to be cut, or None where there is too little to tell by.

    `scores` are those of the best candidates (at least `WINDOW` of them, or all there are), best first; `background`
    those of images picked blindly, shape (n,), in any order, or None where they cannot be had: then the best hit is
    never questioned. `images` is the size of the collection; fewer than `false_alarms` of them, a positive number,
    would be expected to score as high as the best hit by chance. A hit that scores `alike` is the same picture, and is
    never cut off, however ordinary it is here. Where nothing is apart, the cut lies above the best score.
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
    # Where even the last candidate is better than chance, the background is out of sight, and so is the gap to it.
    out_of_sight = window[-1] > chance + tolerance
    cut = chance if out_of_sight or window[0] < chance - tolerance else gap
    return min(cut, alike) if alike is not None and window[0] >= alike else cut


def _chance(background: NDArray[np.float64], share: float) -> float:
    """Return the score that this share of images would have by chance, or a higher one."""
    centre = float(np.median(background))
    lower = background[background < centre]
    deviation = math.sqrt(float(np.mean((lower - centre) ** 2))) if len(lower) else 0.0
    return centre - deviation * NormalDist().inv_cdf(min(0.5, share))


def _upper_part(scores: NDArray[np.float64]) -> int:
    """Return how many of the scores, best first, are above the gap: all of them where there is no step between any."""
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
