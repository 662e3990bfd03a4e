"""The program of a decoding process: replaces image bytes in shared memory by pixels and thumbnail.

`process.py` starts it and sends the first message; see there for the messages. It imports only Pillow, numpy and
modules of images/, so a start takes 0.2 s and 18 MB.
"""

from __future__ import annotations

import json
import mmap
import os
import pickle
import socket
from typing import TYPE_CHECKING, Any

from image_similarity.images.confinement import Limits, bind_to_parent, leave_network

if TYPE_CHECKING:
    from image_similarity.images.recipe import Prepared, Preprocess

MESSAGE = 1 << 16
"""Maximum bytes of a message."""

NOT_TAKEN, TAKEN = 0, 1
"""Values of the last byte of the shared memory: whether the process has begun with the image, and may die of it."""


class _Refused(Exception):
    """The server refused memory; it has the reason."""


def main(connection: int, region: int, parent: int) -> None:
    """Serve until the connection ends; `connection` and `region` are descriptors, `parent` is the server's pid."""
    leave_network()
    bind_to_parent(parent)
    os.chdir("/")
    channel = socket.socket(fileno=connection)
    memory = mmap.mmap(region, os.fstat(region).st_size)
    os.close(region)
    try:
        worker = _Worker(channel, memory)
    except Exception as error:  # any error: the server logs why the process cannot start
        channel.send(json.dumps({"failed": f"{type(error).__name__}: {error}"[:1000]}).encode())
        raise SystemExit(1) from error
    worker.serve()


class _Worker:
    def __init__(self, channel: socket.socket, region: mmap.mmap) -> None:
        self._channel = channel
        self._region = region
        # Import now, because no file can be opened later; not at the top, because `leave_network` must run first.
        from PIL import AvifImagePlugin, Image

        from image_similarity.images import decode, memory, recipe

        del memory, recipe  # imported only to load them
        decode.supported_formats()
        Image.preinit()
        # One decoder per core is enough; threads of a decoder would each need their own memory.
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        # From the server, which is trusted; the server never unpickles anything from here.
        setup = pickle.loads(channel.recv(MESSAGE))  # noqa: S301
        self._preprocess: tuple[Preprocess, ...] = setup["preprocess"]
        self._limits = Limits(memory=setup["memory"], region=len(region))

    def serve(self) -> None:
        self._say(ready=True)
        while message := self._channel.recv(MESSAGE):
            self._say(**self._answer(json.loads(message)))

    def _answer(self, order: dict[str, Any]) -> dict[str, Any]:
        from image_similarity.domain.errors import ImageSimilarityError
        from image_similarity.images.recipe import Recipe, prepare

        self._region[-1] = TAKEN
        data = self._region[: order["length"]]
        self._limits.renew(memory=2 * len(data), seconds=order["seconds"])
        wanted = tuple(self._preprocess[number] for number in order["preprocess"])
        try:
            prepared = prepare(data, Recipe(**order["recipe"], preprocess=wanted), self._ask)
            return self._hand_over(prepared)
        except _Refused:
            return {"refused": True}
        except ImageSimilarityError as error:
            return {"error": type(error).__name__, "text": str(error)[:1000]}
        except Exception as error:  # a bug in our code, for the server's log
            return {"failed": f"{type(error).__name__}: {error}"[:1000]}

    def _ask(self, wants: int) -> None:
        from image_similarity.images.memory import UNCOUNTED

        if wants > UNCOUNTED:
            self._say(wants=wants)
            if not json.loads(self._channel.recv(MESSAGE))["granted"]:
                raise _Refused
        self._limits.renew(memory=wants)

    def _hand_over(self, prepared: Prepared) -> dict[str, Any]:
        end = len(prepared.thumbnail)
        self._region[:end] = prepared.thumbnail
        for pixels in prepared.pixels:
            start, end = end, end + pixels.nbytes
            self._region[start:end] = pixels.tobytes()
        return {
            "width": prepared.width,
            "height": prepared.height,
            "format": prepared.format,
            "thumbnail": len(prepared.thumbnail),
            "shapes": [pixels.shape for pixels in prepared.pixels],
        }

    def _say(self, **message: Any) -> None:
        self._channel.send(json.dumps(message).encode())
