"""Many files at a time: what is in the way for a moment stops no run."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_similarity.cli.index_local import Tally, index_files
from image_similarity.domain.errors import Overloaded, StoreUnavailable
from image_similarity.domain.records import IndexResult, Metadata, Outcome
from image_similarity.images.files import IdFrom, ImageFile, find_images


class Busy:
    """An indexer that turns everything away a few times."""

    def __init__(self, times: int, error: Exception) -> None:
        self.times = times
        self.error = error

    async def index_image(self, data: bytes, *, image_id: str, metadata: Metadata) -> IndexResult:
        if self.times:
            self.times -= 1
            raise self.error
        return IndexResult(image_id, created=True, changed=True, processing_time_ms=1)


async def run(indexer: Busy, folder: Path) -> Tally:
    for name in ("a.png", "b.png", "c.png"):
        (folder / name).write_bytes(name.encode())
    return await index_files(
        indexer,
        find_images([folder], recursive=False),
        id_from=IdFrom.PATH,
        metadata={},
        max_bytes=100,
        concurrency=2,
        on_progress=lambda _: None,
    )


async def test_files_wait_for_their_turn(tmp_path: Path) -> None:
    tally = await run(Busy(7, Overloaded("all decoders are busy", retry_after=0)), tmp_path)
    assert (tally.counts[Outcome.INDEXED], tally.failures) == (3, [])


async def test_what_concerns_all_files_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await run(Busy(1, StoreUnavailable("gone")), tmp_path)


def test_metadata_is_found_by_path_and_then_by_name(tmp_path: Path) -> None:
    by_name: dict[str, Metadata] = {"cats/tom.jpg": {}, "tom.jpg": {"species": "cat"}}
    assert ImageFile(tmp_path / "cats" / "tom.jpg", "cats/tom.jpg").metadata(by_name) == {}, "empty is not missing"
    assert ImageFile(tmp_path / "dogs" / "tom.jpg", "dogs/tom.jpg").metadata(by_name) == {"species": "cat"}
    assert ImageFile(tmp_path / "rex.jpg", "rex.jpg").metadata(by_name) == {}
