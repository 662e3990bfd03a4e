"""What a tagger can do, as a Protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from PIL import Image

from image_similarity.domain.records import Pixels
from image_similarity.images.recipe import Preprocess


@dataclass(frozen=True, slots=True)
class TaggerSpec:
    """A tagger described by data, whether or not it is loaded."""

    name: str
    """As in the setting TAGGER."""
    field: str
    """The field of the metadata that it fills: `tags` or `description`."""
    quick: bool
    """Whether it takes milliseconds, and so may run while somebody waits for an image to be indexed."""
    min_side: int
    """Pixels that the shorter side of an image should have."""


@dataclass(frozen=True, slots=True)
class TaggerOutput:
    """What a tagger says of an image."""

    value: str | list[str]
    """What belongs into the field; empty where the tagger is not sure of anything."""
    confidence: dict[str, float] = field(default_factory=dict)
    """Probability of each tag, 0 to 1; empty for a description."""


class Tagger(Protocol):
    """A model that says what is on an image."""

    @property
    def spec(self) -> TaggerSpec:
        """The tagger's description."""
        ...

    def load(self) -> object:
        """Read the weights, unless they are read already; the result is its own affair. Raises ModelUnavailable."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """What makes of an upright RGB image what `find` takes; also before `load`."""
        ...

    def find(self, pixels: Pixels) -> TaggerOutput:
        """Say what is on an image; one caller at a time. Raises ModelUnavailable and EncodingFailed."""
        ...


def as_it_is(image: Image.Image) -> Pixels:
    """Return the pixels of an image."""
    return np.array(image)


class NoTagger:
    """Implements `Tagger` by saying nothing."""

    spec = TaggerSpec(name="none", field="", quick=False, min_side=0)

    def load(self) -> None:
        """Do nothing; see `Tagger`."""

    @property
    def preprocess(self) -> Preprocess:
        """What leaves the image as it is; see `Tagger`."""
        return as_it_is

    def find(self, pixels: Pixels) -> TaggerOutput:
        """Say nothing; see `Tagger`."""
        del pixels
        return TaggerOutput("")
