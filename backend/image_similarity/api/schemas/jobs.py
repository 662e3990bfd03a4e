"""The JSON schemas of bulk indexing, each with an example."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from image_similarity.api.schemas.images import EXAMPLE_IMAGE, EXAMPLE_METADATA, JsonObject, Schema
from image_similarity.jobs.base import Failure, Job, JobState
from image_similarity.jobs.uploads import Upload

_EXAMPLE_JOB: dict[str, JsonValue] = {
    "job_id": "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d",
    "state": "running",
    "counts": {"total": 60, "processed": 32, "indexed": 31, "replaced": 0, "unchanged": 0, "failed": 1},
    "rate": 41.2,
    "eta_seconds": 0.7,
    "created_at": "2026-01-02T03:04:05.678Z",
    "started_at": "2026-01-02T03:04:05.701Z",
    "finished_at": None,
    "upload": None,
}
_EXAMPLE_UPLOAD: dict[str, JsonValue] = {
    "upload": "b5e2c7d09f4a41d8",
    "state": "completed_with_errors",
    "jobs": 2,
    "counts": {"total": 60, "processed": 60, "indexed": 59, "replaced": 0, "unchanged": 0, "failed": 1},
    "created_at": "2026-01-02T03:04:05.678Z",
    "finished_at": "2026-01-02T03:04:07.129Z",
}
EXAMPLE_FAILURE: dict[str, JsonValue] = {
    "image_id": "cats/torn.jpg",
    "code": "image_undecodable",
    "reason": "The JPEG file is truncated.",
}
EXAMPLE_EVENTS = (
    'event: progress\r\ndata: {"job_id": "019a9d5e-…", "state": "running", "counts": {…}, "rate": 41.2, …}\r\n\r\n'
    'event: finished\r\ndata: {"job_id": "019a9d5e-…", "state": "completed", …, "failures": [], …}\r\n\r\n'
)


class BatchImage(Schema):
    """One image of a batch: its bytes, or their key in the storage."""

    image_data: str | None = Field(None, description="The image as base64, or a `data:` URL.")
    storage_key: str | None = Field(
        None, description="Instead: the key of an object that you put into the storage below `inbox/`."
    )
    image_id: str | None = Field(
        None, min_length=1, max_length=512, description="Your own name for the image; default: a UUIDv7."
    )
    metadata: JsonObject = Field(default_factory=dict, description="Any JSON object up to 64 KiB.")


class BatchRequest(Schema):
    """Images to add in the background."""

    images: list[BatchImage] = Field(min_length=1)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "images": [
                        {"image_data": EXAMPLE_IMAGE, "image_id": "cats/tom.jpg", "metadata": EXAMPLE_METADATA},
                        {"image_data": EXAMPLE_IMAGE, "image_id": "cats/kim.jpg"},
                    ]
                }
            ]
        }
    )


class JobCounts(BaseModel):
    """The images of a job, counted by outcome."""

    total: int
    processed: int = Field(description="The sum of the next four.")
    indexed: int
    replaced: int = Field(description="Another image with the same id was there.")
    unchanged: int = Field(description="The same image was there, perhaps from the first run of a repeated chunk.")
    failed: int

    model_config = ConfigDict(from_attributes=True)


class JobFailure(BaseModel):
    """An image that could not be indexed."""

    image_id: str
    code: str = Field(description="Stable, as in problem documents.")
    reason: str


class JobDeadLetter(BaseModel):
    """A chunk of the job that was given up; its images are among the failures."""

    chunk: int
    given_up_at: datetime
    reason: str


class JobSummary(BaseModel):
    """The current state of a job."""

    job_id: str
    state: JobState
    counts: JobCounts
    rate: float = Field(description="Images per second since the job began.")
    eta_seconds: float | None = Field(description="Time left at this rate; null if unknown.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    upload: str | None = Field(description="The label of its upload; null if none.")

    @classmethod
    def of(cls, job: Job) -> JobSummary:
        """Return the summary of a job."""
        return cls(**_fields(job))


class JobDocument(JobSummary):
    """The current state of a job, with the images that failed."""

    failures: list[JobFailure]
    dead_letters: list[JobDeadLetter] = Field(description="The first 100 chunks that were given up.")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE_JOB, "failures": [EXAMPLE_FAILURE], "dead_letters": []}]}
    )

    @classmethod
    def of(cls, job: Job) -> JobDocument:
        """Return the document of a job."""
        letters = [
            JobDeadLetter(chunk=letter.chunk, given_up_at=letter.given_up_at, reason=letter.reason)
            for letter in job.dead_letters
        ]
        return cls(**_fields(job), failures=_failures(job.failures), dead_letters=letters)


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobSummary]

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": [_EXAMPLE_JOB]}]})


class UploadSummary(BaseModel):
    """The current state of all jobs with one label, or of a job without a label."""

    upload: str = Field(description="The label, or the id of a job that has none.")
    state: JobState = Field(description="Of all its jobs: the worst one when all have ended.")
    jobs: int
    counts: JobCounts = Field(description="The sums over its jobs.")
    created_at: datetime
    finished_at: datetime | None = Field(description="null until all its jobs have ended.")

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_UPLOAD]})

    @classmethod
    def of(cls, upload: Upload) -> UploadSummary:
        """Return the summary of an upload."""
        return cls(**_upload_fields(upload))


class UploadDocument(UploadSummary):
    """The current state of an upload, with some of the images that failed."""

    failures: list[JobFailure] = Field(description="From number `offset` on; there are `counts.failed` in all.")

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE_UPLOAD, "failures": [EXAMPLE_FAILURE]}]})

    @classmethod
    def with_failures(cls, upload: Upload, failures: Iterable[Failure]) -> UploadDocument:
        """Return the document of an upload with these failures."""
        return cls(**_upload_fields(upload), failures=_failures(failures))


class UploadList(BaseModel):
    """Uploads, newest first."""

    uploads: list[UploadSummary]

    model_config = ConfigDict(json_schema_extra={"examples": [{"uploads": [_EXAMPLE_UPLOAD]}]})


class BatchAccepted(BaseModel):
    """The images are stored and will be indexed."""

    job_id: str
    state: JobState
    total: int = Field(description="Images in the job.")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"job_id": _EXAMPLE_JOB["job_id"], "state": "queued", "total": 60}]}
    )


def _failures(failures: Iterable[Failure]) -> list[JobFailure]:
    return [JobFailure(image_id=each.image_id, code=each.code, reason=each.reason) for each in failures]


def _upload_fields(upload: Upload) -> dict[str, Any]:
    ends = [job.finished_at for job in upload.jobs if job.finished_at is not None]
    return {
        "upload": upload.upload,
        "state": upload.state,
        "jobs": len(upload.jobs),
        "counts": JobCounts.model_validate(upload.counts),
        "created_at": min(job.created_at for job in upload.jobs),
        "finished_at": max(ends) if len(ends) == len(upload.jobs) else None,
    }


def _fields(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "state": job.state,
        "counts": JobCounts.model_validate(job.counts),
        "rate": round(job.rate, 2),
        "eta_seconds": None if job.eta_seconds is None else round(job.eta_seconds, 1),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "upload": job.upload,
    }
