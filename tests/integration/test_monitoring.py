"""Rules and dashboards: they are valid, they do what they say, and what they ask for exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from generate import dashboards
from generate.files import stale
from tests.support.balancer import running_balancer
from tests.support.jobs import finished, pictures, submit
from tests.support.paths import REPOSITORY
from tests.support.sample_images import encoded, photo
from tests.support.servers import make_settings, running_server

MONITORING = REPOSITORY / "monitoring"
RULES = [
    rule
    for path in sorted(MONITORING.glob("rules/*.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
JOBS = {job["job_name"] for job in yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]}

WORDS = {"and", "or", "unless", "on", "by", "offset", "bool", "ignoring", "group_left", "without"}
FROM_ELSEWHERE = {"namespace", "job", "instance", "status"}
"""Labels that Prometheus gives, and the one whose values are hoped not to occur."""

OF_QDRANT = {
    "cluster_peers_total",
    "cluster_working_state",
    "collection_active_replicas_min",
    "collection_dead_replicas",
    "collections_total",
}
"""Figures that rules may ask of Qdrant, as src/common/metrics.rs of 1.19 names them: its stand-in here has none."""

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")

Samples = dict[str, list[dict[str, str]]]


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_would_take_configuration_and_rules() -> None:
    promtool("check", "config", "--syntax-only", MONITORING / "prometheus.yml")


@needs_promtool
def test_alerts_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", *sorted(MONITORING.glob("tests/*.yml")))


def test_every_alert_is_tested_and_explained() -> None:
    tests = "\n".join(path.read_text() for path in MONITORING.glob("tests/*.yml"))
    assert {rule["alert"] for rule in ALERTS} == set(re.findall(r"alertname: (\w+)", tests))
    told = (MONITORING.parent / "docs" / "DEPLOYMENT.md").read_text()
    for rule in ALERTS:
        assert f"`{rule['alert']}`" in told
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]


def test_dashboards_are_as_the_script_writes_them() -> None:
    assert stale(dashboards.files(), dashboards.there()) == []


def test_grafana_finds_dashboards_and_prometheus() -> None:
    compose = yaml.safe_load((MONITORING.parent / "docker-compose.scale.yml").read_text())
    grafana = compose["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    provisioning = MONITORING / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "dashboards.yml").read_text())["providers"]
    assert provider["options"]["path"] == mounts["./monitoring/grafana/dashboards"]
    assert mounts["./monitoring/grafana/provisioning"] == "/etc/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert set(grafana["networks"]) & set(compose["services"]["prometheus"]["networks"])


def queries() -> Iterator[tuple[str, str]]:
    """Return every query of rules and dashboards, and where it stands."""
    for rule in RULES:
        yield rule.get("alert") or rule["record"], rule["expr"]
    for path in sorted((MONITORING / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


def asked(query: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Return the metrics of a query, each with the labels that it must have."""
    plain = re.sub(r"\b(?:by|on) \([^)]*\)|\[[^\]]*\]", " ", query)
    for name, follows in re.findall(r"(?<![\w:])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\}|\()?", plain):
        if follows != "(" and name not in WORDS:
            yield name, dict(re.findall(r'(\w+)="([^"]*)"', follows))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Samples:
    """Return what a server that has done a little of everything shows, and what HAProxy does."""
    settings = make_settings(tmp_path_factory.mktemp("data"), tiny_checkpoint, log_level="ERROR")
    with running_server(settings) as server:
        server.index(encoded(photo(), "PNG"))
        for _ in range(2):
            server.search(encoded(photo(), "PNG"))
        assert server.http.post("/search/text", json={"text": "a dog"}).is_success
        finished(server.http, submit(server.http, pictures(2)))
        text = httpx.get(f"{server.url}/metrics").text
    if shutil.which("haproxy"):
        with running_balancer(tmp_path_factory.mktemp("haproxy"), replicas=1) as balancer:
            text += httpx.get(f"{balancer.statistics}/metrics").text
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def test_every_metric_that_is_asked_for_exists(samples: Samples) -> None:
    checked = set()
    for place, query in queries():
        for name, labels in asked(query):
            checked.add(name)
            if ":" in name:
                assert name in RECORDED, place
            elif name == "up":
                assert labels["job"] in JOBS, place
            elif labels.get("job") == "qdrant":
                assert name in OF_QDRANT, place
            elif name.startswith("haproxy_") and not shutil.which("haproxy"):
                continue
            else:
                wanted = {key: value for key, value in labels.items() if key not in FROM_ELSEWHERE}
                assert any(wanted.items() <= sample.items() for sample in samples.get(name, [])), (place, name, wanted)
    assert {"up", "image_similarity_part_up", "namespace:image_similarity_errors:ratio_rate5m"} <= checked
    assert len(checked) > 20


def test_every_metric_of_ours_is_shown_somewhere(samples: Samples) -> None:
    shown = {re.sub("_(bucket|sum|count)$", "", name) for _, query in queries() for name, _ in asked(query)}
    ours = {re.sub("_(bucket|sum|count)$", "", name) for name in samples if name.startswith("image_similarity_")}
    assert ours <= shown


def test_queries_are_read_as_they_are_meant() -> None:
    query = 'sum by (le, tier) (rate(a_total{tier="l1", x=~"y|z"}[5m])) > 0 and on (q) b:c:d offset 1d < up{job="k"}'
    found: list[Any] = list(asked(query))
    assert found == [("a_total", {"tier": "l1"}), ("b:c:d", {}), ("up", {"job": "k"})]
