"""Dashboards in Grafana's JSON format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${source}"}
COLUMNS, WIDTH, HEIGHT = 2, 12, 8


@dataclass(frozen=True)
class Panel:
    """One graph."""

    title: str
    unit: str
    queries: dict[str, str]
    """Format of the names of lines, as in Grafana."""
    text: str = ""


def dashboard(name: str, panels: list[Panel]) -> dict[str, Any]:
    """Return one dashboard in Grafana's format."""
    return {
        "uid": f"image-similarity-{name}",
        "title": f"Image similarity: {name}",
        "tags": ["image-similarity"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [{"type": "dashboards", "title": "More", "tags": ["image-similarity"], "keepTime": True}],
        "templating": {
            "list": [
                {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {
                    "name": "namespace",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": "label_values(image_similarity_collection_images, namespace)",
                    "includeAll": True,
                    # Not the list of all values, because with compose this label does not exist.
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                    "refresh": 2,
                },
            ]
        },
        "panels": [graph(number, panel) for number, panel in enumerate(panels)],
    }


def graph(number: int, panel: Panel) -> dict[str, Any]:
    """Return a panel in Grafana's format."""
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }
