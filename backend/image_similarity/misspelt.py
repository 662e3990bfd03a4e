"""Settings that nothing reads, because their names are misspelt."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from image_similarity.settings import Settings

_ALIKE = 0.82
"""Similarity of two names (difflib's ratio) from which on one is taken for the other: API_PROT for API_PORT."""


def misspelt_settings() -> dict[str, str]:
    """Return the variables of the environment and of `.env` that are no setting but nearly one, with that one."""
    file = Path(str(Settings.model_config["env_file"]))
    return among([*os.environ, *(dotenv_values(file) if file.is_file() else ())])


def among(variables: Iterable[str]) -> dict[str, str]:
    """Return those of the variables that are no setting but nearly one, with that one."""
    settings = [name.upper() for name in Settings.model_fields]
    known = set(settings)
    found = {}
    for name in variables:
        if name.upper() not in known and (close := get_close_matches(name.upper(), settings, 1, _ALIKE)):
            found[name] = close[0]
    return found
