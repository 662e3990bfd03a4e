"""The three forms of a batch (JSON list, many files, one archive); each image is stored as soon as it arrives."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import IO, Any

import orjson
from fastapi import Request
from starlette.requests import ClientDisconnect

from image_similarity.api.errors import ProblemError
from image_similarity.api.requests.archives import ArchiveLimits, read_archive
from image_similarity.api.requests.body import (
    BATCH_VALUES,
    FILE_FIELDS,
    decode_image_data,
    media_type,
    parse_json,
    read_json,
)
from image_similarity.api.requests.multipart import Part, parts
from image_similarity.api.schemas.jobs import BatchImage
from image_similarity.domain.errors import InvalidArchive, InvalidImageData, InvalidRequest
from image_similarity.domain.records import Metadata
from image_similarity.jobs.service import Draft
from image_similarity.settings import Settings

ARCHIVE_TYPES = (
    "application/zip",
    "application/x-tar",
    "application/gzip",
    "application/octet-stream",
    "application/x-gzip",
    "application/x-zip-compressed",
)
"""The first bytes of the archive decide its real format."""

UPLOAD_TYPES = frozenset({"multipart/form-data", *ARCHIVE_TYPES})
"""Bodies of these types are written to disk as they arrive."""

ARCHIVE_FIELD = "archive"

_WRITE_AT = 2**20
"""Bytes of a body that are gathered before they are written to disk."""

_CHECKED_AT_ONCE = 50
"""Images of a list that are checked, 25 microseconds each, before other tasks of the event loop run."""

Metadatas = dict[str, Metadata]


async def read_batch(request: Request, draft: Draft, settings: Settings) -> Metadatas:
    """Put the images of a request into a draft; return the metadata that was sent separately, by image id.

    Raises ProblemError (400, 415), InvalidRequest, InvalidArchive, InvalidImageData, BodyTooLarge, StoreUnavailable
    and pydantic's ValidationError.
    """
    limits = ArchiveLimits(settings.max_batch_images, settings.max_body_bytes, settings.max_batch_bytes)
    given = media_type(request)
    try:
        if given == "multipart/form-data":
            return await _read_multipart(request, draft, limits)
        if given in ARCHIVE_TYPES:
            await _read_archive_body(request, draft, limits)
            return {}
        if given == "application/json":
            await _read_json_images(request, draft, limits.members)
            return {}
    except ClientDisconnect as error:
        raise ProblemError(400, "bad_request", "The connection was closed before the body had arrived.") from error
    raise ProblemError(
        415,
        "unsupported_media_type",
        f"The body is {given or 'of no named type'}; send application/json, multipart/form-data, or an archive as "
        f"{', '.join(ARCHIVE_TYPES[:3])}.",
    )


async def _read_json_images(request: Request, draft: Draft, most: int) -> None:
    images = (await read_json(request, may_be_long=lambda _: True, values=BATCH_VALUES)).get("images")
    if not isinstance(images, list) or not images:
        raise InvalidRequest('"images" must be a list of objects with image_data or storage_key.')
    if len(images) > most:
        raise InvalidRequest(f'"images" has {len(images)} items; the limit is {most} (MAX_BATCH_IMAGES).')
    for number, fields in enumerate(images):
        if number % _CHECKED_AT_ONCE == 0:
            await asyncio.sleep(0)
        if not isinstance(fields, dict) or ("image_data" in fields) == ("storage_key" in fields):
            raise InvalidRequest(f"images.{number} must be an object with either image_data or storage_key.")
        # Removed before the check, so that validation makes no copy of it and no error message contains it.
        image_data = fields.pop("image_data", None)
        image = BatchImage.model_validate(fields)
        try:
            if image.storage_key is not None:
                draft.refer(image.storage_key, image_id=image.image_id, metadata=image.metadata)
            else:
                data = await decode_image_data(image_data)
                await draft.add(data, image_id=image.image_id, metadata=image.metadata)
        except InvalidImageData as error:
            raise InvalidImageData(f"images.{number}: {error}") from error
        except InvalidRequest as error:
            raise InvalidRequest(f"images.{number}: {error}") from error


async def _read_multipart(request: Request, draft: Draft, limits: ArchiveLimits) -> Metadatas:
    names: list[str] | None = None
    metadata: Metadatas = {}
    files = 0

    def limit_of(name: str) -> int:
        return limits.total_bytes if name == ARCHIVE_FIELD else limits.member_bytes

    async with aclosing(parts(request.headers["content-type"], request.stream(), limit_of=limit_of)) as arriving:
        async for part in arriving:
            if part.name == ARCHIVE_FIELD:
                await _add_archive(part.content, draft, limits)
            elif part.name in FILE_FIELDS and part.filename is not None:
                image_id = _name_of(part, names, files)
                await draft.add(await asyncio.to_thread(part.content.read), image_id=image_id)
                files += 1
            elif part.name == "image_ids" and not files:
                names = _read_names(part)
            elif part.name == "metadata":
                metadata = _read_metadata(part)
            else:
                raise InvalidRequest(
                    f'The part "{part.name[:60]}" is not expected here; a batch has files named "{FILE_FIELDS[0]}", '
                    f'or one "{ARCHIVE_FIELD}", and optionally "metadata" and, before the files, "image_ids".'
                )
    if names is not None and len(names) != files:
        raise InvalidRequest(f"image_ids names {len(names)} images, but there are {files} files.")
    return metadata


async def _read_archive_body(request: Request, draft: Draft, limits: ArchiveLimits) -> None:
    with tempfile.TemporaryFile() as file:
        await _spool(request.stream(), file)
        await _add_archive(file, draft, limits)


async def _add_archive(file: IO[bytes], draft: Draft, limits: ArchiveLimits) -> None:
    members = read_archive(file, limits)
    # Unpacking blocks, so each member is unpacked in a thread.
    while (member := await asyncio.to_thread(next, members, None)) is not None:
        try:
            await draft.add(member.data, image_id=member.name)
        except InvalidRequest as error:
            raise InvalidArchive(f"The archive cannot be indexed: {error}") from error


async def _spool(body: AsyncIterator[bytes], file: IO[bytes]) -> None:
    gathered = bytearray()
    async for chunk in body:
        gathered += chunk
        if len(gathered) >= _WRITE_AT:
            await asyncio.to_thread(file.write, gathered)
            gathered = bytearray()
    await asyncio.to_thread(file.write, gathered)


def _name_of(part: Part, names: list[str] | None, number: int) -> str | None:
    if names is None:
        return part.filename or None
    if number >= len(names):
        raise InvalidRequest(f"image_ids names {len(names)} images, but there are more files.")
    return names[number]


def _read_names(part: Part) -> list[str]:
    names = _parse(part)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("image_ids must be a JSON list of strings, one per file, in the files' order.")
    return names


def _read_metadata(part: Part) -> Metadatas:
    metadata = _parse(part)
    if not isinstance(metadata, dict) or not all(isinstance(fields, dict) for fields in metadata.values()):
        raise InvalidRequest('metadata must be a JSON object of objects: {"cats/tom.jpg": {"species": "cat"}}.')
    return metadata


def _parse(part: Part) -> Any:
    try:
        return parse_json(part.content.read(), BATCH_VALUES)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f'The form field "{part.name}" is not JSON: {error}.') from error
