"""Flushes that fail: told, tried again, mended by opening the shard anew, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.domain.filters import parse_filter
from image_similarity.vectors.qdrant_edge import live_shard
from image_similarity.vectors.qdrant_edge import log as edge_log
from image_similarity.vectors.qdrant_edge.live_shard import LiveShard
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore, ExistingCollection, inspect_collection
from tests.contract.vectors.conftest import META
from tests.support.flushes import break_files
from tests.support.records import record, towards
from tests.support.servers import PATIENCE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "collections" / "photos"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_shard, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(live_shard, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(live_shard, "MAX_BACKOFF_SECONDS", 0.2)


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def flushed(store: EmbeddedStore) -> None:
    shard = store._shard
    await eventually(lambda: not shard._written and shard._flushing is None)


async def mended(store: EmbeddedStore) -> None:
    async with asyncio.timeout(PATIENCE):
        while await failing(store):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


async def failing(store: EmbeddedStore) -> str:
    """Return what `check` complains of, empty while all is well."""
    try:
        await store.check()
    except StoreUnavailable as error:
        return str(error)
    return ""


async def written(store: EmbeddedStore, *names: str) -> None:
    await store.upsert([(record(name, {name: 1}), towards(at)) for at, name in enumerate(names)])


async def test_a_flush_that_fails_is_told_and_mended_without_a_restart(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[None] = []
    store = EmbeddedStore.open(folder, META, on_flush_failure=lambda: failures.append(None))
    try:
        await written(store, "a", "b")
        await flushed(store)
        await written(store, "c")
        with monkeypatch.context() as full:
            # So that it stays as long as this test looks.
            full.setattr(live_shard, "ROOM", 2**80)
            break_files(folder)
            await written(store, "d")
            await eventually(lambda: len(failures) > live_shard.REOPEN_AFTER + 1)
            said = await failing(store)
            assert "has failed to write to its disk for" in said
            assert "shorter than expected" in said
            assert "/" not in said, "no path of this machine"
            assert await store.get("d") == record("d", {"d": 1})
        await written(store, "e")
        await mended(store)
        for name in "abcde":
            condition = parse_filter({name: 1})
            assert [match.image_id for match in await store.query(towards(0), top_k=9, condition=condition)] == [name]
    finally:
        await store.close()
    log = capsys.readouterr()
    assert "flush_failed" in log.out + log.err
    assert "flush_works_again" in log.out + log.err
    assert inspect_collection(folder) == ExistingCollection(META, 5)


async def test_a_shard_that_cannot_be_opened_anew_says_so_until_it_can(folder: Path) -> None:
    store = EmbeddedStore.open(folder, META)
    segments = folder / "shard" / "segments"
    try:
        await written(store, "a", "b")
        await flushed(store)
        break_files(folder)
        await written(store, "c")
        await eventually(lambda: store._shard._failures > 0)
        # A file where a folder should be.
        segments.rename(folder / "elsewhere")
        segments.write_text("")
        await eventually(lambda: store._shard._shard is None)
        with pytest.raises(StoreUnavailable, match="could not be opened anew yet") as caught:
            await store.get("a")
        assert str(folder) not in str(caught.value)
        assert await failing(store)
        segments.unlink()
        (folder / "elsewhere").rename(segments)
        await mended(store)
        assert (await store.info()).images == 3
    finally:
        await store.close()


async def test_a_last_flush_that_fails_loses_nothing_and_is_no_error(folder: Path) -> None:
    store = EmbeddedStore.open(folder, META)
    await written(store, "a")
    await flushed(store)
    break_files(folder)
    await written(store, "b")
    await store.close()
    assert inspect_collection(folder) == ExistingCollection(META, 2)


async def test_what_may_be_lost_is_told_when_closing_and_the_folder_is_let_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddedStore.open(folder, META)
    await written(store, "a")
    await flushed(store)
    break_files(folder)
    await written(store, "b")
    with monkeypatch.context() as full:
        full.setattr(live_shard, "ROOM", 2**80)
        with pytest.raises(StoreUnavailable, match=r"may be lost.*free on the disk"):
            await store.close()
    await store.close()
    assert inspect_collection(folder) == ExistingCollection(META, 2)


async def test_a_write_whose_caller_has_gone_is_flushed_as_well(folder: Path) -> None:
    store = EmbeddedStore.open(folder, META)
    try:
        write = asyncio.create_task(written(store, "a"))
        await asyncio.sleep(0)
        write.cancel()
        await eventually(write.done)
        await flushed(store)
    finally:
        await store.close()


async def test_a_write_that_the_engine_refuses_does_not_stop_the_shard_opening(folder: Path) -> None:
    """Edge puts an operation into its log before it finds out that it cannot be done."""
    store = EmbeddedStore.open(folder, META)
    with pytest.raises(StoreUnavailable, match="expected dim"):
        await store.upsert([(record("a"), towards(0).repeat(2))])
    await written(store, "b")
    await store.close()
    assert inspect_collection(folder) == ExistingCollection(META, 1)


async def test_the_pause_between_attempts_grows_to_a_bound(folder: Path) -> None:
    store = EmbeddedStore.open(folder, META)
    shard = store._shard
    pauses = []
    for shard._failures in (0, 1, 2, 100_000):
        pauses.append(shard._pause())
    assert pauses == [live_shard.FLUSH_SECONDS, live_shard.RETRY_SECONDS, 2 * live_shard.RETRY_SECONDS, 0.2]
    await store.close()


async def test_a_log_that_could_not_be_synced_once_is_not_relied_on_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_shard, "FLUSH_SECONDS", 3600.0)
    flushes = 0

    def flush(shard: LiveShard) -> None:
        nonlocal flushes
        flushes += 1
        flush_or_reopen(shard)

    def fail(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    flush_or_reopen = LiveShard._flush_or_reopen
    monkeypatch.setattr(LiveShard, "_flush_or_reopen", flush)
    store = EmbeddedStore.open(folder, META)
    try:
        await written(store, "a")
        with monkeypatch.context() as broken, capture_logs() as lines:
            broken.setattr(edge_log, "_sync_data", fail)
            with pytest.raises(StoreUnavailable, match="log to disk: Input/output error"):
                await written(store, "b")
        assert [line["event"] for line in lines] == ["log_sync_failed"]
        assert flushes == 0
        await written(store, "c")
        assert flushes == 1, "it was acknowledged on the word of a log that has a hole"
    finally:
        await store.close()
