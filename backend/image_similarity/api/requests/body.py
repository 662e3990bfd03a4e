"""Parse request bodies, JSON with base64 or multipart with raw bytes, into checked parameters and an image's bytes."""

from __future__ import annotations

import asyncio
import binascii
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any, TypeVar, get_args

import orjson
import pybase64
from fastapi import Request
from pydantic import BaseModel

from image_similarity.api.errors import ProblemError
from image_similarity.api.requests.multipart import Part, parts
from image_similarity.domain.errors import BodyTooLarge, InvalidImageData, InvalidRequest
from image_similarity.domain.queries import AUTO, Period

P = TypeVar("P", bound=BaseModel)

FILE_FIELDS = ("image", "file")
"""Allowed names of the file's part of a multipart body."""

_PLAIN_FIELDS = {"group_by", "image_id", "image_url", "keywords", "mode", "prompt_template", "strategy", "text"}
"""Fields of a multipart body that are plain text; all others are JSON."""

_PLAIN_VALUES = {("threshold", AUTO), *(("group_step", period) for period in get_args(Period))}
"""Plain texts that are allowed in fields that are JSON otherwise."""

JSON_BYTES = 2**20
"""Most bytes of a JSON body without an image; metadata has at most 64 KiB, and a text 2,000 characters."""

JSON_VALUES = 2**17
"""Most values in a JSON body: twice as many as one image's metadata can have. Base64 has no comma or bracket, so an
image of any size is one value. Each value becomes a Python object many times larger than its text, and the event loop
waits while they are created, in any thread."""

BATCH_VALUES = 2**18
"""The same for a batch; each of its images may have metadata."""

_WINDOW = 2**16
"""Bytes that are scanned at a time."""

_LARGE = 2**20
"""Bytes above which parsing JSON or base64 (1 ms per megabyte) is moved to another thread."""


async def read_image_and(parameters: type[P], request: Request) -> tuple[bytes, P]:
    """Read a body with an image; return the image's bytes and the checked parameters.

    Raises ProblemError (400, 415), InvalidImageData, InvalidRequest, BodyTooLarge, and pydantic's ValidationError.
    """
    image, fields = await read_fields(request, max_fields=len(parameters.model_fields))
    if image is None and media_type(request) == "multipart/form-data":
        raise InvalidRequest(f'The file is missing: a part named "{FILE_FIELDS[0]}" with a filename.')
    if image is None:
        raise InvalidRequest('"image_data" is missing: the image as base64, or a data: URL.')
    return image, parameters.model_validate(fields)


async def read_fields(request: Request, *, max_fields: int) -> tuple[bytes | None, dict[str, Any]]:
    """Read a body with or without an image; return the image's bytes and all other fields, not checked yet.

    Raises ProblemError (400, 415), InvalidImageData, InvalidRequest, BodyTooLarge.
    """
    if media_type(request) == "multipart/form-data":
        return await _read_multipart(request, max_fields)
    fields = await read_json(request, may_be_long=_has_image)
    # Removed before any check, so that validation makes no copy of it and no error message contains it.
    image = await decode_image_data(fields.pop("image_data")) if "image_data" in fields else None
    return image, fields


async def read_parameters(parameters: type[P], request: Request) -> P:
    """Read a JSON body without an image; an empty body means an empty object.

    Raises ProblemError (400, 415), InvalidRequest, BodyTooLarge, and pydantic's ValidationError.
    """
    if not await request.body():
        return parameters.model_validate({})
    return parameters.model_validate(await read_json(request))


async def decode_image_data(image_data: object) -> bytes:
    """Return the bytes of base64 text or of a `data:` URL. Raises InvalidImageData."""
    if not isinstance(image_data, str) or not image_data:
        raise InvalidImageData('"image_data" must be a string: the image as base64, or a data: URL.')
    if image_data.startswith("data:"):
        header, comma, image_data = image_data.partition(",")
        if not comma or not header.endswith(";base64"):
            raise InvalidImageData('"image_data" is a data: URL without base64; expected data:image/jpeg;base64,…')
    if len(image_data) < _LARGE:
        return _decode_base64(image_data)
    return await asyncio.to_thread(_decode_base64, image_data)


def _decode_base64(text: str) -> bytes:
    try:
        try:
            return pybase64.b64decode(text, validate=True)
        except binascii.Error:
            # Command-line tools wrap base64 into lines; joining them is only needed if the first attempt fails.
            return pybase64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise InvalidImageData(f'"image_data" is not base64: {error}.') from error


async def read_json(
    request: Request, *, may_be_long: Callable[[bytes], bool] = lambda _: False, values: int = JSON_VALUES
) -> dict[str, Any]:
    """Return a JSON object; `may_be_long` returns whether a body may have more than JSON_BYTES.

    Raises ProblemError (400, 415), BodyTooLarge and InvalidRequest.
    """
    body = await request.body()
    # Refuse a body without a type: any web page can send one to this server without a CORS preflight.
    if (given := media_type(request)) != "application/json":
        raise ProblemError(
            415,
            "unsupported_media_type",
            f"The body is {given or 'of no named type'}; send application/json or multipart/form-data.",
        )

    def parse() -> Any:
        _check_values(body, values)
        if len(body) > JSON_BYTES and not may_be_long(body):
            raise BodyTooLarge(
                f"The JSON body has {len(body)} bytes; the limit without an image is {JSON_BYTES}. Ask for less at a "
                "time."
            )
        return orjson.loads(body)

    try:
        fields = parse() if len(body) < _LARGE else await asyncio.to_thread(parse)
    except orjson.JSONDecodeError as error:
        raise ProblemError(400, "invalid_json", f"The body is not JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return fields


async def _read_multipart(request: Request, max_fields: int) -> tuple[bytes | None, dict[str, Any]]:
    def limit_of(name: str) -> int:
        # Files have the limit of the whole body.
        return sys.maxsize if name in FILE_FIELDS else JSON_BYTES

    image: bytes | None = None
    fields: dict[str, Any] = {}
    stream = parts(request.headers["content-type"], request.stream(), limit_of=limit_of, most=max_fields + 1)
    async with aclosing(stream) as arriving:
        async for part in arriving:
            if part.filename is None:
                fields[part.name] = _parse_field(part)
            elif part.name not in FILE_FIELDS:
                raise InvalidRequest(f'The file\'s part is named "{part.name[:60]}"; expected "{FILE_FIELDS[0]}".')
            elif image is not None:
                raise InvalidRequest("There are two files; send one image.")
            else:
                image = await asyncio.to_thread(part.content.read)
    return image, fields


def _parse_field(part: Part) -> Any:
    name, content = part.name[:60], part.content.read()
    try:
        text = content.decode()
        if part.name in _PLAIN_FIELDS or (part.name, text) in _PLAIN_VALUES:
            return text
        return parse_json(content)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f'The form field "{name}" is not UTF-8.') from error
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f'The form field "{name}" must be JSON, such as 10 or {{"species": "cat"}}.') from error


def parse_json(body: bytes, values: int = JSON_VALUES) -> Any:
    """Parse a JSON body of at most `values` values. Raises BodyTooLarge, and orjson.JSONDecodeError."""
    _check_values(body, values)
    return orjson.loads(body)


def _check_values(body: bytes, most: int) -> None:
    found = 0
    for start, end in _windows(body):
        found += sum(body.count(mark, start, end) for mark in (b",", b"{", b"["))
        if found > most:
            raise BodyTooLarge(f"The JSON body has more than {most} values; send several smaller requests.")


def _has_image(body: bytes) -> bool:
    name = b'"image_data"'
    return any(body.find(name, start, end + len(name)) >= 0 for start, end in _windows(body))


def _windows(body: bytes) -> Iterator[tuple[int, int]]:
    """Return beginnings and ends of pieces. While C code scans one, no other Python code can run."""
    return ((start, start + _WINDOW) for start in range(0, len(body), _WINDOW))


def media_type(request: Request) -> str:
    """Return the body's media type without its parameters; empty if the request has none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
