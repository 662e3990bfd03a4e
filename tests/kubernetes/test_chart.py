"""The chart as a whole: it lints, its schema and README are complete, both versions of Helm agree on it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import image_similarity
from generate import chart_files, chart_readme
from generate.files import stale
from generate.kubernetes_tools import HELM_3, HELM_4
from image_similarity.settings import Settings
from tests.support.helm_charts import CHART, MATRIX, VALUES, helm, render, rendered
from tests.support.paths import REPOSITORY

VALUES_TEXT = (CHART / "values.yaml").read_text()
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def values_of(case: str) -> list[str | Path]:
    return [] if case == "defaults" else ["--values", VALUES / f"{case}.yaml"]


@pytest.mark.parametrize("case", MATRIX)
def test_lint_finds_nothing(case: str) -> None:
    checked = helm("lint", "--strict", "--quiet", CHART, *values_of(case))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not checked.stdout.strip()


def test_helm_3_and_4_make_the_same_of_it() -> None:
    secret = ("--set", "secrets.existingSecret=mine")
    assert render(*secret, version=HELM_3) == render(*secret, version=HELM_4)


def test_version_is_that_of_the_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == image_similarity.__version__


def test_readme_shows_the_values_as_they_are() -> None:
    assert stale(chart_readme.files(), chart_readme.there()) == []


def test_copies_of_the_repositorys_files_are_up_to_date() -> None:
    assert stale(chart_files.files(), chart_files.there()) == []


def test_schema_knows_every_value_and_no_other() -> None:
    assert set(paths(yaml.safe_load(VALUES_TEXT))) == set(known(SCHEMA)) - {"global"}


def paths(values: dict[str, Any], parent: str = "") -> list[str]:
    """Return the paths of all values; lists, maps and resources count as one."""
    found = []
    for name, value in values.items():
        path = f"{parent}{name}"
        nested = isinstance(value, dict) and value and properties(path) is not None
        found += paths(value, f"{path}.") if nested else [path]
    return found


def known(schema: dict[str, Any], parent: str = "") -> list[str]:
    found = []
    for name, inner in schema["properties"].items():
        path = f"{parent}{name}"
        found += known(inner, f"{path}.") if "properties" in inner else [path]
    return found


def properties(path: str) -> dict[str, Any] | None:
    schema = SCHEMA
    for name in path.split("."):
        schema = schema["properties"][name]
    return schema.get("properties")


def test_schema_refuses_what_it_does_not_know_at_every_level() -> None:
    def check(schema: dict[str, Any]) -> None:
        assert schema["additionalProperties"] is False
        for inner in schema["properties"].values():
            if "properties" in inner:
                check(inner)

    check(SCHEMA)


def test_settings_that_may_be_given_are_those_that_the_chart_does_not_set() -> None:
    allowed = set(SCHEMA["properties"]["config"]["propertyNames"]["enum"])
    set_by_chart = {"ALLOW_ANONYMOUS", "API_KEYS", "BROKER_URL", "DRAIN_SECONDS", "MODEL_NAME", "STORAGE_URL"}
    set_by_chart |= {"API_HOST", "API_PORT", "DATA_DIR"}  # in the image
    set_by_chart |= {"QDRANT_API_KEY", "QDRANT_GRPC_PORT", "QDRANT_HOST", "QDRANT_PORT", "QDRANT_URL"}
    set_by_chart |= {"QDRANT_REPLICATION_FACTOR", "QDRANT_SHARD_NUMBER", "WORKER_CONCURRENCY", "WORKER_PORT"}
    set_by_chart |= {"REDIS_HOST", "REDIS_PASSWORD", "REDIS_PORT", "REDIS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert allowed == {name.upper() for name in Settings.model_fields} - set_by_chart


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ("api.replicas=three", r"/?api[./]replicas.*"),
        ("api.replicaCount=3", "replicaCount"),
        ("config.LOGLEVEL=DEBUG", "LOGLEVEL"),
        ("image.pullPolicy=Sometimes", "Always.*IfNotPresent"),
        ("ingress.host=https://api.example.com/", "host"),
        ("storage.url=/data", "storage[./]url"),
        ("qdrant.persistence.size=50GB", "size"),
        ("secrets.rabbitmqPassword=p@ss", "rabbitmqPassword"),
        ("secrets.apiKeys={short}", "apiKeys"),
        ("model.source=s3", "download"),
        ("qdrant.replicas=1", "replicationFactor is 2, more than the 1 node"),
        ("qdrant.enabled=false", "set externalQdrant.url"),
        ("qdrant.enabled=false,externalQdrant.url=http://user@qdrant:6333", "externalQdrant"),
        ("externalQdrant.url=http://qdrant:6333", "set qdrant.enabled to false"),
        ("externalRedis.enabled=true", "both true; choose one"),
        ("externalRabbitmq.enabled=true,rabbitmq.enabled=false", "externalRabbitmq.url is empty"),
        ("worker.keda.enabled=true,worker.enabled=false", "there are no workers"),
        ("api.autoscaling.minReplicas=20", "more than maxReplicas"),
    ],
)
def test_wrong_value_fails_with_a_message_that_names_it(wrong: str, complaint: str) -> None:
    done = helm("template", "x", CHART, "--set", wrong)
    assert done.returncode != 0
    assert re.search(complaint, done.stderr), done.stderr


@pytest.mark.parametrize("case", MATRIX)
def test_notes_and_names_survive_long_names(case: str) -> None:
    name = "r" * 53
    done = helm("template", name, CHART, *values_of(case))
    assert done.returncode == 0, done.stderr
    names = [found["metadata"]["name"] for found in yaml.safe_load_all(done.stdout) if found]
    # A StatefulSet's pods carry a number, and the name of a Service is a DNS label.
    assert max(map(len, names)) <= 61


def test_images_of_others_are_those_of_the_compose_file() -> None:
    services = yaml.safe_load((REPOSITORY / "docker-compose.scale.yml").read_text())["services"]
    composed = {service["image"] for service in services.values()}
    values = yaml.safe_load(VALUES_TEXT)
    for part in ("haproxy", "qdrant", "redis", "rabbitmq"):
        image = f"{values[part]['image']['repository']}:{values[part]['image']['tag']}"
        assert image.removesuffix("-unprivileged") in composed


def test_what_may_not_change_in_an_upgrade_holds_no_version() -> None:
    for found in rendered("defaults"):
        if found["kind"] == "StatefulSet":
            assert "chart" not in json.dumps(found["spec"]["selector"])
            assert "helm.sh" not in json.dumps(found["spec"]["volumeClaimTemplates"])
