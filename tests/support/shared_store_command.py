"""`python -m tests.support.shared_store_command …` is `image-similarity …` with a store that processes can share.

SHARED_STORE is its file; while there is one of the same name with ".away" behind it, the store does not answer.
An image that holds the bytes DEADLY kills whoever decodes it; one that holds SLOW is slow.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from image_similarity import bootstrap, embedder
from image_similarity.cli import main
from image_similarity.encoders.base import Encoder
from image_similarity.settings import Settings
from tests.support.sqlite_store import SqliteStore

DEADLY = b"this image kills the process that decodes it"
SLOW = b"this image takes a while"


def open_shared(_: Settings, encoder: Encoder) -> SqliteStore:
    path = Path(os.environ["SHARED_STORE"])
    return SqliteStore(path, model=encoder.spec.name, dimension=encoder.spec.dimension)


def prepare() -> None:
    bootstrap.has_shared_store = lambda _: "SHARED_STORE" in os.environ
    if "SHARED_STORE" in os.environ:
        bootstrap.open_collection = open_shared
    decode = embedder.decode

    def dangerous(data: bytes, **options: Any) -> Any:
        if DEADLY in data:
            os.kill(os.getpid(), signal.SIGKILL)
        if SLOW in data:
            time.sleep(0.2)
        return decode(data, **options)

    embedder.decode = dangerous


if __name__ == "__main__":
    prepare()
    main()
