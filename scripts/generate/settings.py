"""Writes docs/SETTINGS.md, the table of environment variables, from the fields of `Settings`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from generate.files import ROOT
from image_similarity.settings import Settings

TARGET = ROOT / "docs" / "SETTINGS.md"
SOURCE = ROOT / "backend" / "image_similarity" / "settings.py"

HEAD = """\
# Settings

<!-- scripts/generate.py writes this file from backend/image_similarity/settings.py. -->

Each setting is an environment variable, or a line `NAME=value` of a file `.env` in the folder where the program starts.
An empty variable counts as not set. A value that cannot be used ends the start with a message that names the variable.
The log names variables that look like a misspelt one of these.
"""

DEFAULTS = {
    "duplicate_similarity": "the model's",
    "min_free_bytes": "5 % of the disk, 256 MiB to 1 GiB",
    "qdrant_write_consistency_factor": "one copy",
    "max_bytes_in_flight": "512 MiB, or an eighth of the memory",
    "decode_isolation": "process on Linux, else thread",
    "decode_threads": "cores, at least 2",
    "allowed_hosts": "see there",
    "trusted_proxies": "this machine",
}
"""Texts for defaults that depend on the machine, or that the description explains."""

NOTES = {
    "Image bytes": """\
S3-compatible buckets (`STORAGE_URL=s3://bucket/prefix`) take their credentials from `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_REGION` and `AWS_ENDPOINT` (`https://…`, or `http://…` in a network of your own). If the
bucket cannot be used when a process starts, the process ends with a sentence that says what to change.
""",
    "Bulk indexing": """\
If `BROKER_URL` is set, `image-similarity worker` processes work on bulk jobs instead of the server. Servers and workers
then share a Qdrant server and the storage (`STORAGE_URL`, or a common `DATA_DIR`).
""",
}
"""Notes below the table of a group."""


def groups(source: str) -> Iterator[tuple[str, list[str]]]:
    """Return the headings of the source and the fields below each. Raises ValueError if a field is below none."""
    heading, names = "", list[str]()
    for line in source.partition("\nclass Settings(")[2].splitlines():
        if found := re.match(r"    # (.+)", line):
            if names:
                yield heading, names
            heading, names = found[1], []
        elif (found := re.match(r"    (\w+): ", line)) and found[1] in Settings.model_fields:
            if not heading:
                raise ValueError(f"settings.py has no heading above {found[1]}: write a comment line there")
            names.append(found[1])
    yield heading, names


def default_of(name: str, field: FieldInfo) -> str:
    """Return a default as the table shows it. Raises ValueError if it depends on the machine and has no text."""
    if name in DEFAULTS:
        return DEFAULTS[name]
    value = field.get_default(call_default_factory=True)
    if value in (None, "", []):
        return "none"
    if field.default_factory is not None:
        raise ValueError(f"The default of {name} is worked out: say it in DEFAULTS of scripts/generate/settings.py")
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def files() -> dict[Path, bytes]:
    """Return the document with its current content."""
    parts = [HEAD]
    for heading, names in groups(SOURCE.read_text()):
        rows = [f"## {heading}", "", "| variable | default | meaning |", "| --- | --- | --- |"]
        for name in names:
            field = Settings.model_fields[name]
            rows.append(f"| `{name.upper()}` | {default_of(name, field)} | {field.description} |")
        parts.append("\n".join(rows) + "\n")
        if heading in NOTES:
            parts.append(NOTES[heading])
    return {TARGET: "\n".join(parts).encode()}


def there() -> list[Path]:
    """Return the path of the document."""
    return [TARGET]
