"""An open shard of Qdrant Edge: the one thread that calls it, its flushes, and what is done when they fail."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import TypeVar

import qdrant_edge as edge

from image_similarity.domain.errors import DiskFull, StoreUnavailable
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.qdrant_edge.folder import load
from image_similarity.vectors.qdrant_edge.log import EdgeLog
from image_similarity.vectors.qdrant_edge.room import GROWTH, require, secure

T = TypeVar("T")

FLUSH_SECONDS = 5.0
"""A killed process loses nothing that was acknowledged; a power cut at most this, and nothing if writes are durable."""

RETRY_SECONDS = 1.0
"""Until a flush that failed is tried again; twice as long after each further one."""

MAX_BACKOFF_SECONDS = 60.0

SECURE_SECONDS = 0.5
"""Between two times that writes have room seen to: it takes some milliseconds while little is free."""

REOPEN_AFTER = 3
"""Failures in a row after which the shard is opened anew from its log, and again after as many more."""

ROOM = 256 * 2**20
"""Bytes that must be free for that: Edge maps files with holes, and the kernel kills it where there is no room left."""


class LiveShard:
    """A shard that is called by one thread, flushed after writes, and opened anew where flushes go on failing.

    Edge holds the interpreter's lock for the length of a call, so one thread serves all calls in turn: more threads
    would only queue up for that lock. Calls that come while the shard is opened anew wait in the same queue.
    """

    def __init__(
        self, folder: Path, shard: edge.EdgeShard, on_flush_failure: Callable[[], object], *, durable: bool = True
    ) -> None:
        """`on_flush_failure` is called for each flush that fails, in the shard's thread.

        `durable` writes return when Edge's log is on the disk; the others are there after the next flush.
        """
        self._log = EdgeLog(folder / "shard" / "wal") if durable else None
        self.folder = folder
        self._shard: edge.EdgeShard | None = shard
        self._on_flush_failure = on_flush_failure
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vectors")
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._written = False
        self._secured_at = float("-inf")
        self._failures = 0
        self._failing_since = 0.0
        self._reason = ""
        self._closed = False

    async def run(self, call: Callable[[edge.EdgeShard], T]) -> T:
        """Call the shard, in its thread. Raises StoreUnavailable."""
        if self._closed:
            raise StoreUnavailable(f'The collection "{self.folder.name}" is closed.')
        try:
            return await self._in_thread(lambda: call(self._opened()))
        except StoreUnavailable:
            # A flush tells whether it was the call or the shard.
            self._flush_later()
            raise

    async def grow(self, call: Callable[[edge.EdgeShard], T], room: int = GROWTH) -> T:
        """Call the shard as `run` does, for what needs so many bytes of room on the disk. Raises DiskFull too."""

        def within_room(shard: edge.EdgeShard) -> T:
            if monotonic() - self._secured_at > SECURE_SECONDS:
                self._secured_at = monotonic()
                secure(self.folder)
            require(self.folder, room)
            return call(shard)

        return await self.run(within_room)

    async def write(self, call: Callable[[edge.EdgeShard], T], room: int = GROWTH) -> T:
        """Call the shard as `grow` does, and flush it a little later, whatever becomes of the caller."""
        self._written = True
        self._flush_later()
        result = await self.grow(call, room)
        if self._log is not None:
            await self._bring_to_disk(self._log)
        return result

    async def check(self) -> None:
        """Ask the shard, and see to its room on the disk.

        Raises StoreUnavailable while flushes fail: what was written then would not survive a power cut.
        """
        await self.run(self._look)
        if self._failures:
            raise StoreUnavailable(
                f"The vector store has failed to write to its disk for {monotonic() - self._failing_since:.0f} s "
                f"(attempts: {self._failures}; {self._reason}). It goes on trying."
            )

    async def close(self) -> None:
        """Flush and close the shard; closing twice is harmless.

        Raises StoreUnavailable where what was written last may be lost: it could not be flushed, nor read back from
        the log and then flushed.
        """
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._in_thread(self._finish)
        except StoreUnavailable as error:
            raise StoreUnavailable(f"What was written last may be lost when the machine stops: {error}") from error
        finally:
            self._thread.shutdown()

    async def _bring_to_disk(self, log: EdgeLog) -> None:
        if log.broken:
            # Slow, but it needs no log.
            await self._in_thread(self._flush_or_reopen)
            return
        try:
            await log.sync()
        except OSError as error:
            get_logger().error("log_sync_failed", error=str(error))
            raise StoreUnavailable(f"The vector store cannot bring its log to disk: {error.strerror}") from error

    def _look(self, shard: edge.EdgeShard) -> None:
        secure(self.folder)
        shard.info()

    def _opened(self) -> edge.EdgeShard:
        if self._shard is None:
            raise StoreUnavailable(
                f"The vector store failed and could not be opened anew yet ({self._reason}). It goes on trying."
            )
        return self._shard

    async def _in_thread(self, call: Callable[[], T]) -> T:
        def guarded() -> T:
            try:
                return call()
            except StoreUnavailable:
                raise
            # Edge raises plain `Exception` for whatever goes wrong inside it, and a panic in it is not even one.
            except BaseException as error:
                kind = DiskFull if "No space left" in str(error) else StoreUnavailable
                raise kind(f"The vector store failed: {self._told(error)}") from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, guarded)

    def _told(self, error: BaseException) -> str:
        """Return an error's text without the folders of this machine, which are no business of who calls."""
        text = str(error)
        for folder in (self.folder.absolute(), self.folder.resolve()):
            text = text.replace(str(folder.parent), "")
        return re.sub(r"(?<![\w.])/(?:[^\s/:'\"]+/)*(?=[^\s/])", "", text)

    def _flush_later(self) -> None:
        if self._timer is None and self._flushing is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(self._pause(), self._begin_flush)

    def _pause(self) -> float:
        if not self._failures:
            return FLUSH_SECONDS
        # After a night of failures the power would be too large for a float.
        return min(MAX_BACKOFF_SECONDS, RETRY_SECONDS * 2.0 ** min(self._failures - 1, 30))

    def _begin_flush(self) -> None:
        self._timer = None
        self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        if self._closed:
            return
        self._written = False
        try:
            await self._in_thread(self._flush_or_reopen)
        except StoreUnavailable as error:
            get_logger().error("flush_failed", failures=self._failures, error=str(error.__cause__ or error))
        finally:
            self._flushing = None
            if self._written or self._failures:
                self._flush_later()

    def _flush_or_reopen(self) -> None:
        """Flush, or where that failed several times open the shard anew before; in the shard's thread."""
        if self._closed:
            return
        try:
            secure(self.folder)
            stays = self._failures > 0 and self._failures % REOPEN_AFTER == 0
            if self._shard is None or (stays and self._has_room()):
                self._reopen()
            self._opened().flush()
        except BaseException as error:
            self._note_failure(error)
            raise
        if self._failures:
            get_logger().info("flush_works_again", failures=self._failures)
            self._failures = 0

    def _reopen(self) -> None:
        """Close the shard, and load it from its files and its log. Raises StoreUnavailable; there is none then."""
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.close()
        if not self._has_room():
            raise StoreUnavailable(f"There are less than {ROOM // 2**20} MiB free on the disk of DATA_DIR")
        self._shard = load(self.folder)
        get_logger().warning("store_reopened", images=self._shard.info().points_count)

    def _has_room(self) -> bool:
        return shutil.disk_usage(self.folder).free >= ROOM

    def _note_failure(self, error: BaseException) -> None:
        if not self._failures:
            self._failing_since = monotonic()
        self._failures += 1
        self._reason = self._told(error)
        self._on_flush_failure()

    def _finish(self) -> None:
        """Flush and close; what cannot be flushed is read back from the log, for the flush to be tried once more."""
        try:
            try:
                self._opened().flush()
            except BaseException as error:
                self._note_failure(error)
                get_logger().error("flush_failed", failures=self._failures, error=str(error))
                self._reopen()
                self._opened().flush()
        finally:
            if self._shard is not None:
                self._shard.close()
