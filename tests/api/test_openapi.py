from __future__ import annotations

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.support.servers import RunningServer


@pytest.fixture
def document(server: RunningServer) -> dict[str, Any]:
    return httpx.get(f"{server.url}/openapi.json").json()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_contract_of_the_design_is_in_the_document(document: dict[str, Any]) -> None:
    assert {name for name, _ in operations(document)} == {
        "post /api/v1/search",
        "post /api/v1/search/text",
        "post /api/v1/search/keywords",
        "post /api/v1/index",
        "post /api/v1/feedback",
        "get /api/v1/feedback",
        "get /api/v1/feedback/export",
        "delete /api/v1/feedback",
        "get /api/v1/facets",
        "get /api/v1/stats",
        "post /api/v1/cache/warm",
        "get /api/v1/health",
        "get /api/v1/ready",
        "get /api/v1/images",
        "get /api/v1/images/{image_id}",
        "patch /api/v1/images/{image_id}",
        "delete /api/v1/images/{image_id}",
        "get /api/v1/images/{image_id}/file",
        "get /api/v1/images/{image_id}/thumbnail",
        "get /api/v1/images/{image_id}/preview",
        "post /api/v1/images/{image_id}/similar",
        "post /api/v1/images/{image_id}/restore",
        "post /api/v1/index/batch",
        "get /api/v1/jobs",
        "get /api/v1/jobs/{job_id}",
        "delete /api/v1/jobs/{job_id}",
        "get /api/v1/jobs/{job_id}/events",
        "get /api/v1/uploads",
        "get /api/v1/uploads/{upload}",
    }


def test_every_request_response_and_error_has_an_example(document: dict[str, Any]) -> None:
    def has_example(content: dict[str, Any]) -> bool:
        schema = content["schema"]
        if "$ref" in schema and "example" not in content:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        binary = schema.get("format") == "binary"
        return binary or "example" in content or bool(schema.get("examples"))

    contents = [
        (name, where, media_type, content)
        for name, operation in operations(document)
        for where, part in [("request", operation.get("requestBody", {})), *operation["responses"].items()]
        for media_type, content in part.get("content", {}).items()
    ]
    assert len(contents) > 60
    assert [entry[:3] for entry in contents if not has_example(entry[3])] == []


def test_every_operation_documents_its_errors_as_problems(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        errors = {status for status in operation["responses"] if status >= "400"}
        assert "500" in errors, name
        for status in errors:
            assert list(operation["responses"][status]["content"]) == ["application/problem+json"], (name, status)


def test_the_examples_can_be_sent_as_they_stand(server: RunningServer, document: dict[str, Any]) -> None:
    for path in ("/search", "/search/keywords", "/index", "/index/batch"):
        content = document["paths"][f"/api/v1{path}"]["post"]["requestBody"]["content"]["application/json"]
        answer = server.http.post(path, json=content["schema"]["examples"][0])
        assert answer.is_success, answer.text


def test_whatever_is_sent_the_answer_is_a_documented_one(server: RunningServer) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    tried: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def conforms(case: schemathesis.Case) -> None:
            # Most strings are no images, and no schema can say which are.
            case.call_and_validate(timeout=60, excluded_checks=[positive_data_acceptance])

        conforms()
        tried.append(operation.label)
    assert len(tried) == 29
