"""Train the head of mini's text tower: from sentence embeddings of captions to image embeddings of their photographs.

The image side is locked (Zhai et al., "LiT: Zero-Shot Transfer with Locked-image text Tuning", CVPR 2022), so that
image search does not change; the sentence encoder is locked too. So only a small network over precomputed features is
trained, which takes a minute.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from flickr8k import Captions
from image_similarity.encoders.mini.image import BACKBONE_SHA256, MINI, WEIGHTS, MiniEncoder
from image_similarity.encoders.mini.text import MINILM_SHA256, load_sentence_encoder, project
from image_similarity.images.decode import decode

_BATCH = 32

Progress = Callable[[Iterable[int], str], Iterable[int]]
"""Wraps an iterable of numbers with a progress bar under a description."""


@dataclass(frozen=True, slots=True)
class Features:
    """Outputs of both locked encoders for `Captions`: unit rows, float32."""

    images: Tensor
    """Shape (photographs, 512)."""
    mirrored: Tensor
    """The same photographs mirrored; shape (photographs, 512)."""
    sentences: Tensor
    """Shape (texts, 384)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyperparameters of the training, chosen on the validation photographs."""

    hidden: int = 768
    epochs: int = 20
    batch: int = 1024
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    temperature: float = 0.05
    dropout: float = 0.3
    mirrored: float = 0.5
    """Share of the photographs that are mirrored."""


def fingerprint(captions: Captions) -> str:
    """Return a digest of everything that the features depend on."""
    digest = hashlib.sha256(WEIGHTS.read_bytes())
    names = [captions.photos[i].name for i in captions.photo_of]
    for part in (BACKBONE_SHA256, MINILM_SHA256, *names, *captions.texts):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def compute_features(captions: Captions, track: Progress) -> Features:
    """Run both encoders over everything, exactly as the product does. Raises ModelUnavailable."""
    encoder = MiniEncoder.load(device="cpu", precision="fp32")
    images = list(embed_photos(encoder, captions.photos, track, "Photographs"))
    mirrored = list(embed_photos(encoder, captions.photos, track, "Photographs, mirrored", ImageOps.mirror))
    sentences = embed_sentences(captions.texts, track)
    return Features(torch.cat(images), torch.cat(mirrored), sentences)


def embed_photos(
    encoder: MiniEncoder,
    photos: list[Path],
    track: Progress,
    description: str,
    alter: Callable[[Image.Image], Image.Image] = lambda image: image,
) -> Iterator[Tensor]:
    """Yield the embeddings of photographs, a batch of (n, 512) at a time."""
    for start in track(range(0, len(photos), _BATCH), description):
        files = [path.read_bytes() for path in photos[start : start + _BATCH]]
        images = [decode(data, max_pixels=50_000_000, min_short_side=MINI.input_size).image for data in files]
        yield torch.from_numpy(encoder.encode_images(np.stack([encoder.preprocess(alter(image)) for image in images])))


def embed_sentences(texts: list[str], track: Progress) -> Tensor:
    """Return all-MiniLM-L6-v2's embeddings, shape (texts, 384), unit rows."""
    tokenise, encode = load_sentence_encoder(device="cpu")
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # similar lengths together need less padding
    rows = torch.empty((len(texts), 384))
    with torch.inference_mode():
        for start in track(range(0, len(order), _BATCH), "Captions"):
            some = order[start : start + _BATCH]
            tokens = tokenise([texts[i] for i in some])
            rows[some] = encode(tokens.ids, tokens.mask)
    return rows


def train(
    captions: Captions, features: Features, photos: list[int], recipe: Recipe, track: Progress
) -> dict[str, Tensor]:
    """Train a head on the captions of some photographs; return the tensors that `mini_text.project` takes.

    Contrastive: a caption should be nearest to its own photograph in the batch. Only that direction is trained,
    because searches use no other. Deterministic on one machine.
    """
    torch.manual_seed(0)
    head = _initial(recipe.hidden)
    optimizer = torch.optim.AdamW(head.values(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    photo_of = torch.from_numpy(captions.photo_of)
    texts = torch.nonzero(torch.isin(photo_of, torch.tensor(photos))).squeeze(1)
    batches = len(texts) // recipe.batch
    steps = recipe.epochs * batches
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    for step in track(range(steps), "Training"):
        if step % batches == 0:
            order = texts[torch.randperm(len(texts))]
        some = order[step % batches * recipe.batch :][: recipe.batch]
        shown = photo_of[some]
        flipped = torch.rand(len(some), 1) < recipe.mirrored
        images = torch.where(flipped, features.mirrored[shown], features.images[shown])
        embeddings = functional.normalize(project(features.sentences[some], head, dropout=recipe.dropout), dim=1)
        # A photograph may be in the batch with several captions: each of its positions is right.
        same = (shown[:, None] == shown[None, :]).float()
        wanted = same / same.sum(dim=1, keepdim=True)
        loss = functional.cross_entropy(embeddings @ images.T / recipe.temperature, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return {name: tensor.detach() for name, tensor in head.items()}


def _initial(hidden: int) -> dict[str, Tensor]:
    def draw(rows: int, columns: int) -> Tensor:
        bound = 1 / math.sqrt(columns)
        return torch.empty(rows, columns).uniform_(-bound, bound).requires_grad_()

    return {
        "skip": draw(MINI.dimension, 384),
        "expand": draw(hidden, 384),
        "expand_bias": torch.zeros(hidden, requires_grad=True),
        "contract": draw(MINI.dimension, hidden),
        "contract_bias": torch.zeros(MINI.dimension, requires_grad=True),
    }


def recall(captions: Captions, features: Features, photos: list[int], head: dict[str, Tensor]) -> dict[int, float]:
    """Return recall@1, @5 and @10 of each caption of `photos`, searched among exactly these photographs."""
    photo_of = torch.from_numpy(captions.photo_of)
    candidates = torch.tensor(photos)
    texts = torch.nonzero(torch.isin(photo_of, candidates)).squeeze(1)
    scores = functional.normalize(project(features.sentences[texts], head), dim=1) @ features.images[candidates].T
    own = scores.gather(1, torch.searchsorted(candidates, photo_of[texts])[:, None])
    before = (scores > own).sum(dim=1)
    return {k: float((before < k).float().mean()) for k in (1, 5, 10)}
