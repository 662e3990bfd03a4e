"""The server's side of a decoding process, which gets one image at a time and may be killed at any time."""

from __future__ import annotations

import fcntl
import json
import math
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from image_similarity.domain import errors
from image_similarity.domain.errors import DecodeTimeout
from image_similarity.domain.records import Pixels
from image_similarity.images.clock import Clock
from image_similarity.images.memory import Grant
from image_similarity.images.recipe import Prepared, Preprocess, Recipe
from image_similarity.images.worker import MESSAGE, NOT_TAKEN

START_SECONDS = 60.0
"""Seconds that a process may take to start; it usually takes 0.2."""

_KEPT = 1 << 20
"""Bytes of the shared memory that stay allocated between images."""
_CODE = (
    "import sys; sys.path[:] = sys.argv[4:]; from image_similarity.images.worker import main; "
    "main(*map(int, sys.argv[1:4]))"
)
# Keeps libraries from starting threads, or heaps for them, at import.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
_ERRORS = {
    error.__name__: error
    for error in (errors.DecodeOutOfMemory, errors.ImageTooLarge, errors.ImageUndecodable, errors.UnsupportedFormat)
}
"""Errors of the image that a decoding process may report."""
_NONSENSE = (ArithmeticError, EOFError, KeyError, OSError, RecursionError, TypeError, ValueError)
"""Errors caused by a closed connection, and by messages from a decoder that an attacker has taken over."""


class DecoderDied(Exception):
    """The process has died, or it sent invalid messages and was killed for that."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """`memory`, `cpu`, `signal`, `exit` or `protocol`; `start` or `idle` if it never read the image."""


class DecoderProcess:
    """One process and the memory shared with it; for one thread at a time, except `kill`."""

    def __init__(self, preprocess: Sequence[Preprocess], *, memory: int, region: int) -> None:
        """Start it and wait until it is ready.

        `memory` bounds the bytes that it may ever allocate; `region` is the size of the shared memory in bytes, more
        than an image or its results take. Raises DecoderDied with a cause.
        """
        self.region = region
        self._preprocess = list(preprocess)
        try:
            self._start(region)
        except OSError as error:
            raise DecoderDied("start") from error
        try:
            self._set_up(memory)
        except Exception as error:  # any error: there is no usable process
            self.close()
            raise DecoderDied("start") from error

    @property
    def alive(self) -> bool:
        """Whether it can take another image."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def prepare(self, data: bytes, recipe: Recipe, grant: Grant, clock: Clock) -> Prepared:
        """Prepare an image in the process, as `recipe.prepare` does.

        Raises DecodeTimeout after killing the process, DecoderDied, what `grant` raises, and RuntimeError for a bug in
        our code.
        """
        try:
            self._region[: len(data)] = data
            self._region[-1] = NOT_TAKEN
            self._send(
                length=len(data),
                seconds=math.ceil(clock.seconds) + 1,
                preprocess=[self._preprocess.index(each) for each in recipe.preprocess],
                recipe={
                    "max_pixels": recipe.max_pixels,
                    "min_short_side": recipe.min_short_side,
                    "min_long_side": recipe.min_long_side,
                    "thumbnail_side": recipe.thumbnail_side,
                },
            )
            answer = self._answer(grant, clock)
            prepared = self._take_over(answer, expected=len(recipe.preprocess)) if "shapes" in answer else None
        except TimeoutError as error:
            self.kill()
            raise DecodeTimeout(clock.complaint()) from error
        except _NONSENSE as error:
            reason = self._post_mortem()
            raise DecoderDied("idle" if self._region[-1] == NOT_TAKEN else reason) from error
        finally:
            if len(data) > _KEPT and self.alive:
                self._region.madvise(mmap.MADV_REMOVE, _KEPT, self.region - _KEPT)
        if prepared is not None:
            return prepared
        blamed = _ERRORS.get(str(answer.get("error")))
        if blamed is errors.DecodeOutOfMemory:
            # Start a new process later, because the heap of this one is fragmented.
            self.kill()
        if blamed is not None:
            raise blamed(str(answer.get("text")))
        raise RuntimeError(f"A decoding process failed: {answer.get('failed')}")

    def kill(self) -> None:
        """Kill the process at once; any thread may call it, and more than once."""
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)

    def close(self) -> None:
        """Kill the process and free the shared memory; only the thread that uses it may call this."""
        self.kill()
        self._channel.close()
        self._region.close()

    def _start(self, region: int) -> None:
        descriptor = os.memfd_create("image-similarity-decoder", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            os.ftruncate(descriptor, region)
            # Otherwise a decoder that was taken over could shrink it, and reading it would kill the server (SIGBUS).
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._region = mmap.mmap(descriptor, region)
            numbers = [str(number) for number in (theirs.fileno(), descriptor, os.getpid())]
            self._process = subprocess.Popen(  # noqa: S603 - this very interpreter and code of ours
                [
                    sys.executable,
                    "-I",
                    "-S",
                    "-c",
                    _CODE,
                    *numbers,
                    *(str(Path(entry).absolute()) for entry in sys.path),
                ],
                pass_fds=(theirs.fileno(), descriptor),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(descriptor)
            theirs.close()
        self._channel = ours

    def _set_up(self, memory: int) -> None:
        self._channel.settimeout(START_SECONDS)
        self._channel.send(pickle.dumps({"preprocess": tuple(self._preprocess), "memory": memory}))
        answer = self._hear()
        if "ready" not in answer:
            raise RuntimeError(str(answer.get("failed")))

    def _answer(self, grant: Grant, clock: Clock) -> dict[str, Any]:
        """Return the final message about an image; grants memory on the way."""
        while True:
            self._channel.settimeout(max(0.001, clock.left()))
            answer = self._hear()
            if "wants" not in answer:
                return answer
            try:
                grant(int(answer["wants"]))
            except errors.ImageSimilarityError:
                self._send(granted=False)
                self._hear()
                raise
            self._send(granted=True)

    def _take_over(self, answer: dict[str, Any], *, expected: int) -> Prepared:
        """Copy the results; every size is checked, because a decoder that was taken over may send false ones."""
        end = int(answer["thumbnail"])
        if not 0 <= end <= self.region or len(answer["shapes"]) != expected:
            raise ValueError("impossible sizes")
        thumbnail = self._region[:end]
        pixels: list[Pixels] = []
        for shape in answer["shapes"]:
            height, width, channels = (int(side) for side in shape)
            start, end = end, end + height * width * channels
            if min(height, width, channels) < 1 or end > self.region:
                raise ValueError("impossible sizes")
            seen = np.frombuffer(self._region, np.uint8, end - start, start)
            pixels.append(seen.reshape(height, width, channels).copy())
        name = str(answer["format"])[:8]
        return Prepared(int(answer["width"]), int(answer["height"]), name, tuple(pixels), thumbnail)

    def _send(self, **message: Any) -> None:
        self._channel.send(json.dumps(message).encode())

    def _hear(self) -> dict[str, Any]:
        message = self._channel.recv(MESSAGE)
        if not message:
            raise EOFError("the process is gone")
        answer = json.loads(message)
        if not isinstance(answer, dict):
            raise TypeError("no message")
        return answer

    def _post_mortem(self) -> str:
        """Return the reason of its death; kills it if it is still alive."""
        with suppress(subprocess.TimeoutExpired):
            # It closes its end of the connection a moment before it exits.
            self._process.wait(0.5)
        if self._process.returncode is None:
            self.kill()
            return "protocol"
        code = self._process.returncode
        return {-signal.SIGXCPU: "cpu", -signal.SIGKILL: "memory"}.get(code, "signal" if code < 0 else "exit")
