"""The parts of the OpenAPI document that FastAPI cannot derive itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from image_similarity.api.requests.body import FILE_FIELDS
from image_similarity.api.schemas.images import Problem

BINARY = {"type": "string", "format": "binary"}


def image_body(request: type[BaseModel], parameters: type[BaseModel], *, image_required: bool = True) -> dict[str, Any]:
    """Return the request body of a route that takes an image, as JSON or as multipart."""
    schema = request.model_json_schema()
    example = {name: value for name, value in schema["examples"][0].items() if name != "image_data"}
    fields = parameters.model_json_schema()
    form = {
        "type": "object",
        "properties": {FILE_FIELDS[0]: {**BINARY, "description": "The image file."}, **fields["properties"]},
        "$defs": fields.get("$defs", {}),
        "required": [FILE_FIELDS[0]] if image_required else [],
        "additionalProperties": False,
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema},
                "multipart/form-data": {"schema": form, "example": {FILE_FIELDS[0]: "@photo.jpg", **example}},
            },
        }
    }


def batch_body(request: type[BaseModel]) -> dict[str, Any]:
    """Return the request body of the route that takes many images: JSON, many files, or an archive."""
    form = {
        "type": "object",
        "properties": {
            FILE_FIELDS[0]: {
                "type": "array",
                "items": BINARY,
                "description": "Image files, the part repeated; a file's name becomes the image's id.",
            },
            "archive": {**BINARY, "description": "Instead: one zip, tar or tar.gz; paths become ids."},
            "image_ids": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Ids in place of the files' names, in the files' order; sent before them.",
            },
            "metadata": {"type": "object", "description": "Metadata by image id."},
        },
        "additionalProperties": False,
    }
    example = {FILE_FIELDS[0]: ["@tom.jpg", "@kim.jpg"], "metadata": {"tom.jpg": {"species": "cat"}}}
    # References inside the schema must resolve within the request body of this one operation.
    schema = request.model_json_schema()
    definitions = schema.pop("$defs")
    schema["properties"]["images"]["items"] = definitions["BatchImage"]
    archive = {"schema": BINARY}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema},
                "multipart/form-data": {"schema": form, "example": example},
                "application/zip": archive,
                "application/x-tar": archive,
                "application/gzip": archive,
                "application/octet-stream": archive,
            },
        }
    }


def json_body(parameters: type[BaseModel]) -> dict[str, Any]:
    """Return the request body of a route that takes parameters only; the body is required if one of them is."""
    return {
        "requestBody": {
            "required": any(field.is_required() for field in parameters.model_fields.values()),
            "content": {"application/json": {"schema": parameters.model_json_schema()}},
        }
    }


def document(app: FastAPI) -> dict[str, Any]:
    """Return the application's OpenAPI document; it is built once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
        )
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})[Problem.__name__] = Problem.model_json_schema()
        components["securitySchemes"] = {
            "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "Bearer": {"type": "http", "scheme": "bearer"},
        }
        # An empty alternative, because a server without API_KEYS requires no key.
        schema["security"] = [{}, {"ApiKey": []}, {"Bearer": []}]
        _drop_default_validation_errors(schema)
        _point_to_components(schema["paths"], components["schemas"])
        app.openapi_schema = schema
    return app.openapi_schema


def _drop_default_validation_errors(schema: dict[str, Any]) -> None:
    """Remove FastAPI's own 422 schema, which this API never sends; ours is a Problem."""
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)


def _point_to_components(part: Any, components: dict[str, Any]) -> None:
    """Point references to a schema's own `$defs`, which do not resolve inside the document, to its components."""
    if isinstance(part, list):
        for item in part:
            _point_to_components(item, components)
    elif isinstance(part, dict):
        for name, definition in part.pop("$defs", {}).items():
            components.setdefault(name, definition)
        if str(part.get("$ref", "")).startswith("#/$defs/"):
            name = part["$ref"].rpartition("/")[2]
            part["$ref"] = f"#/components/schemas/{name}"
            # For arbitrary JSON (`JsonValue`) pydantic leaves out the definition; an empty schema allows all.
            components.setdefault(name, {})
        for item in part.values():
            _point_to_components(item, components)
