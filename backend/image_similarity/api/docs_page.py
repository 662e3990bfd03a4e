"""The page that documents the API: rendered from its OpenAPI document, without scripts or external resources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.routing import Route

from image_similarity.api.web_page import HEADERS

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; text-transform: capitalize; }
details { border: 1px solid #8886; border-radius: 6px; margin: .5rem 0; padding: .5rem 1rem; }
summary { cursor: pointer; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid #8884; padding: .25rem .75rem .25rem 0; vertical-align: top; overflow-wrap: anywhere; }
code { font-size: .9em; }
"""

_METHODS = ("get", "post", "put", "patch", "delete")


def install(app: FastAPI) -> None:
    """Add `/docs` and its style sheet; the page is rendered at the first request."""
    pages: list[str] = []

    async def docs(_: Request) -> Response:
        if not pages:
            pages.append(render(app.openapi()))
        return Response(pages[0], media_type="text/html", headers={**HEADERS, "Cache-Control": "no-cache"})

    async def style(_: Request) -> Response:
        return Response(_STYLE, media_type="text/css", headers={**HEADERS, "Cache-Control": "no-cache"})

    app.router.routes.append(Route("/docs", docs, methods=["GET"]))
    app.router.routes.append(Route("/docs.css", style, methods=["GET"]))


def render(document: Mapping[str, Any]) -> str:
    """Return the HTML page for an OpenAPI document: the operations by tag, then the schemas of bodies and answers."""
    by_tag: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["other"])[0]
                by_tag.setdefault(tag, []).append(_operation(method, path, item[method]))
    title = escape(document["info"]["title"])
    parts = [
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f'<title>{title}: API</title>\n<link rel="stylesheet" href="/docs.css">\n<h1>{title}</h1>',
        f"<p>{escape(document['info'].get('summary', ''))} For programs: "
        '<a href="/openapi.json">openapi.json</a>. With API keys, send one as <code>X-API-Key</code>.</p>',
        *(f"<h2>{escape(tag)}</h2>\n{''.join(operations)}" for tag, operations in by_tag.items()),
        "<h2>Bodies and answers</h2>",
        *(
            f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>{_fields(schema)}</details>\n'
            for name, schema in document.get("components", {}).get("schemas", {}).items()
        ),
    ]
    return "\n".join(parts) + "</html>\n"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parameters = (
        (f"{one['name']} ({one['in']})", _type(one["schema"]), one.get("description", ""))
        for one in operation.get("parameters", ())
    )
    bodies = (
        f"<h3>Body: <code>{escape(kind)}</code></h3>{_fields(content['schema'])}"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    answers = ((status, _answer(one), one.get("description", "")) for status, one in operation["responses"].items())
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code> {escape(operation.get('summary', ''))}"
        f"</summary><p>{_text(operation.get('description', ''))}</p>"
        f"{_table(parameters)}{''.join(bodies)}<h3>Answers</h3>{_table(answers)}</details>\n"
    )


def _answer(answer: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{escape(kind)} {_type(content.get('schema', {}))}" for kind, content in answer.get("content", {}).items()
    )


def _fields(schema: Mapping[str, Any]) -> str:
    """Return a table of an object's fields, or the type if the schema is no object."""
    fields = schema.get("properties")
    if not fields:
        return f"<p>{_type(schema)}</p>"
    required = schema.get("required", ())
    return _table(
        (name + (" (required)" if name in required else ""), _type(field), field.get("description", ""))
        for name, field in fields.items()
    )


def _table(rows: Iterator[tuple[str, str, str]]) -> str:
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{kind}<td>{_text(meaning)}" for name, kind, meaning in rows
    )
    return f"<table>{cells}</table>" if cells else ""


def _type(schema: Mapping[str, Any]) -> str:
    """Return a type as HTML; a named type links to its fields."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(choice) for choice in choices))
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(str(schema.get("format") or schema.get("type") or "anything"))


def _text(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
