"""Parse multipart/form-data part by part as it arrives, so that a thousand files are never in memory together."""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from image_similarity.api.errors import ProblemError
from image_similarity.domain.errors import BodyTooLarge

_IN_MEMORY = 2**20
"""Bytes of a part above which it goes to disk."""

_CHARSETS = {b"utf-8", b"utf8", b"us-ascii", b"ascii"}
"""All charsets that browsers send. Python has others that take minutes to decode a megabyte."""

_SMALL = 2**16
"""Up to this size, parsing a chunk takes less time than passing it to another thread."""


@dataclass(slots=True)
class Part:
    """One complete field or file; `content` is open, at its beginning, until the next part is requested."""

    name: str
    filename: str | None
    content: IO[bytes]
    size: int


@dataclass(slots=True)
class _Assembly:
    """The parser's callbacks; they assemble the parts from the bytes that have arrived."""

    limit_of: Callable[[str], int]
    most: int | None
    finished: deque[Part] = field(default_factory=deque)
    ended: bool = False
    part: Part | None = None
    begun: int = 0
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _disposition: bytes = b""

    def on_part_begin(self) -> None:
        self.begun += 1
        if self.most is not None and self.begun > self.most:
            raise FormParserError(f"it has more than {self.most} parts")
        self._disposition = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise FormParserError("a part has no name")
        filename = options.get(b"filename")
        self.part = Part(
            name=options[b"name"].decode(errors="replace"),
            filename=None if filename is None else filename.decode(errors="replace"),
            content=tempfile.SpooledTemporaryFile(_IN_MEMORY),  # noqa: SIM115 - closed by `parts`
            size=0,
        )

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        assert self.part is not None  # noqa: S101 - the parser calls in order
        self.part.size += end - start
        if self.part.size > (limit := self.limit_of(self.part.name)):
            raise BodyTooLarge(f'The part "{self.part.name}" ({self.part.filename}) has more than {limit} bytes.')
        self.part.content.write(data[start:end])

    def on_part_end(self) -> None:
        assert self.part is not None  # noqa: S101
        self.part.content.seek(0)
        self.finished.append(self.part)
        self.part = None

    def on_end(self) -> None:
        self.ended = True

    def is_quick(self, chunk: bytes) -> bool:
        """Return whether a chunk is small and fits into the memory of a part, so that no disk is needed."""
        return len(chunk) <= _SMALL and (self.part.size if self.part else 0) + len(chunk) < _IN_MEMORY

    def close(self) -> None:
        for part in (*self.finished, *([self.part] if self.part else [])):
            part.content.close()


async def parts(
    content_type: str, body: AsyncIterator[bytes], *, limit_of: Callable[[str], int], most: int | None = None
) -> AsyncGenerator[Part]:
    """Yield the parts in the order they arrive, at most `most`; `limit_of` returns the most bytes of a part by name.

    A caller that stops early must close the generator. Raises ProblemError (400) if the body is not multipart, and
    BodyTooLarge.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise _unreadable("the content type names no boundary")
    if (charset := options.get(b"charset", b"utf-8")).lower() not in _CHARSETS:
        raise _unreadable(f"its charset is {charset[:40].decode(errors='replace')}; send utf-8")
    assembly = _Assembly(limit_of, most)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": assembly.on_part_begin,
                "on_header_field": assembly.on_header_field,
                "on_header_value": assembly.on_header_value,
                "on_header_end": assembly.on_header_end,
                "on_headers_finished": assembly.on_headers_finished,
                "on_part_data": assembly.on_part_data,
                "on_part_end": assembly.on_part_end,
                "on_end": assembly.on_end,
            },
        )
        async for chunk in body:
            if assembly.is_quick(chunk):
                parser.write(chunk)
            else:
                # In a thread, because it writes large parts to disk.
                await asyncio.to_thread(parser.write, chunk)
            while assembly.finished:
                part = assembly.finished.popleft()
                with part.content:
                    yield part
    except FormParserError as error:
        raise _unreadable(str(error)) from error
    finally:
        assembly.close()
    if not assembly.ended:
        raise _unreadable("it ends in the middle")


def _unreadable(reason: str) -> ProblemError:
    return ProblemError(400, "invalid_multipart", f"The multipart body cannot be read: {reason}.")
