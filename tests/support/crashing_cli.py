"""`python -m tests.support.crashing_cli …` is `image-similarity …` that decodes in threads and obeys the images.

An image that holds the bytes DEADLY kills whoever decodes it; one that holds SLOW is slow, one that holds ENDLESS never
done. With IMPATIENT in the environment the server has little patience when it is told to stop.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from image_similarity.bootstrap import server
from image_similarity.cli.main import main
from image_similarity.images import recipe

DEADLY = b"this image kills the process that decodes it"
SLOW = b"this image takes a while"
ENDLESS = b"this image is never done"


def prepare() -> None:
    os.environ["DECODE_ISOLATION"] = "thread"
    decode = recipe.decode

    def dangerous(data: bytes, **options: Any) -> Any:
        if DEADLY in data:
            os.kill(os.getpid(), signal.SIGKILL)
        if SLOW in data:
            time.sleep(0.2)
        while ENDLESS in data:
            time.sleep(1)
        return decode(data, **options)

    recipe.decode = dangerous
    if "IMPATIENT" in os.environ:
        server.GRACE_SECONDS, server.LAST_SECONDS = 1, 1


if __name__ == "__main__":
    prepare()
    main()
