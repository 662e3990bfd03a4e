"""What every text tower does around its network: tokens in, unit vectors out, a few texts at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from image_similarity.domain.errors import EncodingFailed
from image_similarity.encoders.base import EncodedText

_CHUNK = 32
"""Texts that go through the network together; longer lists are cut, so that memory stays bounded."""


class Tokens(NamedTuple):
    """Texts as numbers, padded to one length."""

    ids: Tensor
    """Shape (n, length), int64."""
    mask: Tensor
    """Shape (n, length), int64: 1 for a token, 0 for padding."""
    truncated: list[bool]
    """Of each text, whether its end was left out."""


Tokenise = Callable[[Sequence[str]], Tokens]
Network = Callable[[Tensor, Tensor], Tensor]
"""Ids and mask to embeddings, not yet normalised, (n, dimension), floating point."""


class TextTower:
    """A loaded text tower; satisfies `TextEncoder`.

    It computes in float32 everywhere: a query is one short text, so there is little to win by less, and a text's
    embedding is then the same on every machine that shares a cache.
    """

    def __init__(
        self,
        name: str,
        *,
        fingerprint: str,
        dimension: int,
        max_tokens: int,
        tokenise: Tokenise,
        network: Network,
        device: str,
    ) -> None:
        self._name = name
        self._fingerprint = fingerprint
        self._dimension = dimension
        self._max_tokens = max_tokens
        self._tokenise = tokenise
        self._network = network
        self._device = torch.device(device)

    @property
    def name(self) -> str:
        """Of the model."""
        return self._name

    @property
    def fingerprint(self) -> str:
        """What tells it from others under the same name; see `fingerprint.py`."""
        return self._fingerprint

    @property
    def dimension(self) -> int:
        """Length of its embeddings."""
        return self._dimension

    @property
    def max_tokens(self) -> int:
        """Most tokens of a text that it takes, those that mark its start and end included."""
        return self._max_tokens

    @property
    def loaded(self) -> bool:
        """Whether its weights are in memory: from the start."""
        return True

    def encode_texts(self, texts: Sequence[str]) -> list[EncodedText]:
        """Encode texts, in order; one caller at a time.

        Raises EncodingFailed where a text cannot be tokenised, or the model returns anything that is not finite
        or has no direction.
        """
        encoded: list[EncodedText] = []
        for start in range(0, len(texts), _CHUNK):
            encoded += self._encode(texts[start : start + _CHUNK])
        return encoded

    def _encode(self, texts: Sequence[str]) -> list[EncodedText]:
        try:
            tokens = self._tokenise(texts)
        except Exception as error:  # a lone surrogate, for one, surfaces as TypeError or UnicodeEncodeError
            raise EncodingFailed(f'The tokenizer of "{self._name}" cannot read the text: {error}') from error
        with torch.inference_mode():
            features = self._network(tokens.ids.to(self._device), tokens.mask.to(self._device)).float()
            norms = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
            unit = (features / norms).cpu()  # NaN also where the norm is zero or infinite
        if not torch.isfinite(unit).all() or not torch.isfinite(norms).all():
            raise EncodingFailed(
                f'The text tower "{self._name}" returned numbers that are not finite: its weights are damaged.'
            )
        rows = unit.numpy()
        return [EncodedText(row, cut) for row, cut in zip(rows, tokens.truncated, strict=True)]


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of each text's tokens, padding left out: (n, length, width) to (n, width)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
