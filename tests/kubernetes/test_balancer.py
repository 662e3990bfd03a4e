"""The balancer of the chart runs the repository's configuration."""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.helm_charts import environment, named, render, rendered
from tests.support.paths import REPOSITORY


@pytest.fixture
def configuration() -> str:
    return str(named(rendered("defaults"), "ConfigMap", "image-similarity-haproxy")["data"]["haproxy.cfg"])


def test_only_the_servers_differ_from_the_repositorys_configuration(configuration: str) -> None:
    original = (REPOSITORY / "haproxy" / "haproxy.cfg").read_text()
    changed = list(difflib.ndiff(original.splitlines(), configuration.splitlines()))
    assert [line.split()[1:3] for line in changed if line.startswith("- ")] == [
        ["server", f"replica-{number}"] for number in (1, 2, 3)
    ]
    # A slot for each replica that the autoscaler may add, and for the one that an upgrade adds.
    assert [line.removeprefix("+ ").strip() for line in changed if line.startswith("+ ")] == [
        'server-template replica- 11 "${REPLICAS_HOST}:8000"'
    ]
    pod = named(rendered("defaults"), "Deployment", "image-similarity-haproxy")["spec"]["template"]["spec"]
    host = "image-similarity-api-headless.pictures.svc.cluster.local"
    assert environment(pod["containers"][0])["REPLICAS_HOST"] == host


def test_proxies_before_it_are_trusted_only_where_they_are_named() -> None:
    def given(*values: str) -> dict[str, str]:
        pod = named(render(*values), "Deployment", "image-similarity-haproxy")["spec"]["template"]["spec"]
        return environment(pod["containers"][0])

    assert "TRUSTED_PROXIES" not in given()
    named_ones = given("--set", "haproxy.trustedProxies={10.1.0.0/16,fd00::/8}")
    assert named_ones["TRUSTED_PROXIES"] == "127.0.0.1 10.1.0.0/16 fd00::/8"


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_haproxy_accepts_it(configuration: str, tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_text(configuration)
    balancer = named(rendered("defaults"), "Deployment", "image-similarity-haproxy")
    given = environment(balancer["spec"]["template"]["spec"]["containers"][0])
    checked = subprocess.run(
        ["haproxy", "-c", "-f", tmp_path / "haproxy.cfg"], env={**os.environ, **given}, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    # There is no cluster DNS here; the servers are looked up again as it runs.
    warnings = [line for line in checked.stderr.splitlines() if "WARNING" in line]
    assert all("could not resolve address" in line for line in warnings), warnings


def test_it_has_longer_to_stop_than_it_takes(configuration: str) -> None:
    pod = named(rendered("defaults"), "Deployment", "image-similarity-haproxy")["spec"]["template"]["spec"]
    (stop,) = [int(line.split()[1].rstrip("s")) for line in configuration.splitlines() if "hard-stop-after" in line]
    pause = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > stop + pause
