"""`python -m tests.support.hurtful_command …` is `image-similarity …` whose decoder obeys the images.

An image that holds the bytes DEADLY kills whoever decodes it; one that holds SLOW is slow.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from image_similarity import embedder
from image_similarity.cli import main

DEADLY = b"this image kills the process that decodes it"
SLOW = b"this image takes a while"


def prepare() -> None:
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
