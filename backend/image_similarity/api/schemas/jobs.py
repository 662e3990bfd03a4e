"""The JSON of bulk indexing, with an example each."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from image_similarity.api.schemas.images import EXAMPLE_IMAGE, EXAMPLE_METADATA, JsonObject, Schema
from image_similarity.jobs.base import Job, JobState

_EXAMPLE_JOB: dict[str, JsonValue] = {
    "job_id": "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d",
    "state": "running",
    "counts": {"total": 60, "processed": 32, "indexed": 31, "replaced": 0, "unchanged": 0, "failed": 1},
    "rate": 41.2,
    "eta_seconds": 0.7,
    "created_at": "2026-01-02T03:04:05.678Z",
    "started_at": "2026-01-02T03:04:05.701Z",
    "finished_at": None,
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
    """One image of a batch: its bytes, or where they are in the storage."""

    image_data: str | None = Field(None, description="The image as base64, or a `data:` URL.")
    storage_key: str | None = Field(
        None, description="Instead: the key of an object that you put into the storage below `inbox/`."
    )
    image_id: str | None = Field(
        None, min_length=1, max_length=512, description="Your own name for the image; a UUIDv7 where absent."
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
    """How many images have had which fate."""

    total: int
    processed: int = Field(description="The sum of the four that follow.")
    indexed: int
    replaced: int = Field(description="There was another image of the same id.")
    unchanged: int = Field(description="The very same was there; also what a repeated chunk finds of its first run.")
    failed: int


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
    """A job as it stands."""

    job_id: str
    state: JobState
    counts: JobCounts
    rate: float = Field(description="Images per second since the job began.")
    eta_seconds: float | None = Field(description="Until the end at this rate; null where nothing can be said.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> JobSummary:
        """Return the summary of a job."""
        return cls(**_fields(job))


class JobDocument(JobSummary):
    """A job as it stands, with the images that failed."""

    failures: list[JobFailure]
    dead_letters: list[JobDeadLetter] = Field(description="The first 100 chunks that were given up.")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE_JOB, "failures": [EXAMPLE_FAILURE], "dead_letters": []}]}
    )

    @classmethod
    def of(cls, job: Job) -> JobDocument:
        """Return the document of a job."""
        failures = [
            JobFailure(image_id=failure.image_id, code=failure.code, reason=failure.reason) for failure in job.failures
        ]
        letters = [
            JobDeadLetter(chunk=letter.chunk, given_up_at=letter.given_up_at, reason=letter.reason)
            for letter in job.dead_letters
        ]
        return cls(**_fields(job), failures=failures, dead_letters=letters)


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobSummary]

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": [_EXAMPLE_JOB]}]})


class BatchAccepted(BaseModel):
    """The images are stored and will be indexed."""

    job_id: str
    state: JobState
    total: int = Field(description="Images in the job.")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"job_id": _EXAMPLE_JOB["job_id"], "state": "queued", "total": 60}]}
    )


def _fields(job: Job) -> dict[str, object]:
    counts = job.counts
    return {
        "job_id": job.job_id,
        "state": job.state,
        "counts": JobCounts(
            total=counts.total,
            processed=counts.processed,
            indexed=counts.indexed,
            replaced=counts.replaced,
            unchanged=counts.unchanged,
            failed=counts.failed,
        ),
        "rate": round(job.rate, 2),
        "eta_seconds": None if job.eta_seconds is None else round(job.eta_seconds, 1),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }
