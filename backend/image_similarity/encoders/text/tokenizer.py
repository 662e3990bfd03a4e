"""Tokenizers from a tokenizer.json, read by the library `tokenizers`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from tokenizers import Tokenizer

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders.checkpoint import why
from image_similarity.encoders.text.tower import Tokens

_USUAL_POSITIONS = 512


class FileTokenizer:
    """Maps texts to padded ids, cut at `limit` tokens; ignores the file's settings for truncation and padding."""

    def __init__(self, tokenizer: Tokenizer, *, limit: int, pad_id: int, lower: bool = False) -> None:
        tokenizer.enable_truncation(max_length=limit)
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._pad_id = pad_id
        self._lower = lower
        self.limit = limit

    @classmethod
    def read(cls, path: Path, name: str, *, limit: int, pad_id: int, lower: bool = False) -> Self:
        """Read the tokenizer.json of the model `name`. Raises ModelUnavailable if it is missing or damaged."""
        if not path.is_file():
            raise ModelUnavailable(f'"{name}" lacks its tokenizer: there is no {path}.')
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise ModelUnavailable(f'The tokenizer of "{name}" at {path} cannot be read ({why(error)}).') from error
        return cls(tokenizer, limit=limit, pad_id=pad_id, lower=lower)

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts, padded to the longest one."""
        encodings = self._tokenizer.encode_batch([text.lower() if self._lower else text for text in texts])
        length = max((len(encoding.ids) for encoding in encodings), default=0)
        ids = torch.full((len(encodings), length), self._pad_id, dtype=torch.int64)
        mask = torch.zeros((len(encodings), length), dtype=torch.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
            mask[row, : len(encoding.ids)] = 1
        return Tokens(ids, mask, [bool(encoding.overflowing) for encoding in encodings])


def positions_of(config: Any) -> int:
    """Return the maximum number of tokens that a transformer with this configuration has positions for."""
    positions = int(getattr(config, "max_position_embeddings", 0) or _USUAL_POSITIONS)
    if "roberta" in str(config.model_type):
        # RoBERTa and related models start their positions after the id of the padding.
        return positions - int(config.pad_token_id) - 1
    return positions
