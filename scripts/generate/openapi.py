"""Write the API's OpenAPI document to frontend/openapi.json, which the web page's types are made from.

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
    """The document says what the routes are; nothing of an engine is asked for it."""

    metrics = Metrics()


def files() -> dict[Path, bytes]:
    """Return the document as the file holds it. The version is left out: a release changes no type."""
    app = create_app(cast(SearchEngine, _NoEngine()), Settings(_env_file=None), cast(JobService, None))
    document: dict[str, Any] = app.openapi()
    document["info"].pop("version")
    return {TARGET: (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()}


def there() -> list[Path]:
    """Return the document's place."""
    return [TARGET]
