"""The encoders on a CPU with AVX2 only, as most laptops and small servers have: the same tests once more."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.paths import REPOSITORY

ENCODERS = Path(__file__).parent
COMPUTING = [
    "clip/test_image.py",
    "clip/test_text.py",
    "mini/test_efficientnet.py",
    "mini/test_image.py",
    "mini/test_text.py",
]


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="AVX2 is of x86-64 alone")
@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() in {"AVX2", "DEFAULT", "NO AVX"},
    reason="this CPU has no more than AVX2: the suite itself runs so",
)
def test_everything_holds_without_avx512() -> None:
    less = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(ENCODERS / name) for name in COMPUTING)],
        env={**os.environ, **less},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
