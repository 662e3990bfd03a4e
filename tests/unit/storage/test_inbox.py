"""What others put into the storage: read as what it is, or named as what it must not be."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from image_similarity.domain.errors import InvalidRequest
from image_similarity.jobs.base import Item
from image_similarity.jobs.ledger import JobLedger
from image_similarity.storage.objects import Objects

LIMIT = 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the inbox, with a secret beside it."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"secret")
    inbox = tmp_path / "storage" / "inbox"
    inbox.mkdir(parents=True)
    return inbox


def link_to_a_file(folder: Path) -> str:
    (folder / "link").symlink_to(folder.parent.parent / "secret" / "key")
    return "inbox/link"


def link_to_a_folder(folder: Path) -> str:
    (folder / "away").symlink_to(folder.parent.parent / "secret")
    return "inbox/away/key"


def link_further_down(folder: Path) -> str:
    (folder / "a").mkdir()
    (folder / "a" / "away").symlink_to(folder.parent.parent)
    return "inbox/a/away/secret/key"


def link_within_the_inbox(folder: Path) -> str:
    (folder / "real").write_bytes(b"data")
    (folder / "link").symlink_to("real")
    return "inbox/link"


def link_to_itself(folder: Path) -> str:
    (folder / "link").symlink_to("link")
    return "inbox/link"


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return "inbox/pipe"


def listening_socket(folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        # A path of a socket has 107 bytes at most.
        os.chdir(folder)
        try:
            server.bind("socket")
        finally:
            os.chdir(before)
    return "inbox/socket"


def link_to_a_device(folder: Path) -> str:
    (folder / "zero").symlink_to("/dev/zero")
    return "inbox/zero"


def a_folder(folder: Path) -> str:
    (folder / "folder").mkdir()
    return "inbox/folder"


def below_a_file(folder: Path) -> str:
    (folder / "file").write_bytes(b"data")
    return "inbox/file/name"


@pytest.mark.parametrize(
    "put",
    [
        link_to_a_file,
        link_to_a_folder,
        link_further_down,
        link_within_the_inbox,
        link_to_itself,
        pipe,
        listening_socket,
        link_to_a_device,
        a_folder,
        below_a_file,
    ],
)
async def test_only_plain_files_are_read(folder: Path, put: Callable[[Path], str]) -> None:
    ledger = ledger_of(folder)
    with pytest.raises(InvalidRequest, match="no plain file") as refused:
        await ledger.read(Item("a", put(folder), None))
    assert str(folder.parent) not in str(refused.value)


async def test_files_of_the_inbox_are_read_up_to_a_size(folder: Path) -> None:
    ledger = ledger_of(folder)
    (folder / "a b").mkdir()
    (folder / "a b" / "größe {1}.jpg").write_bytes(b"x" * LIMIT)
    assert await ledger.read(Item("a", "inbox/a b/größe {1}.jpg", None)) == b"x" * LIMIT
    (folder / "large").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(InvalidRequest, match=r'"inbox/large" has 1001 bytes or more; the limit is 1000 \(MAX_BODY'):
        await ledger.read(Item("a", "inbox/large", None))
    assert await ledger.read(Item("a", "inbox/none", None)) is None
    assert await ledger.read(Item("a", "inbox/none/none", None)) is None


@pytest.fixture
def linked(folder: Path) -> Path:
    """Return the inbox, which is a link."""
    folder.rmdir()
    folder.symlink_to(folder.parent.parent / "secret")
    return folder


async def test_the_inbox_itself_may_be_a_link_or_missing(linked: Path, tmp_path: Path) -> None:
    assert await ledger_of(linked).read(Item("a", "inbox/key", None)) == b"secret"
    assert await ledger_of(tmp_path / "none" / "inbox").read(Item("a", "inbox/key", None)) is None


async def test_in_a_bucket_the_size_is_known_before_an_object_is_read() -> None:
    objects = Objects(MemoryStore())
    ledger = JobLedger(objects, max_image_bytes=LIMIT)
    await objects.write("inbox/right", b"x" * LIMIT)
    await objects.write("inbox/large", b"x" * (LIMIT + 1))
    assert await ledger.read(Item("a", "inbox/right", None)) == b"x" * LIMIT
    assert await ledger.read(Item("a", "inbox/none", None)) is None
    with pytest.raises(InvalidRequest, match="MAX_BODY_BYTES"):
        await ledger.read(Item("a", "inbox/large", None))


def ledger_of(folder: Path) -> JobLedger:
    return JobLedger(Objects.open(None, default=folder.parent), max_image_bytes=LIMIT)
