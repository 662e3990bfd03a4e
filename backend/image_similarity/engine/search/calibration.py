"""Convert scores, whose meaning depends on the model, to probabilities that a hit matches the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import ArrayLike, NDArray

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.queries import Mode, Query, Text
from image_similarity.domain.records import Match


class QueryKind(StrEnum):
    """The kind of a query. Results are always images; each kind has its own distribution of scores."""

    IMAGE = "image"
    TEXT = "text"

    @classmethod
    def of(cls, query: Query) -> QueryKind | None:
        """Return the kind of a query; None for keywords, several parts or examples, which have no calibration."""
        if query.mode is not Mode.VECTOR or len(query.parts) != 1 or query.positive or query.negative:
            return None
        return cls.TEXT if isinstance(query.parts[0].source, Text) else cls.IMAGE


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic curve from score to probability, rising; Platt, "Probabilistic outputs for SVMs", 1999."""

    slope: float
    """Positive."""
    intercept: float

    def __post_init__(self) -> None:
        """Raise ValueError if the curve does not rise or is not finite."""
        if not (0 < self.slope < np.inf and np.isfinite(self.intercept)):
            raise ValueError(f"a slope of {self.slope} and an intercept of {self.intercept} are no calibration")

    def apply(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each cosine similarity, in the same shape; it never falls with the score."""
        values = self.slope * np.asarray(scores, dtype=np.float64) + self.intercept
        # Unlike exp, tanh does not overflow.
        return 0.5 * (1 + np.tanh(values / 2))


Calibrations = Mapping[QueryKind, Calibration]
"""The calibrations of one model; a kind of query may have none."""


def add_confidence(query: Query, matches: Sequence[Match], calibrations: Calibrations) -> tuple[Match, ...]:
    """Return the matches with their probabilities; unchanged if there is no calibration for such a query."""
    kind = QueryKind.of(query)
    calibration = calibrations.get(kind) if kind is not None else None
    if calibration is None:
        return tuple(matches)
    probabilities = calibration.apply([match.score for match in matches])
    return tuple(
        replace(match, confidence=float(probability)) for match, probability in zip(matches, probabilities, strict=True)
    )


def read_calibrations(path: Path, model: str, text_model: str | None = None) -> Calibrations:
    """Read the file that `image-similarity evaluate --calibrate` wrote for a model.

    A curve for texts that was made with another text tower than `text_model` is left out, because its scores differ.
    Raises InvalidRequest if the file cannot be read, is no calibration, or was made for another model.
    """
    try:
        document = orjson.loads(path.read_bytes())
        made_for = document["model"]
        found = {
            QueryKind(kind): Calibration(float(each["slope"]), float(each["intercept"]))
            for kind, each in document["calibrations"].items()
            if kind != QueryKind.TEXT or each["text_model"] == text_model
        }
    except OSError as error:
        raise InvalidRequest(f"The calibration {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"{path} is not what `image-similarity evaluate --calibrate` writes: {error}.") from error
    if made_for != model:
        raise InvalidRequest(
            f"The calibration {path} was made for the model {made_for}, but {model} is running. Make one with "
            "`image-similarity evaluate DIR --calibrate FILE`, or unset CALIBRATION_FILE."
        )
    return found
