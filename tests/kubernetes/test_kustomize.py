"""What kustomize builds is what the chart makes."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml

from generate import kustomize
from generate.files import stale
from image_similarity.settings import Settings
from tests.kubernetes.test_objects import VERSIONS
from tests.support.helm_charts import (
    Object,
    check_schema,
    containers,
    environment,
    name_of,
    named,
    of_kind,
    own_image,
    pods,
    render,
)
from tests.support.helm_charts import tool as find
from tests.support.paths import REPOSITORY

BUILDS = ("base", "overlays/dev", "overlays/prod")


@cache
def build(folder: str) -> tuple[Object, ...]:
    command = [find("kubectl"), "kustomize", REPOSITORY / "kubernetes" / folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def test_what_is_written_from_the_chart_is_up_to_date() -> None:
    find("helm")
    assert stale(kustomize.files(), kustomize.there()) == []


def test_base_is_the_charts_default_kind_by_kind() -> None:
    """Except the Secret, which overlays bring, the namespace, which Helm makes itself, and helm's own test."""
    chart = [
        kustomize.without_helm(found)
        for found in render(namespace="image-similarity")
        if found["kind"] != "Secret" and kustomize.component(found) != "test"
    ]
    base = [found for found in build("base") if found["kind"] != "Namespace"]
    assert by_kind(base) == by_kind(chart)


def by_kind(objects: list[Object]) -> dict[str, dict[str, Any]]:
    kinds: dict[str, dict[str, Any]] = {}
    for found in objects:
        kinds.setdefault(found["kind"], {})[found["metadata"]["name"]] = found
    return kinds


@pytest.mark.parametrize("folder", BUILDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_would_take_it(folder: str, version: str) -> None:
    for found in build(folder):
        check_schema(found, version)


NAMESPACES = {"base": "image-similarity", "overlays/dev": "image-similarity-dev", "overlays/prod": "image-similarity"}
"""Overlays that cannot follow each other have a namespace each: claims cannot be changed, passwords would stay."""


@pytest.mark.parametrize("folder", BUILDS)
def test_all_of_it_is_in_one_namespace_that_demands_restricted_pods(folder: str) -> None:
    (namespace,) = of_kind(build(folder), "Namespace")
    assert namespace["metadata"]["name"] == NAMESPACES[folder]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [found for found in build(folder) if found["kind"] != "Namespace"]
    assert {found["metadata"]["namespace"] for found in others} == {NAMESPACES[folder]}


@pytest.mark.parametrize("folder", BUILDS)
def test_variables_are_valid_settings(folder: str) -> None:
    for _, _, spec in pods(build(folder)):
        for container in containers(spec):
            if own_image(container) and "command" not in container:
                given = {name.lower(): value for name, value in environment(container).items()}
                Settings(_env_file=None, **{name: given[name] for name in given if name in Settings.model_fields})


@pytest.mark.parametrize("folder", BUILDS)
def test_names_with_a_namespace_lead_into_their_own(folder: str) -> None:
    texts = [json.dumps(found) for found in build(folder)]
    for secret in of_kind(build(folder), "Secret"):
        texts += [base64.b64decode(value).decode() for value in secret["data"].values()]
    named_in = {name for text in texts for name in re.findall(r"[a-z]\.([a-z-]+)\.svc\b", text)}
    assert named_in == {NAMESPACES[folder]}


def test_dev_brings_every_secret_that_is_asked_for() -> None:
    (secret,) = of_kind(build("overlays/dev"), "Secret")
    asked = {
        entry["valueFrom"]["secretKeyRef"]["key"]
        for _, _, spec in pods(build("overlays/dev"))
        for container in containers(spec)
        for entry in container.get("env", [])
        if "secretKeyRef" in entry.get("valueFrom", {})
    }
    assert asked <= set(secret["data"])


def test_prod_names_every_secret_that_has_to_be_made_before() -> None:
    told = (REPOSITORY / "kubernetes" / "overlays" / "prod" / "kustomization.yaml").read_text()
    assert not of_kind(build("overlays/prod"), "Secret")
    for _, _, spec in pods(build("overlays/prod")):
        for container in containers(spec):
            for entry in container.get("env", []):
                if "secretKeyRef" in entry.get("valueFrom", {}):
                    assert f"--from-literal={entry['valueFrom']['secretKeyRef']['key']}=" in told


def test_dev_fits_one_node() -> None:
    objects = build("overlays/dev")
    assert {found["spec"].get("replicas", 1) for found in of_kind(objects, "Deployment", "StatefulSet")} == {1}
    claim = named(objects, "PersistentVolumeClaim", "image-similarity-images")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    qdrant = named(objects, "StatefulSet", "image-similarity-qdrant")["spec"]["volumeClaimTemplates"]
    assert {claim["spec"]["resources"]["requests"]["storage"] for claim in qdrant} == {"5Gi"}
    backup = named(objects, "CronJob", "image-similarity-snapshots")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert "," not in environment(backup["containers"][0])["SNAPSHOT_NODES"]
    for owner, _, spec in pods(objects):
        for container in spec["containers"]:
            if own_image(container) and "command" not in container:
                assert environment(container)["QDRANT_EXPECTED_PEERS"] == "1", owner
        assert not any(container["name"] == "model" for container in spec.get("initContainers", [])), owner


def test_prod_is_the_base_and_more() -> None:
    base, prod = build("base"), build("overlays/prod")
    assert {name_of(found) for found in prod} - {name_of(found) for found in base} == {"Ingress image-similarity"}
    assert {name_of(found) for found in base} <= {name_of(found) for found in prod}
    rules = named(prod, "StatefulSet", "image-similarity-qdrant")["spec"]["template"]["spec"]["affinity"]
    assert list(rules["podAntiAffinity"]) == ["requiredDuringSchedulingIgnoredDuringExecution"]
    services = {service["metadata"]["name"] for service in of_kind(prod, "Service")}
    (ingress,) = of_kind(prod, "Ingress")
    for path in ingress["spec"]["rules"][0]["http"]["paths"]:
        assert path["backend"]["service"]["name"] in services
    # The chart's own Ingress would lead to the same places.
    (charts,) = of_kind(render("--set", "ingress.host=api.example.com"), "Ingress")
    assert charts["spec"]["rules"] == ingress["spec"]["rules"]
