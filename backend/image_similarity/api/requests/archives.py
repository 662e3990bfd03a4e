"""Images out of an untrusted zip or tar archive: names only become ids, and stated sizes are never trusted."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, cast

from image_similarity.domain.errors import BodyTooLarge, InvalidArchive
from image_similarity.images.files import SUFFIXES

_TAR_MAGIC = (257, b"ustar")
_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")

_DIRECTORY_BYTES = 1024
"""Limit of the average size of an entry in an archive's directory or headers; names and dates are far shorter."""


_HEADER_BYTES = 2**20
"""Limit of one header in a tar archive; attributes of a file, such as macOS adds, have some kilobytes."""


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Limits of one archive."""

    members: int
    member_bytes: int
    total_bytes: int
    """Unpacked."""


@dataclass(frozen=True, slots=True)
class Member:
    """One image, unpacked."""

    name: str
    """Its path in the archive, forward slashes, neither absolute nor with `..`."""
    data: bytes


def read_archive(file: IO[bytes], limits: ArchiveLimits) -> Iterator[Member]:
    """Yield the images of a zip, tar or tar.gz archive; blocks.

    Skips the same files as the indexing of a folder: hidden files, and names without the suffix of an image. Raises
    InvalidArchive if the archive is damaged or holds links, encrypted files or paths that lead out of it, and
    BodyTooLarge if it exceeds the limits.
    """
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    try:
        if head.startswith(_ZIP_MAGICS):
            yield from _read_zip(file, limits)
        elif head.startswith(_GZIP_MAGIC):
            with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                yield from _read_tar(cast("IO[bytes]", unpacked), limits)
        elif head[_TAR_MAGIC[0] :].startswith(_TAR_MAGIC[1]):
            yield from _read_tar(file, limits)
        else:
            raise InvalidArchive("The archive is neither zip nor tar nor tar.gz.")
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        RecursionError,
    ) as error:
        raise InvalidArchive(f"The archive is damaged: {error}.") from error


def _read_zip(file: IO[bytes], limits: ArchiveLimits) -> Iterator[Member]:
    # zipfile reads the whole directory at once, and the parsed directory takes ten times its size.
    bounded = _BoundedReads(file, largest=max(2**20, limits.members * _DIRECTORY_BYTES))
    with zipfile.ZipFile(bounded) as archive:
        _check_count(len(archive.infolist()), limits)
        total = 0
        for entry in archive.infolist():
            if not entry.filename:
                raise InvalidArchive("The archive has an entry without a name.")
            if entry.is_dir():
                continue
            # The upper half holds the Unix mode if the archive was made on Unix.
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
                raise InvalidArchive(f'"{_short(entry.filename)}" is a link or a device; pack the files themselves.')
            if entry.flag_bits & 0x1:
                raise InvalidArchive(f'"{_short(entry.filename)}" is encrypted.')
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InvalidArchive(f'"{_short(entry.filename)}" is compressed in a way other than deflate.')
            name = _check_name(entry.filename)
            total += entry.file_size
            _check_sizes(name, entry.file_size, total, limits)
            if _is_image(name):
                with archive.open(entry) as content:
                    # Never more than the directory states, which was checked; the checksum fails if there is less.
                    yield Member(name, content.read(entry.file_size + 1))


def _read_tar(file: IO[bytes], limits: ArchiveLimits) -> Iterator[Member]:
    # Long names and attributes have blocks of their own, which tarfile reads whole.
    headers = (limits.members + 10) * 4 * _DIRECTORY_BYTES
    bounded = _BoundedReads(file, largest=_HEADER_BYTES, most=headers, furthest=limits.total_bytes + headers)
    with tarfile.open(fileobj=bounded, mode="r:", errorlevel=2) as archive:
        total = count = 0
        while (entry := archive.next()) is not None:
            # tarfile keeps every entry with all its attributes until the archive is closed.
            archive.members.clear()  # type: ignore[attr-defined]
            count += 1
            _check_count(count, limits)
            if entry.isdir():
                continue
            if not entry.isreg() or entry.issparse():
                raise InvalidArchive(f'"{_short(entry.name)}" is a link or a device; pack the files themselves.')
            name = _check_name(entry.name)
            total += entry.size
            _check_sizes(name, entry.size, total, limits)
            if _is_image(name):
                file.seek(entry.offset_data)
                data = file.read(entry.size)
                if len(data) != entry.size:
                    raise InvalidArchive(f'The archive ends in the middle of "{_short(name)}".')
                yield Member(name, data)
        # tarfile takes anything that is no header for the end; the true end is a block of zeros.
        bounded.seek(archive.offset)
        if bounded.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise InvalidArchive("The archive has no end; was it cut off?")
        # Read to the end, because gzip's checksum is there.
        while bounded.read(2**20):
            pass


def _check_count(count: int, limits: ArchiveLimits) -> None:
    if count > limits.members:
        raise BodyTooLarge(f"The archive has more than {limits.members} entries (MAX_BATCH_IMAGES); make several.")


def _check_sizes(name: str, size: int, total: int, limits: ArchiveLimits) -> None:
    if size > limits.member_bytes:
        raise BodyTooLarge(
            f'"{_short(name)}" has {size} bytes unpacked; the limit is {limits.member_bytes} (MAX_BODY_BYTES).'
        )
    if total > limits.total_bytes:
        raise BodyTooLarge(
            f"The archive has more than {limits.total_bytes} bytes unpacked (MAX_BATCH_BYTES); make several."
        )


def _check_name(name: str) -> str:
    path = name.replace("\\", "/").removeprefix("./")
    if path.startswith("/") or ".." in path.split("/") or path[1:2] == ":":
        raise InvalidArchive(f'"{_short(name)}" leads out of the archive.')
    return path


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(step.startswith((".", "__MACOSX")) for step in path.parts)
    return not hidden and path.suffix.lower() in SUFFIXES


def _short(name: str) -> str:
    return name[:120].encode(errors="replace").decode()


class _BoundedReads(io.RawIOBase):
    """A file that refuses reads of more than `largest` bytes, more than `most` in all, or beyond the offset `furthest`.

    The libraries trust the lengths that an archive states, and would allocate them.
    """

    def __init__(self, file: IO[bytes], *, largest: int, most: int | None = None, furthest: int | None = None) -> None:
        self._file = file
        self._largest = largest
        self._left = most
        self._furthest = furthest

    def read(self, size: int = -1, /) -> bytes:
        if size > self._largest:
            raise BodyTooLarge(f"The archive states a header of {size} bytes; at most {self._largest} are read.")
        data = self._file.read(size)
        if self._left is not None and (left := self._left - len(data)) < 0:
            raise BodyTooLarge("The archive's headers are longer than its images need; pack it without attributes.")
        if self._left is not None:
            self._left = left
        self._check_position(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_SET:
            self._check_position(offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def _check_position(self, position: int) -> None:
        if self._furthest is not None and position > self._furthest:
            raise BodyTooLarge(f"The archive has more than {self._furthest} bytes unpacked (MAX_BATCH_BYTES).")
