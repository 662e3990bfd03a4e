"""The common part of all text towers around their networks: tokens in, unit vectors out, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from image_similarity.domain.errors import EncodingFailed
from image_similarity.encoders.base import EncodedText, TextEncoderSpec

_CHUNK = 32
"""Texts per run of the network; longer lists are split, so that memory stays bounded."""


class Tokens(NamedTuple):
    """Texts as token ids, padded to one length."""

    ids: Tensor
    """Shape (n, length), int64."""
    mask: Tensor
    """Shape (n, length), int64: 1 for a token, 0 for padding."""
    truncated: list[bool]
    """Per text, whether its end was cut off."""


Tokenise = Callable[[Sequence[str]], Tokens]
Network = Callable[[Tensor, Tensor], Tensor]
"""Ids and mask to embeddings, not yet normalised, (n, dimension), floating point."""


class TextTower:
    """A loaded text tower; satisfies `TextEncoder`.

    It computes in float32 on all devices: a query is one short text, so a lower precision would save little, and the
    embedding of a text is then the same on all machines that share a cache.
    """

    def __init__(self, spec: TextEncoderSpec, *, tokenise: Tokenise, network: Network, device: str) -> None:
        self.spec = spec
        self._tokenise = tokenise
        self._network = network
        self._device = torch.device(device)

    @property
    def loaded(self) -> bool:
        """True: its weights are in memory from the start."""
        return True

    def encode_texts(self, texts: Sequence[str]) -> list[EncodedText]:
        """Encode texts, in order; one caller at a time.

        Raises EncodingFailed if a text cannot be tokenised, or the model returns a value that is not finite or a zero
        vector.
        """
        encoded: list[EncodedText] = []
        for start in range(0, len(texts), _CHUNK):
            encoded += self._encode(texts[start : start + _CHUNK])
        return encoded

    def _encode(self, texts: Sequence[str]) -> list[EncodedText]:
        try:
            tokens = self._tokenise(texts)
        except Exception as error:  # for example, a lone surrogate raises TypeError or UnicodeEncodeError
            raise EncodingFailed(f'The tokenizer of "{self.spec.name}" cannot read the text: {error}') from error
        with torch.inference_mode():
            features = self._network(tokens.ids.to(self._device), tokens.mask.to(self._device)).float()
            norms = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
            unit = (features / norms).cpu()  # NaN also if the norm is zero or infinite
        if not torch.isfinite(unit).all() or not torch.isfinite(norms).all():
            raise EncodingFailed(
                f'The text tower "{self.spec.name}" returned numbers that are not finite: its weights are damaged.'
            )
        rows = unit.numpy()
        return [EncodedText(row, cut) for row, cut in zip(rows, tokens.truncated, strict=True)]


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of each text's tokens without padding: (n, length, width) to (n, width)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
