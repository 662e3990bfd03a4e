"""The Protocol of taggers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from PIL import Image

from image_similarity.domain.records import Pixels
from image_similarity.images.recipe import Preprocess


@dataclass(frozen=True, slots=True)
class TaggerSpec:
    """Description of a tagger, loaded or not."""

    name: str
    """Name, as in the setting TAGGER."""
    field: str
    """Metadata field that it fills: `tags` or `description`."""
    quick: bool
    """Whether it takes milliseconds, so that it may run during a request to index an image."""
    min_side: int
    """Pixels that the shorter side of its input should have."""


@dataclass(frozen=True, slots=True)
class TaggerOutput:
    """Output of a tagger for one image."""

    value: str | list[str]
    """Value for the field; empty if the tagger is not sure of anything."""
    confidence: dict[str, float] = field(default_factory=dict)
    """Probability of each tag, 0 to 1; empty for a description."""


class Tagger(Protocol):
    """A model that names or describes what is on an image."""

    @property
    def spec(self) -> TaggerSpec:
        """The tagger's description."""
        ...

    def load(self) -> object:
        """Load the weights unless they are loaded; callers ignore the result. Raises ModelUnavailable."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """Function from an upright RGB image to the input of `find`; available before `load`."""
        ...

    def find(self, pixels: Pixels) -> TaggerOutput:
        """Return tags or a description; one caller at a time. Raises ModelUnavailable and EncodingFailed."""
        ...


def as_it_is(image: Image.Image) -> Pixels:
    """Return the pixels of an image: (height, width, 3), uint8."""
    return np.array(image)


class NoTagger:
    """Implements `Tagger` without any output."""

    spec = TaggerSpec(name="none", field="", quick=False, min_side=0)

    def load(self) -> None:
        """Do nothing; see `Tagger`."""

    @property
    def preprocess(self) -> Preprocess:
        """Function that leaves the image unchanged; see `Tagger`."""
        return as_it_is

    def find(self, pixels: Pixels) -> TaggerOutput:
        """Return an empty output; see `Tagger`."""
        del pixels
        return TaggerOutput("")
