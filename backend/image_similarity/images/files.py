"""Finds and reads image files on disk, and derives their ids in the collection."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

import orjson

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.records import Metadata

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
)
"""Suffixes of the files taken from a folder; a file given by its path is taken whatever its name."""


class IdFrom(StrEnum):
    """Source of an image's id."""

    PATH = "path"
    HASH = "hash"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file, and its path relative to the folder that was given."""

    path: Path
    relative: str

    def image_id(self, source: IdFrom, data: bytes) -> str:
        """Return the id of the image, whose bytes are `data`."""
        match source:
            case IdFrom.PATH:
                return self.relative
            case IdFrom.NAME:
                return self.path.name
            case IdFrom.HASH:
                return hashlib.sha256(data).hexdigest()

    def metadata(self, by_name: Mapping[str, Metadata]) -> Metadata:
        """Return the image's entry in a metadata file: by its path, else by its name alone, else an empty one."""
        return by_name.get(self.relative, by_name.get(self.path.name, {}))


def find_images(paths: Iterable[Path], *, recursive: bool) -> list[ImageFile]:
    """Return the image files at `paths` and in folders there, in a stable order.

    Raises InvalidRequest if a path does not exist or a folder cannot be read.
    """
    found: list[ImageFile] = []
    for path in paths:
        if path.is_dir():
            found += (ImageFile(file, file.relative_to(path).as_posix()) for file in _walk(path, recursive=recursive))
        elif path.is_file():
            found.append(ImageFile(path, path.name))
        else:
            unexpanded = " The shell has not expanded the pattern: leave out the quotes, or name the folder."
            raise InvalidRequest(
                f"There is no file or folder {path}.{unexpanded if set('*?[') & set(str(path)) else ''}"
            )
    return found


def check_distinct(files: Iterable[ImageFile], source: IdFrom) -> None:
    """Raise InvalidRequest if two files would get the same id, so that the second would silently replace the first."""
    if source is IdFrom.HASH:
        return
    seen: dict[str, Path] = {}
    for file in files:
        image_id = file.image_id(source, b"")
        if image_id in seen and seen[image_id].resolve() != file.path.resolve():
            raise InvalidRequest(
                f'{seen[image_id]} and {file.path} would both get the id "{image_id}"; '
                "use --id-from hash, or index the folders one at a time from their common parent."
            )
        seen[image_id] = file.path


def read_image(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a file. Raises InvalidRequest if it cannot be read or is too large."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise InvalidRequest(f"{path} has {size} bytes; the limit is {max_bytes} (MAX_BODY_BYTES).")
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error


def read_metadata(path: Path) -> dict[str, Metadata]:
    """Read a JSON object that maps relative paths or file names to metadata. Raises InvalidRequest."""
    try:
        table = orjson.loads(path.read_bytes())
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"{path} is not JSON: {error}.") from error
    if not isinstance(table, dict) or not all(isinstance(value, dict) for value in table.values()):
        raise InvalidRequest(f'{path} must hold one object of objects: {{"cats/tom.jpg": {{"species": "cat"}}}}.')
    return table


def unmatched(metadata: Mapping[str, Metadata], files: Iterable[ImageFile]) -> list[str]:
    """Return the keys of `read_metadata` that match none of the files."""
    names = {name for file in files for name in (file.relative, file.path.name)}
    return [key for key in metadata if key not in names]


def _walk(folder: Path, *, recursive: bool) -> Iterator[Path]:
    def refuse(error: OSError) -> NoReturn:
        raise InvalidRequest(f"The folder {error.filename} cannot be read: {error.strerror}.") from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        # Hidden folders contain thumbnails and version histories, not photos.
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(parent, name)
