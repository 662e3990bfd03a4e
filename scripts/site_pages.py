"""A hook of MkDocs: makes pages for the site, and adapts the links of documents to it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "helm/image-similarity/README.md": "chart.md",
    "backend/image_similarity/encoders/mini/weights/MODEL_CARD.md": "mini.md",
}
"""Documents outside of docs/ that are pages of the site."""

PYTHON = (
    "engine.search_engine",
    "domain.queries",
    "domain.records",
    "domain.filters",
    "domain.errors",
    "encoders.base",
    "vectors.base",
    "cache.base",
    "tagging.base",
    "jobs.base",
    "cli.client",
)
"""The modules to read first: the use cases, the plain types, and the Protocols of all parts."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add all decisions to the navigation."""
    pages = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob("decisions/*.md"))
    config.nav = [*(config.nav or []), {"Decisions": ["decisions/README.md", *pages[:-1]]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    made = {page: with_links(ROOT / source, (ROOT / source).read_text()) for source, page in PAGES.items()}
    made["routes.md"] = routes(json.loads((ROOT / "frontend" / "openapi.json").read_text()))
    made["python.md"] = "# Python\n\n" + "\n".join(f"::: image_similarity.{module}\n" for module in PYTHON)
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Return a document of docs/ with its links adapted to the site."""
    source = page.file.abs_src_path
    return with_links(Path(source), markdown) if source and Path(source).is_relative_to(DOCS) else markdown


def with_links(document: Path, markdown: str) -> str:
    """Return a document whose links lead to pages of the site; links to other files of the repository become text."""
    here = PAGES.get(document.relative_to(ROOT).as_posix()) or document.relative_to(DOCS).as_posix()

    def turned(link: re.Match[str]) -> str:
        text, target, anchor = link.groups(default="")
        path = Path(os.path.normpath(document.parent / target))
        if "://" in target or not target:
            return link[0]
        if path.is_relative_to(DOCS) and path.is_file():
            page = path.relative_to(DOCS).as_posix()
        elif path.is_relative_to(ROOT):
            name = path.relative_to(ROOT).as_posix()
            page = PAGES.get(name) or PAGES.get(f"{name}/README.md", "")
        else:
            page = ""
        return f"{text}({os.path.relpath(page, Path(here).parent)}{anchor})" if page else text.removeprefix("!")

    return re.sub(r"(!?\[[^\]]*\])\(([^)#\s]*)(#[^)\s]*)?\)", lambda link: turned(link), markdown)


def routes(document: Mapping[str, Any]) -> str:
    """Return the page of all routes of an OpenAPI document, by their tags."""
    sections: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            tag = (operation.get("tags") or ["other"])[0]
            sections.setdefault(tag, []).extend(route(method, path, operation))
    parts = [line for tag, lines in sections.items() for line in (f"## {tag.capitalize()}\n", *lines)]
    intro = "[API](API.md) explains them; a server shows them at `/docs`, with bodies and answers."
    return f"# Every route\n\n{intro}\n\n" + "\n".join(parts)


def route(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines about one route."""
    yield f"### `{method.upper()} {path}`\n\n{operation.get('summary', '')}\n\n{operation.get('description', '')}\n"
    if parameters := operation.get("parameters"):
        yield "| parameter | in | meaning |\n| --- | --- | --- |"
        for one in parameters:
            yield f"| `{one['name']}` | {one['in']} | {' '.join(one.get('description', '').split())} |"
        yield ""
    answers = ", ".join(f"{status} {answer['description']}" for status, answer in operation["responses"].items())
    yield f"Answers: {answers}.\n"
