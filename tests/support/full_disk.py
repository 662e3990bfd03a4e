"""What happens in a process whose disk becomes full, as JSON: `python -m tests.support.full_disk DEED FOLDER`.

A process of its own, because the kernel may end it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from image_similarity.domain.errors import DiskFull, StoreUnavailable
from image_similarity.vectors.qdrant_edge import live_shard
from image_similarity.vectors.qdrant_edge import room as edge_room
from tests.support.engines import RED, TOP, EngineUnderTest, picture, running_engine

WRITERS, EACH = 6, 60

LEFT = 8 * 2**20
"""Bytes that somebody makes free again."""


def fill(folder: Path) -> None:
    """Take all the room that is left."""
    with (folder / "ballast").open("ab", buffering=0) as ballast, suppress(OSError):
        for size in (2**20, 512):
            with suppress(OSError):
                while True:
                    ballast.write(bytes(size))


async def write(folder: Path) -> dict[str, Any]:
    """Have several writers add images with metadata while somebody else fills the disk; then search and delete."""
    acknowledged: list[str] = []
    refused: list[str] = []
    # Whenever it may be, for the disk is filled within a moment.
    live_shard.SECURE_SECONDS = -1.0
    state: dict[str, Any] = {}
    try:
        async with running_engine(folder / "data") as rig:
            # The limit is looked at twice a second, so that writers are at work when it is passed.
            rig.engine.disk.min_free = 2 * edge_room.SPARE

            async def add(writer: int) -> None:
                for number in range(EACH):
                    name = f"{writer}-{number}"
                    metadata = {"description": f"{name} a word or two {number}", f"field{number % 4}": "x" * 2000}
                    try:
                        await rig.engine.index_image(picture(writer, number, 9), image_id=name, metadata=metadata)
                    except StoreUnavailable as error:
                        refused.append(error.code)
                    else:
                        acknowledged.append(name)
                        if len(acknowledged) == EACH:
                            await asyncio.to_thread(fill, folder)

            await asyncio.gather(*(add(writer) for writer in range(WRITERS)))
            # What a deletion needs, and far less than anything else.
            os.truncate(folder / "ballast", (folder / "ballast").stat().st_size - LEFT)
            gone = acknowledged[:3]
            for name in gone:
                await rig.engine.delete_image(name)
            state = {"deleted": len(gone), **await _state(rig)}
    except StoreUnavailable:
        # The last flush may find no room.
        if not state:
            raise
    return {"acknowledged": len(acknowledged), "refused": sorted(set(refused)), **state}


async def start(folder: Path) -> dict[str, Any]:
    """Open what is there, search, and try to write. Raises DiskFull if it cannot be opened."""
    state: dict[str, Any] = {}
    try:
        async with running_engine(folder / "data") as rig:
            rig.engine.disk.min_free = 2 * edge_room.SPARE
            state = await _state(rig)
            try:
                await rig.engine.index_image(RED, image_id="one more")
            except DiskFull:
                state["refused"] = True
    except StoreUnavailable:
        # The last flush may find no room.
        if not state:
            raise
    return state


async def make(folder: Path) -> dict[str, Any]:
    """Make a collection as if there were room without end, and take it all when the collection is closed."""
    edge_room.AMPLE = edge_room.GROWTH = 0
    async with running_engine(folder / "data") as rig:
        await rig.engine.index_image(RED, image_id="red")
    fill(folder)
    return {}


async def _state(rig: EngineUnderTest) -> dict[str, Any]:
    found = await rig.engine.search_by_image(RED, TOP)
    return {"images": (await rig.engine.stats()).collection.images, "found": len(found.matches)}


if __name__ == "__main__":
    deed, where = sys.argv[1:]
    try:
        answer = asyncio.run({"write": write, "start": start, "make": make}[deed](Path(where)))
    except DiskFull as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)
