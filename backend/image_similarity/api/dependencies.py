"""The parameters of routes, each as one annotated name."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Path, Query, Request

from image_similarity.domain.image_ids import check_image_id
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.jobs.service import JobService
from image_similarity.settings import Settings


def _engine(request: Request) -> SearchEngine:
    engine: SearchEngine = request.app.state.engine
    return engine


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _jobs(request: Request) -> JobService:
    jobs: JobService = request.app.state.jobs
    return jobs


def _image_id(
    image_id: Annotated[
        str,
        Path(
            description="The image's id, percent-encoded.",
            examples=["cats%2Ftom.jpg"],
            min_length=1,
        ),
    ],
) -> str:
    # Still encoded here: see RawPathMiddleware.
    return check_image_id(unquote(image_id))


EngineDep = Annotated[SearchEngine, Depends(_engine)]
SettingsDep = Annotated[Settings, Depends(_settings)]
JobsDep = Annotated[JobService, Depends(_jobs)]
JobId = Annotated[
    str, Path(description="The job's id.", examples=["019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d"], min_length=1)
]
_LABEL = r"^[a-z0-9]{8,64}$"
UploadLabel = Annotated[
    str | None,
    Query(
        description="A label of your own. Jobs that have the same one are one upload: see `GET /uploads/{upload}`.",
        examples=["b5e2c7d09f4a41d8"],
        pattern=_LABEL,
    ),
]
UploadId = Annotated[
    str,
    Path(
        description="The label of an upload, or the id of a job that has none.",
        examples=["b5e2c7d09f4a41d8"],
        min_length=1,
        max_length=64,
        # No slash and no dot, because it becomes the name of a folder.
        pattern=r"^[a-z0-9-]+$",
    ),
]
ImageId = Annotated[str, Depends(_image_id)]
