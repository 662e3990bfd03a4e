"""Write the API's OpenAPI document to frontend/openapi.json, which the web page's types are made from.

Run it after a change of the API; a test fails until it was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from image_similarity.api.app import create_app
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.jobs.service import JobService
from image_similarity.settings import Settings
from image_similarity.telemetry.metrics import Metrics

TARGET = Path(__file__).parent.parent / "frontend" / "openapi.json"


class _NoEngine:
    """The document says what the routes are; nothing of an engine is asked for it."""

    metrics = Metrics()


def text() -> str:
    """Return the document as the file holds it. The version is left out: a release changes no type."""
    app = create_app(cast(SearchEngine, _NoEngine()), Settings(_env_file=None), cast(JobService, None))
    document: dict[str, Any] = app.openapi()
    document["info"].pop("version")
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
    print(f"Wrote {TARGET}")
