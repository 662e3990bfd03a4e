"""Writes the API's OpenAPI document to frontend/openapi.json; the types of the web page are made from it.

A test fails until it was written after a change of the API.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from generate.files import ROOT
from image_similarity.api.app import create_app
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.jobs.service import JobService
from image_similarity.settings import Settings
from image_similarity.telemetry.metrics import Metrics

TARGET = ROOT / "frontend" / "openapi.json"


class _NoEngine:
    """Stands in for the engine, which the document of the routes does not need."""

    metrics = Metrics()


def files() -> dict[Path, bytes]:
    """Return the document as in the file, without the version, because a release changes no type."""
    app = create_app(cast(SearchEngine, _NoEngine()), Settings(_env_file=None), cast(JobService, None))
    document: dict[str, Any] = app.openapi()
    document["info"].pop("version")
    return {TARGET: (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()}


def there() -> list[Path]:
    """Return the path of the document."""
    return [TARGET]
