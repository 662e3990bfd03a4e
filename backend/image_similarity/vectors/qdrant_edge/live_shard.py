"""An open shard of Qdrant Edge: the one thread that calls it, its flushes, and recovery if they fail."""

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
"""Seconds between flushes. A killed process loses no acknowledged write; a power cut loses the writes of at most this
time, and none if writes are durable."""

RETRY_SECONDS = 1.0
"""Seconds until a failed flush is tried again; doubled after each further failure."""

MAX_BACKOFF_SECONDS = 60.0

SECURE_SECONDS = 0.5
"""Seconds between two reservations of disk space by writes, which take some milliseconds while little is free."""

REOPEN_AFTER = 3
"""Consecutive failures after which the shard is reopened from its log, and again after as many more."""

ROOM = 256 * 2**20
"""Bytes that must be free to reopen: Edge maps sparse files, and the kernel kills the process if the disk is full."""


class LiveShard:
    """A shard that one thread calls; it is flushed after writes, and reopened if flushes keep failing.

    Edge holds the GIL during a call, so one thread serves all calls in turn: more threads would only queue up for the
    GIL. Calls that come while the shard is being reopened wait in the same queue.
    """

    def __init__(
        self, folder: Path, shard: edge.EdgeShard, on_flush_failure: Callable[[], object], *, durable: bool = True
    ) -> None:
        """`on_flush_failure` is called for each flush that fails, in the shard's thread.

        With `durable`, a write returns when Edge's log is on the disk; without, it is on the disk after the next flush.
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
            # The flush shows whether only the call failed or the shard.
            self._flush_later()
            raise

    async def grow(self, call: Callable[[edge.EdgeShard], T], room: int = GROWTH) -> T:
        """Call the shard as `run` does, if the disk has `room` bytes free. Raises DiskFull too."""

        def within_room(shard: edge.EdgeShard) -> T:
            if monotonic() - self._secured_at > SECURE_SECONDS:
                self._secured_at = monotonic()
                secure(self.folder)
            require(self.folder, room)
            return call(shard)

        return await self.run(within_room)

    async def write(self, call: Callable[[edge.EdgeShard], T], room: int = GROWTH) -> T:
        """Call the shard as `grow` does, and flush it a little later, even if the caller is cancelled."""
        self._written = True
        self._flush_later()
        result = await self.grow(call, room)
        if self._log is not None:
            await self._bring_to_disk(self._log)
        return result

    async def check(self) -> None:
        """Call the shard, and reserve its room on the disk.

        Raises StoreUnavailable while flushes fail: those writes would not survive a power cut.
        """
        await self.run(self._look)
        if self._failures:
            raise StoreUnavailable(
                f"The vector store has failed to write to its disk for {monotonic() - self._failing_since:.0f} s "
                f"(attempts: {self._failures}; {self._reason}). It goes on trying."
            )

    async def close(self) -> None:
        """Flush and close the shard; closing twice is harmless.

        Raises StoreUnavailable if the latest writes may be lost: they could not be flushed, not even after the shard
        was reopened from its log.
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
            # Slow, but independent of the log.
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
            # Edge raises plain `Exception` for any internal error, and its panics are only BaseException.
            except BaseException as error:
                kind = DiskFull if "No space left" in str(error) else StoreUnavailable
                raise kind(f"The vector store failed: {self._told(error)}") from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, guarded)

    def _told(self, error: BaseException) -> str:
        """Return an error's text without the folders of this machine, which callers must not learn."""
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
        # Bounded, because after a night of failures the power would be too large for a float.
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
        """Flush; if that failed several times, reopen the shard first. Runs in the shard's thread."""
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
        """Close the shard, and load it from its files and its log. Raises StoreUnavailable; then no shard is open."""
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
        """Flush and close; if the flush fails, reopen the shard from its log and flush once more."""
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
