"""Tokenizers with a few words, in the same file formats as real ones."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_CLIP_VOCABULARY = 128
_SENTENCES = (
    "two dogs play in the snow",
    "a black cat sleeps on the red sofa",
    "children eat ice cream by the sea",
    "an old church behind mountains",
    "a man reads the newspaper in a cafe",
    "red and blue cars wait at the light",
)


def write_clip_tokenizer(folder: Path) -> None:
    """Write a byte-pair tokenizer like CLIP's: 128 tokens, texts of 16, ids 126 and 127 for start and end."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    pieces = [letter + ending for ending in ("", "</w>") for letter in string.ascii_lowercase + string.digits]
    merges = [("d", "o"), ("do", "g</w>"), ("c", "a"), ("ca", "t</w>")]
    pieces += ["".join(pair) for pair in merges]
    pieces += [f"<|unused{number}|>" for number in range(len(pieces), _CLIP_VOCABULARY - 2)]
    vocabulary = {piece: number for number, piece in enumerate([*pieces, start, end])}
    _write_json(folder / "vocab.json", vocabulary)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 16, "do_lower_case": True}
    tokens = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end}
    _write_json(folder / "tokenizer_config.json", settings | tokens)


def write_siglip_tokenizer(folder: Path, *, max_tokens: int = 16) -> None:
    """Write a SentencePiece model like SigLIP's: about 100 pieces, learnt from a few sentences."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_SENTENCES * 20),
        model_prefix=str(folder / "spiece"),
        vocab_size=100,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.vocab").unlink()  # for people to read
    settings = {"tokenizer_class": "SiglipTokenizer", "model_max_length": max_tokens, "do_lower_case": True}
    tokens = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>", "model_input_names": ["input_ids"]}
    _write_json(folder / "tokenizer_config.json", settings | tokens)


def write_word_tokenizer(folder: Path, words: Sequence[str], *, roberta: bool = False) -> int:
    """Write a tokenizer.json of whole words, with the special tokens of BERT or of XLM-RoBERTa.

    Returns the size of its vocabulary.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    special = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    first, last, unknown = (special[0], special[2], special[3]) if roberta else (special[2], special[3], special[1])
    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    tokenizer: Any = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(vocabulary)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
