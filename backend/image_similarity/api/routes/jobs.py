"""Add many images in the background, and follow the progress."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from image_similarity.api.dependencies import JobId, JobsDep, SettingsDep, UploadId, UploadLabel
from image_similarity.api.errors import responses
from image_similarity.api.openapi import batch_body
from image_similarity.api.requests.batch import read_batch
from image_similarity.api.responses import JsonResponse
from image_similarity.api.routes import PREFIX
from image_similarity.api.schemas.jobs import (
    EXAMPLE_EVENTS,
    BatchAccepted,
    BatchRequest,
    JobDocument,
    JobList,
    JobSummary,
    UploadDocument,
    UploadList,
    UploadSummary,
)
from image_similarity.jobs.base import Job
from image_similarity.jobs.service import JobService

router = APIRouter(prefix=PREFIX, tags=["jobs"])


@router.post(
    "/index/batch",
    summary="Add many images in the background",
    status_code=202,
    response_model=BatchAccepted,
    responses=responses(400, 413, 415, 422, 503, 507),
    openapi_extra=batch_body(BatchRequest),
)
async def index_batch(request: Request, jobs: JobsDep, settings: SettingsDep, upload: UploadLabel = None) -> Response:
    """Answers as soon as the bytes are stored; `GET /jobs/{job_id}` returns the progress and the failures."""
    async with jobs.draft(upload=upload) as draft:
        metadata = await read_batch(request, draft, settings)
        job = await jobs.submit(draft, metadata)
    answer = JsonResponse({"job_id": job.job_id, "state": job.state, "total": job.counts.total}, status_code=202)
    answer.headers["Location"] = f"{PREFIX}/jobs/{job.job_id}"
    return answer


@router.get("/jobs", summary="Bulk jobs, newest first", response_model=JobList, responses=responses(422, 503))
async def newest(
    jobs: JobsDep, limit: Annotated[int, Query(ge=1, le=500, description="Most jobs to return.")] = 50
) -> JobList:
    """Reports are kept for JOB_RETENTION seconds after a job's end."""
    return JobList(jobs=[JobSummary.of(job) for job in await jobs.newest(limit)])


@router.get(
    "/jobs/{job_id}",
    summary="The progress of a bulk job, and the images that failed",
    response_model=JobDocument,
    responses=responses(404, 422, 503),
)
async def get(job_id: JobId, jobs: JobsDep) -> JobDocument:
    """State, counts, rate, time left; each failure with its reason."""
    return JobDocument.of(await jobs.get(job_id))


@router.get(
    "/jobs/{job_id}/events",
    summary="The progress of a bulk job as events",
    response_class=EventSourceResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EXAMPLE_EVENTS}},
            "description": "Server-Sent Events: `progress` without the failures, and at the end `finished` with them.",
        },
        **responses(404, 422, 503),
    },
)
async def events(job_id: JobId, jobs: JobsDep) -> EventSourceResponse:
    """Begins with the current state, and ends with the job."""
    # Read the job before the answer begins, while an error can still be answered.
    await jobs.get(job_id)
    return EventSourceResponse(_events(job_id, jobs), headers={"X-Accel-Buffering": "no"})


@router.delete(
    "/jobs/{job_id}",
    summary="Cancel a bulk job",
    response_model=JobDocument,
    responses=responses(404, 422, 503),
)
async def cancel(job_id: JobId, jobs: JobsDep) -> JobDocument:
    """Indexed images stay, and chunks in progress are finished. A job that has ended does not change."""
    return JobDocument.of(await jobs.cancel(job_id))


@router.get("/uploads", summary="Bulk jobs, grouped by label", response_model=UploadList, responses=responses(422, 503))
async def newest_uploads(
    jobs: JobsDep, limit: Annotated[int, Query(ge=1, le=50, description="Most uploads to return.")] = 10
) -> UploadList:
    """Newest first; a job without a label is an upload of its own."""
    return UploadList(uploads=[UploadSummary.of(upload) for upload in await jobs.uploads.newest(limit)])


@router.get(
    "/uploads/{upload}",
    summary="The progress of an upload, and the images that failed",
    response_model=UploadDocument,
    responses=responses(404, 422, 503),
)
async def get_upload(
    upload: UploadId,
    jobs: JobsDep,
    offset: Annotated[int, Query(ge=0, le=10_000_000, description="Failures to skip.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500, description="Most failures to return.")] = 50,
) -> UploadDocument:
    """State and sums over all its jobs; failures in pages, in the order of the jobs."""
    found = await jobs.uploads.get(upload)
    return UploadDocument.with_failures(found, await jobs.uploads.failures(found, offset=offset, limit=limit))


async def _events(job_id: str, jobs: JobService) -> AsyncIterator[ServerSentEvent]:
    async for job in jobs.watch(job_id):
        yield _event(job)


def _event(job: Job) -> ServerSentEvent:
    if job.state.ended:
        return ServerSentEvent(JobDocument.of(job).model_dump_json(), event="finished")
    return ServerSentEvent(JobSummary.of(job).model_dump_json(), event="progress")
