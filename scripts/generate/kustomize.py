"""Writes kubernetes/base and kubernetes/monitoring from the chart, so that nothing is written twice by hand."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from generate.files import ROOT
from generate.kubernetes_tools import find_tool

CHART = ROOT / "helm" / "image-similarity"
KUBERNETES = ROOT / "kubernetes"
NAMESPACE = NAME = "image-similarity"
HEADER = "# Written by scripts/generate.py from the chart in helm/image-similarity; change it there.\n"
HELM_ONLY = {"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "checksum/secrets"}
"""Labels and annotations that change with each release, or with secrets that kustomize does not see."""

# Secrets come from elsewhere here, because a template would generate new ones at each rendering.
VALUES = ("secrets.existingSecret=image-similarity",)


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def render(*arguments: str) -> list[dict[str, Any]]:
    """Return the objects of the chart, without helm's tests."""
    command = [find_tool("helm"), "template", NAME, CHART, "--namespace", NAMESPACE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    objects = [found for found in yaml.safe_load_all(done.stdout) if found]
    return [found for found in objects if component(found) != "test"]


def component(found: dict[str, Any]) -> str:
    """Return the part of the product that an object belongs to."""
    return str(found["metadata"]["labels"]["app.kubernetes.io/component"])


def without_helm(value: Any) -> Any:
    """Return an object without the fields that only Helm reads."""
    if isinstance(value, list):
        return [without_helm(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        key: without_helm(item)
        for key, item in value.items()
        if key not in HELM_ONLY and not key.startswith("helm.sh/")
    }
    if not kept.get("annotations", True):
        del kept["annotations"]
    return kept


def files() -> dict[Path, bytes]:
    """Return the files that the two folders should contain."""
    base = group(render(*(word for value in VALUES for word in ("--set", value))))
    with_operator = render("--api-versions", "monitoring.coreos.com/v1", "--set", VALUES[0])
    monitors = [found for found in with_operator if found["apiVersion"].startswith("monitoring.coreos.com/")]
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    texts = {
        **folder("base", {"namespace": [namespace], **base}, "kustomize.config.k8s.io/v1beta1", "Kustomization"),
        **folder("monitoring", {"monitors": monitors}, "kustomize.config.k8s.io/v1alpha1", "Component"),
    }
    return {path: text.encode() for path, text in texts.items()}


def group(objects: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return objects by component, the names in their order."""
    groups: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for found in objects:
        groups[component(found)].append(found)
    return dict(sorted(groups.items()))


def folder(name: str, groups: dict[str, list[dict[str, Any]]], version: str, kind: str) -> dict[Path, str]:
    """Return the files of one folder, its kustomization.yaml included."""
    written = {KUBERNETES / name / f"{part}.yaml": dump(*without_helm(found)) for part, found in groups.items()}
    kustomization: dict[str, Any] = {"apiVersion": version, "kind": kind, "namespace": NAMESPACE}
    kustomization["resources"] = [path.name for path in written]
    return {KUBERNETES / name / "kustomization.yaml": dump(kustomization), **written}


def dump(*documents: dict[str, Any]) -> str:
    """Return documents as YAML."""
    return HEADER + yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)


def there() -> set[Path]:
    """Return the existing files of the two folders."""
    return {*KUBERNETES.glob("base/*"), *KUBERNETES.glob("monitoring/*")}
