"""The lock of a collection's folder: one process at a time, whatever the file says."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.vectors.qdrant_edge.folder_lock import FolderInUse, FolderLock, Holder, holder_of, lock_path

_HOLD = """
import subprocess, sys
from pathlib import Path
from image_similarity.vectors.qdrant_edge.folder_lock import FolderLock
lock = FolderLock.take(Path(sys.argv[1]))
lock.announce("http://127.0.0.1:8123")
child = "import sys; print('held', flush=True); sys.stdin.read()"
subprocess.run([sys.executable, "-c", child], close_fds=False)
"""
"""Takes a folder, and starts another program, as one does that outlives it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "collections" / "photos"


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the folder."""
    arguments = [sys.executable, "-c", _HOLD, str(folder)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_comes_second_is_told_who_was_first(folder: Path) -> None:
    with held_elsewhere(folder) as process:
        expected = Holder(process.pid, platform.node(), "-c", "http://127.0.0.1:8123")
        assert holder_of(folder) == expected
        with pytest.raises(FolderInUse, match=rf"the server at http://127.0.0.1:8123 \(pid {process.pid}\)") as caught:
            FolderLock.take(folder)
        assert caught.value.holder == expected


def test_a_killed_holder_holds_nothing(
    folder: Path,
) -> None:
    """Neither its file, which stays, nor a program that it started and that still runs holds the folder."""
    with held_elsewhere(folder) as process:
        process.kill()
        process.wait()
        assert json.loads(lock_path(folder).read_bytes())["pid"] == process.pid
        assert holder_of(folder) is None
        lock = FolderLock.take(folder)
    assert holder_of(folder) == Holder(os.getpid(), platform.node(), holder_of(folder).program)  # type: ignore[union-attr]
    lock.release()
    lock.release()
    assert holder_of(folder) is None


def test_looking_makes_nothing(folder: Path) -> None:
    assert holder_of(folder) is None
    assert not folder.parent.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b'{"pid": 12}',
        b'{"pid": "x", "host": "h", "program": "p", "url": null}',
        b'{"pid": 12, "host": "h", "program": "p", "url": 5}',
        b'{"pid": 12, "host": "h", "program": "p", "url": "http://localhost:1\\u001b[2J"}',
        b'{"pid": 12, "host": "h", "program": "' + b"p" * 5000 + b'", "url": null}',
        b"\xff" * 100,
    ],
)
def test_a_file_that_says_something_odd_is_one_of_an_unknown_process(folder: Path, content: bytes) -> None:
    lock = FolderLock.take(folder)
    lock_path(folder).write_bytes(content)
    assert holder_of(folder) == Holder()
    with pytest.raises(FolderInUse, match=r"does not say who it is\. Stop it first; `fuser .*photos\.lock`"):
        FolderLock.take(folder)
    lock.release()


def test_what_another_program_wrote_reaches_no_terminal_as_it_is(folder: Path) -> None:
    lock = FolderLock.take(folder)
    evil = {"pid": 12, "host": "\x1b[2J", "program": "serve\n\x07" + "x" * 500, "url": None}
    lock_path(folder).write_text(json.dumps(evil))
    with pytest.raises(FolderInUse) as caught:
        FolderLock.take(folder)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500 + len(str(folder))
    lock.release()


def test_the_advice_follows_from_who_has_it(folder: Path) -> None:
    here = platform.node()
    for holder, advice in (
        (Holder(1, here, "image-similarity index"), "`image-similarity index` (pid 1). Wait until it has finished"),
        (Holder(1, here, "image-similarity serve"), "starting; try again"),
        (Holder(1, here, "image-similarity serve", "http://[::1]:80"), "--url http://[::1]:80, or stop it"),
        (Holder(1, "another", "x serve", "http://h:1"), "the server at http://h:1 (pid 1 on another)"),
    ):
        assert advice in str(FolderInUse(folder, holder))


def test_a_lock_that_leads_elsewhere_is_refused_and_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder.parent.mkdir()
    lock_path(folder).symlink_to(precious)
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        FolderLock.take(folder)
    assert holder_of(folder) is None
    assert precious.read_text() == "mine"


def test_a_folder_that_cannot_be_locked_is_named(folder: Path) -> None:
    lock_path(folder).mkdir(parents=True)
    with pytest.raises(StoreUnavailable, match=rf"{folder.parent} cannot be written.*must belong to the user"):
        FolderLock.take(folder)
