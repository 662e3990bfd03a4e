"""What `stats` shows people."""

from __future__ import annotations

import io
from copy import deepcopy
from typing import Any

from rich.console import Console

from image_similarity.api.schemas.status import StatsResponse
from image_similarity.cli.stats_table import stats_table

EXAMPLE: dict[str, Any] = StatsResponse.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index, call-overload]


def shown(figures: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(stats_table(figures))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_figures_are_lines_that_people_can_read() -> None:
    table = shown(EXAMPLE)
    for text in (
        "1,200 in the collection image_features",
        "openai/clip-vit-base-patch32, 512 dimensions, on cpu in bf16",
        "species",
        "1 min",
        "6 of 6 active on 3 nodes",
    ):
        assert text in table
    assert "{" not in table
    assert "replaces" not in table


def test_what_is_wrong_is_said() -> None:
    figures = deepcopy(EXAMPLE)
    figures["model"]["fallback_reason"] = "The hub [cannot] be reached."
    figures["jobs"]["problem"] = "RabbitMQ does not answer."
    figures["recommendations"] = ["Run optimize."]
    table = shown(figures)
    for text in (
        "It replaces the requested model. The hub [cannot] be reached.",
        "RabbitMQ does not answer.",
        "Run optimize.",
    ):
        assert text in table


def test_what_the_command_has_not_is_left_out() -> None:
    alone = deepcopy(EXAMPLE) | {"uptime_seconds": 0, "text_model": None, "jobs": None}
    alone["collection"]["placement"] = None
    table = shown(alone)
    for name in ("up for", "text model", "bulk jobs", "copies"):
        assert name not in table
