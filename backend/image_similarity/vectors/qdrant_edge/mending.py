"""Repairs files of a shard that a power cut or a disk damaged, if they can be rebuilt without losing an image.

Damaged files are moved to `damaged/` in the collection's folder, so that an operator can inspect them. Files that
contain images cannot be rebuilt, and stay unchanged.
"""

from __future__ import annotations

import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import orjson
import qdrant_edge as edge

DAMAGED = "damaged"

_VERSION = "version.info"
"""File with the version of a segment's format; without it Edge skips the segment as unfinished."""


def mend_documents(folder: Path) -> list[str]:
    """Move unreadable small files aside, and rewrite those that must exist; return their paths.

    Raises OSError.
    """
    shard = folder / "shard"
    documents = [shard / "edge_config.json", shard / "wal" / "first-index"]
    torn = [path for path in documents if path.exists() and not _is_json(path)]
    # An empty segment of the log.
    torn += [path for path in (shard / "wal").glob("open-*") if not path.stat().st_size]
    for path in torn:
        _set_aside(folder, path)
    for path in shard.glob(f"segments/*/{_VERSION}"):
        if re.fullmatch(rb"\d+\.\d+\.\d+\S*", path.read_bytes().strip()) is None:
            torn.append(path)
            _set_aside(folder, path)
            # The file is written once, when the segment is made; so a torn one was made just before, by this version.
            path.write_text(_version())
    return [str(path.relative_to(folder)) for path in torn]


def mend_indexes(folder: Path) -> list[str]:
    """Move the indexes of all segments aside, which Edge rebuilds from the payloads; return their paths.

    Raises OSError.
    """
    indexes = list((folder / "shard").glob("segments/*/payload_index"))
    for path in indexes:
        _set_aside(folder, path)
    return [str(path.relative_to(folder)) for path in indexes]


def _set_aside(folder: Path, path: Path) -> None:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    target = folder / DAMAGED / moment / path.relative_to(folder)
    target.parent.mkdir(parents=True)
    path.rename(target)


def _is_json(path: Path) -> bool:
    try:
        orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        return False
    return True


def _version() -> str:
    """Return the version of the segments that this version of Edge makes."""
    with tempfile.TemporaryDirectory() as folder:
        shard = edge.EdgeShard.create(
            folder, edge.EdgeConfig(vectors={"": edge.EdgeVectorParams(size=1, distance=edge.Distance.Dot)})
        )
        shard.close()
        [path] = Path(folder).glob(f"segments/*/{_VERSION}")
        return path.read_text()
