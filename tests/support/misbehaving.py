"""Preprocessing that does what a hostile image might make a decoder do; decoding processes import it."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from image_similarity.domain.records import Pixels


def shrink(image: Image.Image) -> Pixels:
    """Do what is asked."""
    return np.array(image.resize((4, 4)))


def hang(image: Image.Image) -> Pixels:
    """Never finish."""
    while True:
        time.sleep(0.05)


def crash(image: Image.Image) -> Pixels:
    """Die as of a bug in a decoder."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return hang(image)


def be_killed(image: Image.Image) -> Pixels:
    """Die as of the kernel's lack of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    return hang(image)


def spin(image: Image.Image) -> Pixels:
    """Use up the processor time that there is, at once."""
    resource.setrlimit(resource.RLIMIT_CPU, (1, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    while True:
        pass


def eat(image: Image.Image) -> Pixels:
    """Take far more memory than any image may have."""
    return np.ones((1 << 15, 1 << 15, 3), np.uint8)


def mistake(image: Image.Image) -> Pixels:
    """Fail as code of ours might."""
    raise LookupError("no such thing")


def tell_pid(image: Image.Image) -> Pixels:
    """Return the process's id as four pixels' worth of bytes."""
    return np.frombuffer(os.getpid().to_bytes(6, "little"), np.uint8).reshape(1, 2, 3)


def tell_reach(image: Image.Image) -> Pixels:
    """Return, a byte each, whether it can open a file, make a socket, write a file, and see a secret."""
    reached = [_works(_open), _works(_connect), _works(_write), "SECRET" in os.environ, False, False]
    return np.array(reached, np.uint8).reshape(1, 2, 3)


def _works(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


def _open() -> None:
    Path("/etc/passwd").read_bytes()


def _connect() -> None:
    socket.socket().close()


def _write() -> None:
    Path("/tmp/of-a-decoder").write_bytes(b"1")
