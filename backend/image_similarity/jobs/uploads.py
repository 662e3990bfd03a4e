"""Uploads: jobs that were submitted together under one label are shown as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from image_similarity.domain.errors import JobNotFound, StoreUnavailable
from image_similarity.domain.records import IndexCounts
from image_similarity.jobs.base import Failure, Job, JobState
from image_similarity.jobs.ledger import JobLedger

LOOKED_AT = 64
"""Most jobs of one upload whose progress is read: the oldest ones, because they are processed first."""


@dataclass(frozen=True, slots=True)
class Upload:
    """The jobs with one label, or a single job without a label."""

    upload: str
    """The label, or the job's id."""
    jobs: tuple[Job, ...]
    """Oldest first, at least one."""

    @property
    def state(self) -> JobState:
        """RUNNING until all jobs have ended; then the worst of their states."""
        states = {job.state for job in self.jobs}
        if states == {JobState.QUEUED}:
            return JobState.QUEUED
        if not all(state.ended for state in states):
            return JobState.RUNNING
        gravest = (JobState.FAILED, JobState.CANCELLED, JobState.COMPLETED_WITH_ERRORS)
        return next((state for state in gravest if state in states), JobState.COMPLETED)

    @property
    def counts(self) -> IndexCounts:
        """The sums over the jobs."""
        return sum((job.counts for job in self.jobs), IndexCounts())


class Uploads:
    """Reads uploads. Every method raises StoreUnavailable."""

    def __init__(self, ledger: JobLedger) -> None:
        self._ledger = ledger

    async def get(self, upload: str) -> Upload:
        """Return an upload by its label, or a job by its id. Raises JobNotFound."""
        jobs = await self._ledger.uploads.of(upload)
        if not jobs:
            return Upload(upload, (await self._ledger.get(upload),))
        open_jobs = [job.job_id for job in jobs if not job.state.ended][:LOOKED_AT]
        looked_at = dict(zip(open_jobs, await asyncio.gather(*map(self._look, open_jobs)), strict=True))
        found = (looked_at.get(job.job_id, job) for job in jobs)
        present = tuple(job for job in found if job is not None)
        if not present:
            raise JobNotFound(f'There is no upload "{upload}"; reports are kept for a while only (JOB_RETENTION).')
        return Upload(upload, present)

    async def newest(self, limit: int) -> list[Upload]:
        """Return the latest uploads, by the time of their newest job, newest first."""
        labels = await self._ledger.uploads.labels()
        ids = reversed(await self._ledger.ids())
        found: list[Upload] = []
        # Each upload once, in the order of its newest job.
        for upload in dict.fromkeys(labels.get(job_id, job_id) for job_id in ids):
            if len(found) == limit:
                break
            with suppress(JobNotFound):
                found.append(await self.get(upload))
        return found

    async def failures(self, upload: Upload, *, offset: int, limit: int) -> list[Failure]:
        """Return `limit` of an upload's failures from number `offset` on; reads at most `limit` jobs."""
        found: list[Failure] = []
        for job in upload.jobs:
            if len(found) == limit:
                break
            if offset < job.counts.failed:
                failures = job.failures or await self._failures_of(job)
                found += failures[offset : offset + limit - len(found)]
            offset = max(0, offset - job.counts.failed)
        return found

    async def _look(self, job_id: str) -> Job | None:
        """Return the current state of a job; None for a job that was never submitted completely."""
        try:
            job = await self._ledger.get(job_id)
        except JobNotFound:
            return None
        if job.state.ended and job.upload is not None:
            # The process that ended the job died before it wrote this note. If this fails, the next call writes it.
            with suppress(StoreUnavailable):
                await self._ledger.uploads.end(job)
        return job

    async def _failures_of(self, job: Job) -> Sequence[Failure]:
        try:
            return (await self._ledger.get(job.job_id)).failures
        except JobNotFound:
            # Its report was deleted a moment ago.
            return ()
