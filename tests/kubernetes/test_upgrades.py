"""What an upgrade cannot change is told before it changes anything, with what to do: helm asks a toy cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from generate.kubernetes_tools import HELM_3, HELM_4
from tests.support.helm_charts import Object, named, of_kind, render, rendered
from tests.support.toy_cluster import cluster, installed, upgrade

VERSIONS = pytest.mark.parametrize("version", [HELM_3, HELM_4])
ORPHAN = "kubectl --namespace pictures delete statefulset image-similarity-qdrant --cascade=orphan"


def release(*arguments: str, **spec: Any) -> list[Object]:
    """Return what is in the cluster of a release, with fields of Qdrant's StatefulSet changed."""
    objects = [*rendered("defaults")] if not arguments else render(*arguments)
    kept = [installed(found) for found in of_kind(objects, "StatefulSet", "Deployment", "Service")]
    for found in kept:
        if found["kind"] == "StatefulSet" and found["metadata"]["name"].endswith("-qdrant"):
            found["spec"] = {**found["spec"], **spec}
    return kept


def complaint(objects: list[Object], folder: Path, version: str, *arguments: str) -> str:
    with cluster(*objects) as url:
        done = upgrade(url, folder, version, *arguments)
    assert done.returncode != 0
    return done.stderr


@VERSIONS
def test_an_upgrade_that_changes_nothing_of_that_goes_through(version: str, tmp_path: Path) -> None:
    with cluster(*release()) as url:
        same = upgrade(url, tmp_path, version)
        # Kubernetes writes sizes its own way.
        spelt = upgrade(url, tmp_path, version, "--set", "qdrant.persistence.size=51200Mi")
    assert same.returncode == spelt.returncode == 0, same.stderr + spelt.stderr


@VERSIONS
def test_a_stateful_set_of_ordered_nodes_has_to_be_made_anew(version: str, tmp_path: Path) -> None:
    told = complaint(release(podManagementPolicy="OrderedReady"), tmp_path, version)
    assert "podManagementPolicy OrderedReady" in told
    assert ORPHAN in told
    assert "patch pvc" not in told


@VERSIONS
def test_growing_a_volume_tells_the_commands_that_grow_it(version: str, tmp_path: Path) -> None:
    told = complaint(release(), tmp_path, version, "--set", "qdrant.persistence.size=1Ti,redis.persistence.size=4Gi")
    patch = """--patch '{"spec":{"resources":{"requests":{"storage":"1Ti"}}}}'"""
    for number in range(3):
        assert f"kubectl --namespace pictures patch pvc storage-image-similarity-qdrant-{number} {patch}" in told
    assert "patch pvc data-image-similarity-redis-0" in told
    assert "snapshots-image-similarity" not in told, "what stays as it is is left alone"
    assert ORPHAN in told
    assert "delete statefulset image-similarity-redis --cascade=orphan" in told
    assert told.count("delete statefulset") == 2


def test_a_volume_cannot_shrink(tmp_path: Path) -> None:
    told = complaint(release(), tmp_path, HELM_4, "--set", "rabbitmq.persistence.size=5000M")
    assert "cannot become smaller" in told
    assert "image-similarity-rabbitmq have 8Gi, and the values ask for 5000M" in told
    assert "kubectl" not in told


def test_a_part_that_is_switched_off_is_not_looked_at(tmp_path: Path) -> None:
    chosen = ("--set", "redis.enabled=false,redis.persistence.size=4Gi")
    with cluster(*release()) as url:
        done = upgrade(url, tmp_path, HELM_4, *chosen)
    assert done.returncode == 0, done.stderr


@VERSIONS
@pytest.mark.parametrize("change", ["nameOverride=other", "fullnameOverride=other"])
def test_another_name_is_refused_before_it_waits_for_a_missing_store(version: str, change: str, tmp_path: Path) -> None:
    told = complaint(release(), tmp_path, version, "--set", change)
    assert "Release image-similarity is installed as image-similarity" in told
    assert "set nameOverride and fullnameOverride back" in told


def test_the_name_of_selectors_counts_too(tmp_path: Path) -> None:
    named_before = release("--set", "fullnameOverride=images")
    told = complaint(named_before, tmp_path, HELM_4, "--set", "fullnameOverride=images,nameOverride=other")
    assert "would make it images (other)" in told


def test_other_releases_in_the_namespace_are_none_of_our_business(tmp_path: Path) -> None:
    other = [found for found in release("--set", "fullnameOverride=other") if found["kind"] == "Deployment"]
    for found in other:
        found["metadata"]["annotations"]["meta.helm.sh/release-name"] = "somebody-elses"
    # And what was applied without helm has no marks at all.
    bare = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bare"}}
    with cluster(*release(), *other, bare) as url:
        done = upgrade(url, tmp_path, HELM_4)
    assert done.returncode == 0, done.stderr


def job_of(text: str) -> Object:
    (job,) = of_kind([found for found in yaml.safe_load_all(text) if found], "Job")
    return job


@VERSIONS
def test_before_an_upgrade_the_collection_is_looked_at_by_a_hook(version: str, tmp_path: Path) -> None:
    with cluster(*release()) as url:
        job = job_of(upgrade(url, tmp_path, version).stdout)
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"


def test_a_hook_does_not_wait_for_a_store_that_the_same_upgrade_brings(tmp_path: Path) -> None:
    before = [found for found in release() if "-qdrant" not in found["metadata"]["name"]]
    with cluster(*before) as url:
        job = job_of(upgrade(url, tmp_path, HELM_4).stdout)
    assert "helm.sh/hook" not in job["metadata"]["annotations"]


def test_an_installation_waits_for_no_hook() -> None:
    """Helm's five minutes are short for a model of 600 MB, and a hook is left behind by `helm uninstall`."""
    for found in rendered("defaults"):
        hook = found["metadata"].get("annotations", {}).get("helm.sh/hook", "test")
        assert hook == "test", found["metadata"]["name"]
    job = named(rendered("defaults"), "Job", "image-similarity-init-db")
    assert job["spec"]["activeDeadlineSeconds"]
    assert job["spec"]["ttlSecondsAfterFinished"]
