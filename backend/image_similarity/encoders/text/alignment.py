"""Checks before the first search that a separate text tower is aligned to the image tower.

Equal dimensions prove nothing: two models with 512 dimensions place a dog at different points, and every search would
return random results without an error. So either the pair is known, or the text tower is compared with the one that
the image tower was trained with, or the operator confirms that it fits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from image_similarity.domain.errors import ModelMismatch, TextSearchUnavailable
from image_similarity.encoders.base import ModelSpec, TextEncoder

_B32, _L14 = "openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14"
KNOWN: Mapping[str, str] = {
    "sentence-transformers/clip-ViT-B-32-multilingual-v1": _B32,
    "M-CLIP/XLM-Roberta-Large-Vit-B-32": _B32,
    "M-CLIP/XLM-Roberta-Large-Vit-L-14": _L14,
    "M-CLIP/LABSE-Vit-L-14": _L14,
}
"""Text model -> the image model that its authors aligned it to."""

SENTENCES = (
    "two dogs playing in the snow",
    "a red car parked in a street",
    "a child eating ice cream",
    "mountains behind a lake at sunset",
    "a plate of spaghetti with tomato sauce",
    "a football player kicking the ball",
    "an old church with a tall tower",
    "a woman reading a newspaper",
    "a sailing boat on the sea",
    "a black cat asleep on a sofa",
    "skyscrapers of a big city at night",
    "a bunch of yellow flowers in a vase",
    "a man playing the guitar on stage",
    "a horse running through a field",
    "a computer keyboard on a desk",
    "an airplane flying above the clouds",
)
"""In English, which every such tower was trained on, and about very different things."""

_LEAST_RIGHT = 12
"""Sentences that must match. An unrelated tower matches one on average, and twelve less than once in 10^11 times."""


def check_known(text_model: str, image: ModelSpec) -> None:
    """Raise ModelMismatch if a text model is known to belong to another image model; loads nothing."""
    if KNOWN.get(text_model, image.name) != image.name:
        raise ModelMismatch(
            f"The text model {text_model} was aligned to {KNOWN[text_model]}, but the images are embedded by "
            f"{image.name}. Change TEXT_MODEL_NAME, or MODEL_NAME and the collection with it."
        )


def check_alignment(text: TextEncoder, image: ModelSpec, own: TextEncoder, *, trusted: bool) -> None:
    """Raise ModelMismatch unless `text` fits the image tower of `image`, whose own text tower is `own`.

    A tower that is not in `KNOWN` fits if it places English sentences as `own` does: each one nearest to the same
    sentence of `own`, for most of them. `own` is used only then. With `trusted` only the dimension is checked.
    """
    name = text.spec.name
    if text.spec.dimension != image.dimension:
        raise ModelMismatch(
            f"The text model {name} makes embeddings of {text.spec.dimension} numbers, the model {image.name} of "
            f"{image.dimension}. Choose a TEXT_MODEL_NAME that was aligned to {image.name}."
        )
    if trusted:
        return
    check_known(name, image)
    if name in KNOWN:
        return
    try:
        expected = own.encode_texts(SENTENCES)
    except TextSearchUnavailable as error:
        raise ModelMismatch(
            f"Whether the text model {name} was aligned to {image.name} cannot be checked, because there is no text "
            f"tower to compare it with ({error}). If you know that it was, set TEXT_MODEL_TRUSTED=true."
        ) from error
    right = _twins_found(text, np.stack([encoded.embedding for encoded in expected]))
    if right < _LEAST_RIGHT:
        raise ModelMismatch(
            f"The text model {name} was not aligned to {image.name}: of {len(SENTENCES)} English sentences it "
            f"places {right} where that model's own text tower does. If you know better, set TEXT_MODEL_TRUSTED=true."
        )


def _twins_found(text: TextEncoder, expected: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> int:
    """Count the sentences whose nearest row of `expected`, one row per sentence, is that of the same sentence."""
    found = np.stack([encoded.embedding for encoded in text.encode_texts(SENTENCES)])
    # Compare ranks, not cosines: each tower's embeddings fill a narrow cone of its own, so cosines are not comparable.
    return int(((found @ expected.T).argmax(axis=1) == np.arange(len(SENTENCES))).sum())
