"""What a bulk job is, in plain types, and what carries its chunks to whoever works on them, as a Protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from image_similarity.domain.records import IndexCounts, Metadata, Outcome

STUCK_SECONDS = 1200.0
"""Without any progress, after which a job or a chunk is told of: a chunk takes minutes at most."""


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """Accepted; no chunk has been begun."""
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    """All images were dealt with; some could not be indexed and are named."""
    FAILED = "failed"
    """The job's own record is damaged, so that it could not be finished."""
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the job will not change any more."""
        return self not in {JobState.QUEUED, JobState.RUNNING}


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be indexed."""

    image_id: str
    code: str
    """As in the API's problem documents."""
    reason: str

    @property
    def outcome(self) -> Outcome:
        """That of every failure; as of `IndexResult`."""
        return Outcome.FAILED


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A chunk that was given up."""

    chunk: int
    given_up_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands."""

    job_id: str
    state: JobState
    counts: IndexCounts
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failures: tuple[Failure, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    upload: str | None = None
    """The label that it was handed in under, which joins it with other jobs."""

    @property
    def rate(self) -> float:
        """Images per second since the first chunk was begun; 0 before."""
        if self.started_at is None:
            return 0.0
        seconds = ((self.finished_at or datetime.now(UTC)) - self.started_at).total_seconds()
        return self.counts.processed / max(seconds, 1e-3)

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the end at the present rate; None where nothing can be said."""
        if self.state.ended or not self.counts.processed:
            return None
        return (self.counts.total - self.counts.processed) / self.rate


class Task(StrEnum):
    """What is to be done with an image."""

    INDEX = "index"
    TAG = "tag"
    """It is indexed, and its tagger has still to look at it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a job."""

    image_id: str
    key: str
    """Where its bytes are in the storage."""
    sha256: str | None
    """Of its bytes; None where they were in the storage before and nobody has read them yet."""
    metadata: Metadata = field(default_factory=dict)
    task: str = Task.INDEX

    def matches(self, data: bytes) -> bool:
        """Return False for other bytes than were uploaded; True if their digest is not known."""
        return self.sha256 is None or hashlib.sha256(data).hexdigest() == self.sha256


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """The state of what carries the chunks."""

    kind: str
    """in_process or rabbitmq."""
    waiting: int
    """Chunks that nobody works on yet."""
    dead_letters: int = 0
    """Chunks that were given up."""
    workers: int | None = None
    """Who takes chunks; None where it is not known."""
    problem: str | None = None
    """Why it does not work at the moment, or which chunk fails again and again; None where all is well."""


class ChunkQueue(Protocol):
    """Carries the numbers of chunks to whoever works on them: at least once, and in the end all of them."""

    async def start(self) -> None:
        """Begin, and take up again what an earlier process of this kind left unfinished."""
        ...

    async def put(self, job_id: str, chunks: Iterable[int]) -> None:
        """Hand over the chunks of a job that is in the ledger; returns at once."""
        ...

    async def info(self) -> QueueInfo:
        """Return the state of the queue, cheap enough for every request; never raises."""
        ...

    async def close(self) -> None:
        """Let go; what is under way is finished or will be repeated by the next process."""
        ...
