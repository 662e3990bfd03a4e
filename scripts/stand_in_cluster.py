#!/usr/bin/env python3
"""`image-similarity cluster …` in a checkout: without a Qdrant program it uses the stand-in of the tests.

The stand-in is Qdrant's own engine in one process: enough to try the API, but not to measure Qdrant.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from image_similarity.cli.main import main

STAND_IN = (
    *("env", f"PYTHONPATH={Path(__file__).parent.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"),
    *(sys.executable, "-m", "tests.support.qdrant_server"),
    *("--port", "{port}", "--grpc-port", "{grpc_port}", "--data", "{folder}"),
)
"""As a cluster takes it."""

if __name__ == "__main__":
    os.environ.setdefault("QDRANT_STAND_IN", shlex.join(STAND_IN))
    sys.argv = ["image-similarity", "cluster", *sys.argv[1:]]
    main()
