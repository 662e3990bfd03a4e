"""Image bytes at rest: once a content, in a folder or a bucket, and an error of ours for whatever goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.storage.images import ImageStorage

DATA, THUMBNAIL = b"the original", b"the thumbnail"
DIGEST = hashlib.sha256(DATA).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


def storage_in(folder: Path, *, store_originals: bool = True) -> ImageStorage:
    return ImageStorage.open(None, default=folder, store_originals=store_originals)


def files_in(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "images"


async def round_trip(storage: ImageStorage) -> None:
    assert not await storage.has(DIGEST)
    assert await storage.original(DIGEST) is None
    assert await storage.thumbnail(DIGEST) is None
    await storage.delete(DIGEST)

    await storage.save(DIGEST, DATA, THUMBNAIL)
    await storage.save(OTHER, b"other", b"small")
    assert await storage.has(DIGEST)
    assert await storage.original(DIGEST) == DATA
    assert await storage.thumbnail(DIGEST) == THUMBNAIL

    await storage.delete(DIGEST)
    assert not await storage.has(DIGEST)
    assert await storage.original(DIGEST) is None
    assert await storage.thumbnail(DIGEST) is None
    assert await storage.original(OTHER) == b"other"
    await storage.check()


async def test_a_folder_keeps_and_forgets(folder: Path) -> None:
    await round_trip(storage_in(folder))


async def test_a_bucket_keeps_and_forgets(prefix: str, folder: Path) -> None:
    await round_trip(ImageStorage.open(prefix, default=folder, store_originals=True))
    assert files_in(folder) == []


async def assert_unavailable(*calls: Awaitable[object]) -> None:
    # One after the other: where two objects are asked for at once, either may be the first to fail.
    outcomes = [(await asyncio.gather(call, return_exceptions=True))[0] for call in calls]

    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * len(calls)
    assert all(str(outcome).startswith("The image storage failed: ") for outcome in outcomes)


async def test_callers_learn_no_path_of_the_server_and_the_log_tells_all(folder: Path) -> None:
    storage = storage_in(folder)
    blocked = folder / "thumbnails"
    blocked.write_text("a file where a folder has to be")
    with capture_logs() as lines, pytest.raises(StoreUnavailable) as caught:
        await storage.check()
    assert str(folder) not in str(caught.value)
    assert "/" not in str(caught.value)
    assert "Source" not in str(caught.value)
    assert [line["event"] for line in lines] == ["storage_failed"]
    assert str(folder) in str(lines[0]["error"])


async def test_a_bucket_that_does_not_answer_is_unavailable(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Refused by the client itself, which does not try that again.
    monkeypatch.setenv("AWS_ALLOW_HTTP", "false")
    storage = ImageStorage.open(prefix, default=Path("unused"), store_originals=True)

    await assert_unavailable(
        storage.check(), storage.save(DIGEST, DATA, THUMBNAIL), storage.original(DIGEST), storage.has(DIGEST)
    )


async def test_a_bucket_that_is_not_there_is_unavailable(prefix: str) -> None:
    storage = ImageStorage.open(prefix.replace("photos", "nowhere"), default=Path("unused"), store_originals=True)

    await assert_unavailable(storage.check(), storage.save(DIGEST, DATA, THUMBNAIL))


class Calls:
    """A store that remembers what it was asked for."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.made: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.made.append(name)
        return getattr(self._store, name)


async def test_looking_whether_a_bucket_answers_is_one_look_at_one_object(prefix: str) -> None:
    """A listing costs twelve times as much."""
    storage = ImageStorage.open(prefix, default=Path("unused"), store_originals=True)
    storage._objects._store = calls = Calls(storage._objects._store)  # type: ignore[assignment]
    for _ in range(3):
        await storage.check()
    assert calls.made == ["head_async", "put_async", "head_async", "head_async"], "written where it is missing"


async def test_the_same_content_is_kept_once(folder: Path) -> None:
    storage = storage_in(folder)
    await asyncio.gather(*(storage.save(DIGEST, DATA, THUMBNAIL) for _ in range(5)))
    await storage.save(DIGEST, DATA, THUMBNAIL)

    shelf = DIGEST[:2]
    assert files_in(folder) == [Path(f"originals/{shelf}/{DIGEST}"), Path(f"thumbnails/{shelf}/{DIGEST}.webp")]


async def test_originals_are_kept_only_where_they_are_wanted(folder: Path) -> None:
    storage = storage_in(folder, store_originals=False)
    await storage.save(DIGEST, DATA, THUMBNAIL)

    assert await storage.has(DIGEST)
    assert await storage.original(DIGEST) is None
    assert await storage.thumbnail(DIGEST) == THUMBNAIL
    assert [path.parts[0] for path in files_in(folder)] == ["thumbnails"]


async def test_originals_kept_before_are_still_served_and_deleted(folder: Path) -> None:
    await storage_in(folder).save(DIGEST, DATA, THUMBNAIL)
    storage = storage_in(folder, store_originals=False)

    assert await storage.original(DIGEST) == DATA
    await storage.delete(DIGEST)
    assert files_in(folder) == []


@pytest.mark.parametrize("lost", ["originals", "thumbnails"])
async def test_half_an_image_is_not_there_and_can_be_written_and_deleted(folder: Path, lost: str) -> None:
    storage = storage_in(folder)
    await storage.save(DIGEST, DATA, THUMBNAIL)
    shutil.rmtree(folder / lost)

    assert not await storage.has(DIGEST)
    await storage.save(DIGEST, DATA, THUMBNAIL)
    assert await storage.has(DIGEST)
    shutil.rmtree(folder / lost)
    await storage.delete(DIGEST)
    assert files_in(folder) == []


@pytest.mark.parametrize("written", ["file://{}", "file://localhost{}"])
async def test_a_file_url_names_a_folder(tmp_path: Path, written: str) -> None:
    folder = tmp_path / "with space é"
    url = written.format(folder.as_posix().replace(" ", "%20"))
    storage = ImageStorage.open(url, default=tmp_path / "unused", store_originals=True)
    await storage.save(DIGEST, DATA, THUMBNAIL)

    assert len(files_in(folder)) == 2
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("url", ["file://data/images", "file://", "gopher://x", "no url", "s3://"])
def test_a_url_that_means_nothing_is_refused_by_name(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        ImageStorage.open(url, default=tmp_path, store_originals=True)
    assert f"{url} cannot be opened" in str(caught.value)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(StoreUnavailable, match="file/images"):
        storage_in(tmp_path / "file" / "images")


async def test_a_folder_that_cannot_be_written_is_unavailable(folder: Path) -> None:
    storage = storage_in(folder)
    (folder / "thumbnails").write_text("not a folder")

    await assert_unavailable(
        storage.save(DIGEST, DATA, THUMBNAIL), storage.has(DIGEST), storage.thumbnail(DIGEST), storage.check()
    )


async def test_a_folder_that_has_gone_answers_that_nothing_is_there(folder: Path) -> None:
    storage = storage_in(folder)
    await storage.save(DIGEST, DATA, THUMBNAIL)
    shutil.rmtree(folder)

    assert await storage.original(DIGEST) is None
    assert not await storage.has(DIGEST)
    await storage.delete(DIGEST)
