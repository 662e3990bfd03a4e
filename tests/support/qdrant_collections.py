"""The collections of the Qdrant stand-in, in a folder, and the one thread that works on them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from qdrant_client import models

from tests.support.qdrant_refusal import Refused
from tests.support.qdrant_shard import Shard

VERSION = "1.20.0"
T = TypeVar("T")


class Node:
    """The collections, and the one thread that works on them: Edge holds the interpreter's lock in every call."""

    def __init__(self, folder: Path, version: str = VERSION) -> None:
        self.version = version
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._shards: dict[str, Shard] = {}

    def load(self) -> None:
        for folder in sorted(self._folder.glob("*/")):
            if (folder / "config.json").exists():
                self._shards[folder.name] = Shard.load(folder)
            else:
                shutil.rmtree(folder)

    async def close(self) -> None:
        for name in self.names:
            await self.on(name, Shard.close)
        self._thread.shutdown()

    @property
    def names(self) -> list[str]:
        return sorted(self._shards)

    async def create(self, name: str, config: models.CreateCollection) -> None:
        def make() -> None:
            # In the thread, where one comes after the other.
            if name in self._shards:
                raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
            self._shards[name] = Shard.create(self._folder / name, config)

        await self._run(make)

    async def drop(self, name: str) -> bool:
        def remove() -> bool:
            shard = self._shards.pop(name, None)
            if shard is None:
                return False
            shard.close()
            shutil.rmtree(self._folder / name)
            return True

        return await self._run(remove)

    async def on(self, name: str, work: Callable[[Shard], T], *, wait: bool = True) -> T | None:
        """Do the work; without `wait` it is only promised, and what goes wrong is nobody's to know."""
        if name not in self._shards:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        if wait:
            return await self._run(lambda: work(self._shards[name]))
        self._thread.submit(lambda: work(self._shards[name]))
        return None

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
