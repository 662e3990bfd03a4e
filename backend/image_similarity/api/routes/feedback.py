"""Users' verdicts on results: add, list, export and delete them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from image_similarity.api.dependencies import EngineDep
from image_similarity.api.errors import responses
from image_similarity.api.openapi import json_body
from image_similarity.api.requests.body import read_parameters
from image_similarity.api.responses import JsonResponse
from image_similarity.api.routes import PREFIX
from image_similarity.api.routes.images import IdempotencyKey
from image_similarity.api.schemas.feedback import (
    Asked,
    AskedPart,
    FeedbackDeleted,
    FeedbackDocument,
    FeedbackPage,
    FeedbackRequest,
)
from image_similarity.domain.image_ids import check_image_id
from image_similarity.domain.queries import IndexedImage, QueryPart, Text
from image_similarity.domain.queries import Query as SearchQuery
from image_similarity.engine.embedding.texts import check_text
from image_similarity.engine.feedback.events import FeedbackEvent, to_json

router = APIRouter(prefix=f"{PREFIX}/feedback", tags=["feedback"])

LINES = "application/jsonl"


@router.post(
    "",
    summary="Add a user's verdict on a result",
    status_code=201,
    response_model=FeedbackDocument,
    responses=responses(400, 413, 415, 422, 503, 507),
    openapi_extra=json_body(FeedbackRequest),
)
async def add(request: Request, engine: EngineDep, idempotency_key: IdempotencyKey = None) -> JsonResponse:
    """Kept for FEEDBACK_RETENTION seconds. It changes no search; send `positive` and `negative` with one for that."""
    given = await read_parameters(FeedbackRequest, request)
    event = await engine.feedback.add(
        check_image_id(given.image_id),
        given.verdict,
        query_id=str(given.query_id) if given.query_id else None,
        query=_asked(given.query) if given.query else None,
        request_key=idempotency_key,
    )
    return JsonResponse(to_json(event), status_code=201)


@router.get("", summary="Verdicts, oldest first", response_model=FeedbackPage, responses=responses(422, 503))
async def page(
    engine: EngineDep,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most verdicts to return.")] = 100,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before, or the last `event_id`.")
    ] = None,
) -> JsonResponse:
    """If `cursor` is the `event_id` of the last verdict that you have read, only later ones are returned."""
    events, following = await engine.feedback.page(limit=limit, cursor=cursor)
    return JsonResponse({"events": [to_json(event) for event in events], "next_cursor": following})


@router.get(
    "/export",
    summary="All verdicts as JSON lines",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {LINES: {"schema": {"type": "string"}, "example": '{"event_id": "019a9d5e-…", …}\n'}},
            "description": "One verdict per line, oldest first, as `GET /feedback` returns them.",
        },
        **responses(503),
    },
)
async def export(engine: EngineDep) -> StreamingResponse:
    """The answer is streamed, so there may be any number of verdicts."""
    # Read one before the answer begins, while an error can still be answered.
    await engine.feedback.page(limit=1)
    return StreamingResponse(_lines(engine.feedback.export()), media_type=LINES)


@router.delete("", summary="Delete all verdicts", response_model=FeedbackDeleted, responses=responses(503))
async def delete_all(engine: EngineDep) -> FeedbackDeleted:
    """Deletes the verdicts of this collection; this cannot be undone."""
    return FeedbackDeleted(deleted=await engine.feedback.delete_all())


async def _lines(events: AsyncIterator[FeedbackEvent]) -> AsyncIterator[bytes]:
    async for event in events:
        yield orjson.dumps(to_json(event), option=orjson.OPT_APPEND_NEWLINE)


def _asked(given: Asked) -> SearchQuery:
    alone = [AskedPart(image_id=given.image_id)] if given.image_id is not None else []
    alone += [AskedPart(text=given.text)] if given.text is not None else []
    return SearchQuery(tuple(QueryPart(_source(part), part.weight) for part in (*alone, *given.query)))


def _source(part: AskedPart) -> IndexedImage | Text:
    if part.image_id is not None:
        return IndexedImage(check_image_id(part.image_id))
    return Text(check_text(part.text or ""))
