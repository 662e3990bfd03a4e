"""What every command prints to, and where it has its settings from."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from image_similarity.settings import Settings
from image_similarity.telemetry.logging import configure_logging

out = Console()
err = Console(stderr=True)


def load_settings(**given: Any) -> Settings:
    """Read the settings, `given` ones first, and set up logging by them. Raises pydantic's ValidationError."""
    settings = Settings(**given)
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    return settings
