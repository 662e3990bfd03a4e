"""Files of a shard that were torn: mended where no image is lost by it, else named, with what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.domain.filters import parse_filter
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from tests.contract.vectors.conftest import META
from tests.support.records import record, towards

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection with three images that nobody has open; each test leaves it as whole as it found it."""
    return tmp_path_factory.mktemp("data") / "photos"


async def make(folder: Path) -> None:
    if not contents(folder):
        store = EmbeddedStore.open(folder, META)
        await store.upsert([(record(name, {"number": at}, minute=at), towards(at)) for at, name in enumerate(NAMES)])
        await store.close()


def contents(folder: Path, below: str = "") -> set[Path]:
    return set((folder / below).glob("*" if below else "**/*"))


def empty(*paths: Path) -> None:
    assert paths
    for path in paths:
        os.truncate(path, 0)


TORN: dict[str, Callable[[Path], None]] = {
    "version of a segment": lambda shard: empty(*shard.glob("segments/*/version.info")),
    "configuration": lambda shard: empty(shard / "edge_config.json"),
    "beginning of the log": lambda shard: empty(shard / "wal" / "first-index"),
    "next segment of the log": lambda shard: empty(max((shard / "wal").glob("open-*"))),
    "indexes": lambda shard: empty(*shard.glob("segments/*/payload_index/config.json")),
    # Edge panics over these.
    "flags of indexes": lambda shard: empty(*shard.glob("segments/*/payload_index/*/*/status.dat")),
}


@pytest.mark.parametrize("torn", TORN)
async def test_what_can_be_made_anew_is_set_aside_and_named(folder: Path, torn: str) -> None:
    await make(folder)
    TORN[torn](folder / "shard")
    before = contents(folder, "damaged")

    with capture_logs() as logs:
        store = EmbeddedStore.open(folder, META)
    try:
        assert set(await store.get_many(NAMES)) == set(NAMES)
        found = await store.query(towards(2), top_k=3, condition=parse_filter({"number": {"gte": 1}}))
        assert [match.image_id for match in found] == ["c", "b"]
        assert await store.count_content(record("a").sha256) == 1
        assert [image.image_id for image in (await store.scroll(limit=2)).records] == ["c", "b"]
        await store.upsert([(record("a", {"number": 0}), towards(0))])
    finally:
        await store.close()
    [mended] = [line for line in logs if line["event"] == "collection_mended"]
    assert mended["set_aside"]
    assert len(contents(folder, "damaged") - before) == len(mended["set_aside"])


async def test_what_holds_images_is_left_and_named_with_what_to_do(folder: Path) -> None:
    await make(folder)
    [description] = (folder / "shard").glob("segments/*/segment.json")
    whole = description.read_bytes()
    empty(description)
    try:
        with pytest.raises(StoreUnavailable, match=rf"is damaged .*{description.parent.name}.* from a backup"):
            EmbeddedStore.open(folder, META)
        assert description.read_bytes() == b""
    finally:
        description.write_bytes(whole)
    store = EmbeddedStore.open(folder, META)
    assert set(await store.get_many(NAMES)) == set(NAMES)
    await store.close()


async def test_files_that_may_not_be_read_are_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await make(folder)
    before = contents(folder)

    def refused(path: str) -> None:
        raise RuntimeError(f"Service runtime error: {path}: Permission denied (os error 13)")

    monkeypatch.setattr("qdrant_edge.EdgeShard.load", refused)
    with pytest.raises(StoreUnavailable, match=r"cannot be opened: .*Permission denied"):
        EmbeddedStore.open(folder, META)
    assert contents(folder) == before
