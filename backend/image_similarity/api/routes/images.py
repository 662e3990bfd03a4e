"""Add, browse, fetch and remove images."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from image_similarity.api.dependencies import EngineDep, ImageId, JobsDep, SettingsDep
from image_similarity.api.errors import responses
from image_similarity.api.in_flight import share_of
from image_similarity.api.openapi import BINARY, image_body, json_body
from image_similarity.api.requests.body import read_image_and, read_parameters
from image_similarity.api.responses import JsonResponse, image_answer
from image_similarity.api.routes import PREFIX
from image_similarity.api.schemas.images import (
    DeleteResponse,
    ImageDocument,
    ImagePage,
    IndexParameters,
    IndexRequest,
    IndexResponse,
    PatchRequest,
    image_fields,
)
from image_similarity.domain.metadata import MAX_METADATA_BYTES
from image_similarity.engine.answer_size import MAX_ANSWER_BYTES
from image_similarity.images.signatures import format_of

router = APIRouter(prefix=PREFIX, tags=["images"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="A name for the request. If it is sent again with the same key, an image without an `image_id` is "
        "added only once, and a deletion or restoration that was done is answered as done.",
        examples=["5f0c1a9e-6f0b-4a8e-9d0c-2f9a3f4b7c11"],
    ),
]
IfNoneMatch = Annotated[str | None, Header(description="The ETag that the caller has.")]

Version = Annotated[
    str | None,
    Query(
        max_length=64,
        description="The image's `sha256`, if the caller knows it: the answer may then be cached for ever.",
    ),
]

_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
}


@router.post(
    "/index",
    summary="Add an image",
    response_model=IndexResponse,
    responses=responses(400, 413, 415, 422, 503, 507),
    openapi_extra=image_body(IndexRequest, IndexParameters),
)
async def index(
    request: Request, engine: EngineDep, jobs: JobsDep, idempotency_key: IdempotencyKey = None
) -> JsonResponse:
    """The next search finds it. The same `image_id` again replaces the image; the same bytes are stored once.

    With TAGGER=caption, a job writes the description later: `tagging_job` is its id.
    """
    image, parameters = await read_image_and(IndexParameters, request)
    result = await engine.index_image(
        image, image_id=parameters.image_id, metadata=parameters.metadata, request_key=idempotency_key
    )
    tagging_job = await jobs.tag_later(result)
    return JsonResponse(
        {
            "image_id": result.image_id,
            "success": True,
            "message": result.outcome,
            "processing_time_ms": result.processing_time_ms,
            "tagging_job": tagging_job,
        }
    )


@router.get(
    "/images",
    summary="Browse the collection, newest first",
    response_model=ImagePage,
    responses=responses(422, 503),
)
async def browse(
    request: Request,
    engine: EngineDep,
    limit: Annotated[int, Query(ge=1, le=500, description="Most images to return.")] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> JsonResponse:
    """Pages follow a cursor, so images that are indexed meanwhile neither shift nor repeat the following pages."""
    share_of(request).will_answer(min(limit * MAX_METADATA_BYTES, MAX_ANSWER_BYTES))
    page = await engine.list_images(limit=limit, cursor=cursor)
    images = [image_fields(record, text) for record, text in zip(page.records, page.texts, strict=True)]
    return JsonResponse({"images": images, "next_cursor": page.next_cursor})


@router.get(
    "/images/{image_id:path}/file",
    summary="The image's original bytes",
    response_class=Response,
    responses={
        200: {"content": {"image/*": {"schema": BINARY}}, "description": "The image."},
        304: {"description": "The caller has it already."},
        **responses(404, 422, 503),
    },
)
async def original(
    image_id: ImageId, engine: EngineDep, v: Version = None, if_none_match: IfNoneMatch = None
) -> Response:
    """Also 404 if originals are not kept (STORE_ORIGINALS=false)."""
    content = await engine.content_of(image_id)
    data = await engine.original(content)
    return image_answer(
        data,
        media_type=_MEDIA_TYPES.get(format_of(data) or "", "application/octet-stream"),
        etag=content.sha256,
        if_none_match=if_none_match,
        for_ever=v == content.sha256,
    )


@router.get(
    "/images/{image_id:path}/thumbnail",
    summary="The image's thumbnail",
    response_class=Response,
    responses={
        200: {
            "content": {"image/webp": {"schema": BINARY}},
            "description": "WebP, 480 pixels at the longest side; 320 if an earlier version indexed the image.",
        },
        304: {"description": "The caller has it already."},
        **responses(404, 422, 503),
    },
)
async def thumbnail(
    image_id: ImageId, engine: EngineDep, v: Version = None, if_none_match: IfNoneMatch = None
) -> Response:
    """Made when the image was indexed."""
    content = await engine.content_of(image_id)
    data = await engine.thumbnail(content)
    return image_answer(
        data,
        media_type="image/webp",
        etag=f"{content.sha256}-t",
        if_none_match=if_none_match,
        for_ever=v == content.sha256,
    )


@router.get(
    "/images/{image_id:path}/preview",
    summary="The image in screen size",
    response_class=Response,
    responses={
        200: {
            "content": {"image/webp": {"schema": BINARY}},
            "description": "WebP, at most 1,440 pixels at the longest side.",
        },
        304: {"description": "The caller has it already."},
        **responses(404, 413, 415, 422, 503),
    },
)
async def preview(
    image_id: ImageId, engine: EngineDep, v: Version = None, if_none_match: IfNoneMatch = None
) -> Response:
    """Made from the original at the first request, and kept. Also 404 if originals are not kept."""
    content = await engine.content_of(image_id)
    data = await engine.preview(content)
    return image_answer(
        data,
        media_type="image/webp",
        etag=f"{content.sha256}-p",
        if_none_match=if_none_match,
        for_ever=v == content.sha256,
    )


@router.get(
    "/images/{image_id:path}",
    summary="Get an image's document",
    response_model=ImageDocument,
    responses=responses(404, 422, 503),
)
async def get(image_id: ImageId, engine: EngineDep) -> ImageDocument:
    """Size, format, time, metadata."""
    return ImageDocument.of(await engine.get_image(image_id))


@router.patch(
    "/images/{image_id:path}",
    summary="Change an image's metadata",
    response_model=ImageDocument,
    responses=responses(400, 404, 413, 415, 422, 503, 507),
    openapi_extra=json_body(PatchRequest),
)
async def patch(image_id: ImageId, request: Request, engine: EngineDep) -> ImageDocument:
    """A JSON Merge Patch (RFC 7396): null removes a key. The image and its time of indexing do not change."""
    parameters = await read_parameters(PatchRequest, request)
    return ImageDocument.of(await engine.patch_metadata(image_id, parameters.metadata))


@router.delete(
    "/images/{image_id:path}",
    summary="Remove an image",
    response_model=DeleteResponse,
    responses=responses(404, 422, 503),
)
async def delete(
    image_id: ImageId,
    engine: EngineDep,
    settings: SettingsDep,
    undo_seconds: Annotated[
        float | None, Query(ge=0, le=86_400, description="How long it can be restored; default: UNDO_SECONDS.")
    ] = None,
    idempotency_key: IdempotencyKey = None,
) -> DeleteResponse:
    """Searches no longer find it. It can be restored for a while; then its bytes are deleted if no other has them."""
    seconds = settings.undo_seconds if undo_seconds is None else undo_seconds
    until = await engine.delete_image(image_id, undo_seconds=seconds, request_key=idempotency_key)
    return DeleteResponse(image_id=image_id, success=True, message="deleted", restorable_until=until)


@router.post(
    "/images/{image_id:path}/restore",
    summary="Undo the removal of an image",
    response_model=ImageDocument,
    responses=responses(404, 409, 422, 503, 507),
)
async def restore(image_id: ImageId, engine: EngineDep, idempotency_key: IdempotencyKey = None) -> ImageDocument:
    """The image is as before, including its time of indexing. 409 if an image with that id was indexed meanwhile."""
    return ImageDocument.of(await engine.restore_image(image_id, request_key=idempotency_key))
