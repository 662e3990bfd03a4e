"""The types of bulk jobs, and the Protocol of the queue that delivers their chunks to workers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from image_similarity.domain.records import IndexCounts, Metadata, Outcome

STUCK_SECONDS = 1200.0
"""Seconds without progress after which a job or a chunk is reported; a chunk takes a few minutes at most."""


class JobState(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    """Accepted; no chunk has begun."""
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    """All images were processed; some could not be indexed, and are listed as failures."""
    FAILED = "failed"
    """The job could not be finished, because its documents are damaged."""
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self not in {JobState.QUEUED, JobState.RUNNING}


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be indexed."""

    image_id: str
    code: str
    """The same codes as in the API's problem documents."""
    reason: str

    @property
    def outcome(self) -> Outcome:
        """Always FAILED; the counterpart of `IndexResult.outcome`."""
        return Outcome.FAILED


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A chunk that was given up."""

    chunk: int
    given_up_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Job:
    """The current state of a job."""

    job_id: str
    state: JobState
    counts: IndexCounts
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failures: tuple[Failure, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    upload: str | None = None
    """The label of its upload, which other jobs may share."""

    @property
    def rate(self) -> float:
        """Images per second since the first chunk began; 0 before that."""
        if self.started_at is None:
            return 0.0
        seconds = ((self.finished_at or datetime.now(UTC)) - self.started_at).total_seconds()
        return self.counts.processed / max(seconds, 1e-3)

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the end at the current rate; None if unknown."""
        if self.state.ended or not self.counts.processed:
            return None
        return (self.counts.total - self.counts.processed) / self.rate


class Task(StrEnum):
    """The work to do on an image."""

    INDEX = "index"
    TAG = "tag"
    """It is indexed; only the tagger must still process it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a job."""

    image_id: str
    key: str
    """Key of its bytes in the storage."""
    sha256: str | None
    """Of its bytes; None if the caller put them into the storage, because they have not been read yet."""
    metadata: Metadata = field(default_factory=dict)
    task: str = Task.INDEX

    def matches(self, data: bytes) -> bool:
        """Return False if the bytes differ from the uploaded ones; True if the digest is not known."""
        return self.sha256 is None or hashlib.sha256(data).hexdigest() == self.sha256


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """The state of the queue of chunks."""

    kind: str
    """in_process or rabbitmq."""
    waiting: int
    """Chunks that no worker has taken yet."""
    dead_letters: int = 0
    """Chunks that were given up."""
    workers: int | None = None
    """How many workers take chunks; None if unknown."""
    problem: str | None = None
    """Why the queue does not work now, or which chunk fails again and again; None if all is well."""


class ChunkQueue(Protocol):
    """Delivers the numbers of chunks to workers: each at least once, and eventually all of them."""

    async def start(self) -> None:
        """Start, and resume the work that an earlier process of this kind left unfinished."""
        ...

    async def put(self, job_id: str, chunks: Iterable[int]) -> None:
        """Queue the chunks of a job that is in the ledger; returns at once."""
        ...

    async def info(self) -> QueueInfo:
        """Return the state of the queue, cheap enough for every request; never raises."""
        ...

    async def close(self) -> None:
        """Stop; work in progress is finished now or repeated by the next process."""
        ...
