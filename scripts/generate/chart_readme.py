"""Write the table of values in the chart's README from the comments in values.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from generate.files import ROOT

CHART = ROOT / "helm" / "image-similarity"
README = CHART / "README.md"
START, END = "<!-- values: scripts/generate.py writes what follows -->\n", "<!-- end of values -->\n"


@dataclass(frozen=True)
class Value:
    """One row of the table."""

    path: str
    default: Any
    description: str


def described(text: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each key with a comment above it, and the comment."""
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if found := re.match(r"\s*# ?(.*)", line):
            comment.append(found[1])
        elif found := re.match(r"( *)([A-Za-z][\w.]*):", line):
            indent = len(found[1])
            parents = [*(parent for parent in parents if parent[0] < indent), (indent, found[2])]
            if comment:
                yield ".".join(name for _, name in parents), " ".join(comment)
            comment = []
        else:
            comment = []


def rows(text: str) -> list[Value]:
    """Return the values in their order. Raises ValueError if one has no description."""
    values = yaml.safe_load(text)
    descriptions = dict(described(text))
    missing = sorted(path for path in leaves(values, descriptions) if path not in descriptions)
    if missing:
        raise ValueError(f"values.yaml says nothing of {', '.join(missing)}: write a comment above")
    return [Value(path, at(values, path), text) for path, text in descriptions.items()]


def leaves(values: dict[str, Any], descriptions: dict[str, str], parent: str = "") -> Iterator[str]:
    """Yield the paths of all values that need a description; one description of a group covers its members."""
    for name, value in values.items():
        path = f"{parent}{name}"
        if isinstance(value, dict) and value and path not in descriptions:
            yield from leaves(value, descriptions, f"{path}.")
        else:
            yield path


def at(values: dict[str, Any], path: str) -> Any:
    """Return the value at a path."""
    for name in path.split("."):
        values = values[name]
    return values


def table(text: str) -> str:
    """Return the table in Markdown."""
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    for value in rows(text):
        default = json.dumps(value.default, ensure_ascii=False)
        lines.append(f"| `{value.path}` | `{default}` | {value.description} |")
    return "\n".join(lines) + "\n"


def files() -> dict[Path, bytes]:
    """Return the README with the current table."""
    head, _, rest = README.read_text().partition(START)
    _, _, tail = rest.partition(END)
    return {README: f"{head}{START}\n{table((CHART / 'values.yaml').read_text())}\n{END}{tail}".encode()}


def there() -> list[Path]:
    """Return the README."""
    return [README]
