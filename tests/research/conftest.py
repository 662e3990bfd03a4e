"""The scripts of `research/` can be imported by these tests alone."""

from __future__ import annotations

import sys

from tests.support.paths import REPOSITORY

sys.path.append(str(REPOSITORY / "research"))
