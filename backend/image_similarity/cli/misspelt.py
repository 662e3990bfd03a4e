"""Find settings that have no effect because their names are misspelt."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from image_similarity.settings import Settings

_ALIKE = 0.82
"""Similarity of two names (difflib's ratio) from which on one counts as a misspelling of the other: API_PROT."""

_SAME_WORD = 0.65
_NEARLY_THE_SAME = 0.9


def misspelt_settings() -> dict[str, str]:
    """Return the variables of the environment and of `.env` that look like misspelt settings, with the right name."""
    file = Path(str(Settings.model_config["env_file"]))
    return among([*os.environ, *(dotenv_values(file) if file.is_file() else ())])


def among(variables: Iterable[str]) -> dict[str, str]:
    """Return the variables that look like misspelt settings, with the right name."""
    settings = [name.upper() for name in Settings.model_fields]
    known = set(settings)
    found = {}
    for name in variables:
        if name.upper() in known:
            continue
        close = get_close_matches(name.upper(), settings, 1, _ALIKE)
        if close and _same_words(name.upper(), close[0]):
            found[name] = close[0]
    return found


def _same_words(name: str, setting: str) -> bool:
    """Return whether each word is at most misspelt; WEB_CONCURRENCY is not a misspelt WORKER_CONCURRENCY."""
    given, meant = name.split("_"), setting.split("_")
    if len(given) != len(meant):
        return SequenceMatcher(None, "".join(given), "".join(meant)).ratio() >= _NEARLY_THE_SAME
    return all(SequenceMatcher(None, *pair).ratio() >= _SAME_WORD for pair in zip(given, meant, strict=True))
