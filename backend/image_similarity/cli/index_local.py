"""Index many files through an engine in this process, as fast as the model can."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from image_similarity.domain.errors import IMAGE_ERRORS, Overloaded
from image_similarity.domain.records import IndexResult, Metadata, Outcome
from image_similarity.images.files import IdFrom, ImageFile, read_image

_PATIENCE = 60
"""How often a file is retried while the engine is busy with slow files, before the run stops."""

NAMED_REPLACED = 10
"""How many replaced images are kept by name, to be shown."""


class BulkTarget(Protocol):
    """The engine itself, or a server's client."""

    async def index_image(self, data: bytes, *, image_id: str, metadata: Metadata) -> IndexResult:
        """Add an image."""
        ...


@dataclass(slots=True)
class Tally:
    """The files of a run, counted by outcome."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    """Of the failures, too."""
    replaced_ids: list[str] = field(default_factory=list)
    """The first few, if they are known: a server reports only how many."""
    failures: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many files have been processed."""
        return self.counts.total()

    def count(self, result: IndexResult) -> None:
        """Count a success."""
        self.counts[result.outcome] += 1
        if result.outcome is Outcome.REPLACED and len(self.replaced_ids) < NAMED_REPLACED:
            self.replaced_ids.append(result.image_id)

    def fail(self, path: Path, reason: str) -> None:
        """Count a failure."""
        self.counts[Outcome.FAILED] += 1
        self.failures.append((path, reason))


async def index_files(
    indexer: BulkTarget,
    files: Iterable[ImageFile],
    *,
    id_from: IdFrom,
    metadata: Mapping[str, Metadata],
    max_bytes: int,
    concurrency: int,
    on_progress: Callable[[Tally], None],
) -> Tally:
    """Index every file, `concurrency` at a time; a file that cannot be indexed is recorded, and the others go on.

    Errors that are not about one file, such as StoreUnavailable, stop the run and are raised.
    """
    tally = Tally()
    queue = iter(files)

    async def work() -> None:
        # The workers share the iterator: each takes the next file when it is free.
        for file in queue:
            try:
                data = await asyncio.to_thread(read_image, file.path, max_bytes)
                result = await _patiently(indexer, data, file.image_id(id_from, data), file.metadata(metadata))
            except IMAGE_ERRORS as error:
                tally.fail(file.path, str(error))
            else:
                tally.count(result)
            on_progress(tally)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(work())
    except BaseExceptionGroup as group:
        # The first failure cancelled the other workers, so it is the one to report.
        raise group.exceptions[0] from group
    return tally


async def _patiently(indexer: BulkTarget, data: bytes, image_id: str, metadata: Metadata) -> IndexResult:
    for _ in range(_PATIENCE):
        try:
            return await indexer.index_image(data, image_id=image_id, metadata=metadata)
        except Overloaded as error:
            # The other files of this run cause it: a large image keeps a decoder busy for seconds.
            await asyncio.sleep(min(5.0, error.retry_after))
    return await indexer.index_image(data, image_id=image_id, metadata=metadata)
