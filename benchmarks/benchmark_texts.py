#!/usr/bin/env python3
"""Measure how many texts per second a model's text tower encodes, and how long the first text waits."""

from __future__ import annotations

from time import perf_counter, process_time
from typing import Annotated

import typer

from image_similarity.encoders.base import TextEncoder

_TEXTS = [f"{count} dogs playing with a ball on a {colour} meadow" for count in range(8) for colour in ("red", "green")]
_BATCHES = (1, 8, 32)


def main(
    model: Annotated[str, typer.Argument(help="mini, a hub name, or the folder of a checkpoint.")],
    seconds: Annotated[float, typer.Option(help="How long each batch size is measured.", min=0.1)] = 5,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Measure how many texts a second a model's text tower encodes, and how long the first one waits for it."""
    started = perf_counter()
    tower = _load(model, device)
    tower.encode_texts(_TEXTS[:1])
    typer.echo(f"{model}: loaded and ready after {perf_counter() - started:.1f} s")
    for batch in _BATCHES:
        rate, cost = _measure(tower, batch, seconds)
        typer.echo(f"batches of {batch:2d}: {rate:6.0f} texts/s, {cost:6.2f} ms of processor time a text")


def _load(model: str, device: str) -> TextEncoder:
    # Imported here, so that the measurement includes the time of these imports.
    if model == "mini":
        from image_similarity.encoders.mini import text as mini_text

        return mini_text.load(device=device)
    from image_similarity.encoders.text import sentence_transformers as sentence

    return sentence.load(model, device=device)


def _measure(tower: TextEncoder, batch: int, seconds: float) -> tuple[float, float]:
    """Return texts per second, and CPU milliseconds per text, which other programs disturb less."""
    texts = (_TEXTS * 2)[:batch]
    started, used, done = perf_counter(), process_time(), 0
    while perf_counter() - started < seconds:
        tower.encode_texts(texts)
        done += batch
    return done / (perf_counter() - started), (process_time() - used) * 1000 / done


if __name__ == "__main__":
    typer.run(main)
