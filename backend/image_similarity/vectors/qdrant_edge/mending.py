"""Files of a shard that a power cut tore, or a disk damaged, and that can be made anew without losing an image.

They are moved to `damaged/` in the collection's folder, for whoever wants to look. What holds images, and cannot be
made anew, is left as it is.
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
"""Of a segment's format; without it Edge takes the segment for one that was never finished, and passes it over."""


def mend_documents(folder: Path) -> list[str]:
    """Set aside small files that cannot be read, and write those anew that must be there; returns which they were.

    Raises OSError.
    """
    shard = folder / "shard"
    documents = [shard / "edge_config.json", shard / "wal" / "first-index"]
    torn = [path for path in documents if path.exists() and not _is_json(path)]
    # A segment of the log that nothing was written to yet.
    torn += [path for path in (shard / "wal").glob("open-*") if not path.stat().st_size]
    for path in torn:
        _set_aside(folder, path)
    for path in shard.glob(f"segments/*/{_VERSION}"):
        if re.fullmatch(rb"\d+\.\d+\.\d+\S*", path.read_bytes().strip()) is None:
            torn.append(path)
            _set_aside(folder, path)
            # Written once, when the segment was made; torn, it was made a moment before, by this engine.
            path.write_text(_version())
    return [str(path.relative_to(folder)) for path in torn]


def mend_indexes(folder: Path) -> list[str]:
    """Set aside the indexes of all segments, which are made anew from the images' records; returns where they were.

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
    """Return the version of the segments that this engine makes."""
    with tempfile.TemporaryDirectory() as folder:
        shard = edge.EdgeShard.create(
            folder, edge.EdgeConfig(vectors={"": edge.EdgeVectorParams(size=1, distance=edge.Distance.Dot)})
        )
        shard.close()
        [path] = Path(folder).glob(f"segments/*/{_VERSION}")
        return path.read_text()
