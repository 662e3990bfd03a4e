"""A vector store that several processes can open, for tests of many processes where there is no Qdrant server."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import orjson

from image_similarity.domain import Condition, Embedding, ImageRecord, Match, Page, StoreUnavailable
from image_similarity.vectors.base import CollectionInfo, point_id

_COLUMNS = "image_id, sha256, width, height, format, indexed_at, metadata"


class SqliteStore:
    """Implements `VectorStore`, exact search without filters; every call opens the file anew."""

    def __init__(self, path: Path, *, model: str, dimension: int) -> None:
        self._path, self._model, self._dimension = path, model, dimension
        path.parent.mkdir(parents=True, exist_ok=True)
        self._run("PRAGMA journal_mode = WAL")
        self._run(
            "CREATE TABLE IF NOT EXISTS images (point TEXT PRIMARY KEY, image_id TEXT, sha256 TEXT, width INT, "
            "height INT, format TEXT, indexed_at TEXT, metadata TEXT, vector BLOB, writes INT DEFAULT 1)"
        )

    async def upsert(self, points: Sequence[tuple[ImageRecord, Embedding]]) -> None:
        for record, vector in points:
            await self._call(
                f"INSERT INTO images (point, {_COLUMNS}, vector) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (point) DO UPDATE SET sha256 = excluded.sha256, metadata = excluded.metadata, "
                "vector = excluded.vector, indexed_at = excluded.indexed_at, writes = writes + 1",
                point_id(record.image_id),
                record.image_id,
                record.sha256,
                record.width,
                record.height,
                record.format,
                record.indexed_at.isoformat(),
                orjson.dumps(record.metadata).decode(),
                vector.tobytes(),
            )

    async def query(
        self,
        vector: Embedding,
        *,
        top_k: int,
        threshold: float | None = None,
        condition: Condition | None = None,
        with_metadata: bool = True,
        exclude: str | None = None,
    ) -> list[Match]:
        assert condition is None, "this store knows no filters"
        rows = await self._call("SELECT image_id, metadata, vector FROM images")
        found = [
            Match(image_id, float(np.frombuffer(blob, np.float32) @ vector), orjson.loads(metadata))
            for image_id, metadata, blob in rows
            if image_id != exclude
        ]
        return sorted(found, key=lambda match: -match.score)[:top_k]

    async def get(self, image_id: str) -> ImageRecord | None:
        rows = await self._call(f"SELECT {_COLUMNS} FROM images WHERE point = ?", point_id(image_id))
        return _record(rows[0]) if rows else None

    async def get_vector(self, image_id: str) -> Embedding | None:
        rows = await self._call("SELECT vector FROM images WHERE point = ?", point_id(image_id))
        return np.frombuffer(rows[0][0], np.float32) if rows else None

    async def scroll(self, *, limit: int, cursor: str | None = None) -> Page:
        offset = int(cursor or 0)
        order = f"SELECT {_COLUMNS} FROM images ORDER BY indexed_at DESC, point LIMIT ? OFFSET ?"
        rows = await self._call(order, limit, offset)
        return Page(tuple(map(_record, rows)), str(offset + limit) if len(rows) == limit else None)

    async def delete(self, image_id: str) -> ImageRecord | None:
        record = await self.get(image_id)
        await self._call("DELETE FROM images WHERE point = ?", point_id(image_id))
        return record

    async def count_content(self, sha256: str) -> int:
        return int((await self._call("SELECT count(*) FROM images WHERE sha256 = ?", sha256))[0][0])

    async def info(self) -> CollectionInfo:
        count = (await self._call("SELECT count(*) FROM images"))[0][0]
        return CollectionInfo("test", self._model, self._dimension, count, 0, ())

    async def close(self) -> None:
        pass

    async def _call(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        return await asyncio.to_thread(self._run, statement, *values)

    def _run(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        if self._path.with_name(self._path.name + ".away").exists():
            raise StoreUnavailable("The store is away.")
        connection = sqlite3.connect(self._path, timeout=60)
        try:
            with connection:
                return connection.execute(statement, values).fetchall()
        finally:
            connection.close()


def _record(row: tuple[object, ...]) -> ImageRecord:
    image_id, sha256, width, height, image_format, indexed_at, metadata = row
    return ImageRecord(
        image_id, sha256, width, height, image_format, datetime.fromisoformat(indexed_at), orjson.loads(metadata)
    )
