"""How much room is left on disks, and who is told that it is too little."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from image_similarity.domain.errors import DiskFull, StoreUnavailable
from image_similarity.filesystem import free_space as disk
from image_similarity.filesystem.free_space import DATA, IMAGES, DiskSpace, least_free
from image_similarity.telemetry.metrics import Metrics

MiB, GiB = 2**20, 2**30


def space(folder: Path, min_free: int | None, metrics: Metrics | None = None) -> DiskSpace:
    return DiskSpace({DATA: folder, IMAGES: folder / "images"}, min_free=min_free, metrics=metrics or Metrics())


def test_what_must_stay_free_follows_the_size_of_the_disk() -> None:
    sizes = (GiB, 10 * GiB, 1000 * GiB)
    assert [least_free(size) for size in sizes] == [256 * MiB, 10 * GiB // 20, GiB]


async def test_a_disk_with_too_little_room_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match=r"The disk of DATA_DIR has [\d.,]+ MiB free; .* \(MIN_FREE_BYTES\)\. Make room"):
        await space(tmp_path, 2**60).check()
    assert "DATA_DIR" in (await space(tmp_path, 2**60).look() or "")


async def test_a_disk_with_room_or_without_a_limit_is_not_refused(tmp_path: Path) -> None:
    for min_free in (1, 0):
        roomy = space(tmp_path, min_free)
        await roomy.check()
        assert await roomy.look() is None
    async with space(tmp_path, 0).hold(2**60):
        pass


async def test_folders_that_are_not_there_yet_count_as_their_parents(tmp_path: Path) -> None:
    with pytest.raises(DiskFull):
        await space(tmp_path / "not" / "yet", 2**60).check()


async def test_what_writes_under_way_may_need_is_not_free_for_others(tmp_path: Path) -> None:
    roomy = space(tmp_path, 1)
    state = os.statvfs(tmp_path)
    free = state.f_bavail * state.f_frsize
    # A fifth: data, images and perhaps uploads are all on this disk. Others write to it too, but not that much.
    async with roomy.hold(free // 5):
        with pytest.raises(DiskFull, match="those under way may take"):
            await roomy.hold(free // 5).__aenter__()
        # Who has begun goes on.
        await roomy.check()
    async with roomy.hold(free // 5):
        pass


async def test_a_thousand_writes_look_at_the_disks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "EVERY", 3600.0)
    looks: list[int] = []
    real = os.statvfs

    def counting(path: Path) -> os.statvfs_result:
        looks.append(threading.get_ident())
        return real(path)

    monkeypatch.setattr(os, "statvfs", counting)
    roomy = space(tmp_path, 1)
    await asyncio.gather(*(roomy.check() for _ in range(500)))
    for _ in range(500):
        await roomy.check()
    # One per folder.
    assert 1 <= len(looks) <= 3
    assert threading.get_ident() not in looks


async def test_a_disk_that_hangs_is_told_of_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LIMIT", 0.01)
    back, real = threading.Event(), os.statvfs

    def hanging(path: Path) -> os.statvfs_result:
        back.wait()
        return real(path)

    monkeypatch.setattr(os, "statvfs", hanging)
    hung = space(tmp_path, 1)
    try:
        with pytest.raises(StoreUnavailable, match="have not answered"):
            await hung.check()
    finally:
        back.set()
    monkeypatch.setattr(disk, "LIMIT", 60.0)
    await hung.check()


async def test_the_room_is_measured(tmp_path: Path) -> None:
    metrics = Metrics()
    await space(tmp_path, 12345, metrics).check()
    text = metrics.render().decode()
    assert 'image_similarity_disk_least_free_bytes{disk="data"} 12345.0' in text
    assert 'image_similarity_disk_free_bytes{disk="data"}' in text
