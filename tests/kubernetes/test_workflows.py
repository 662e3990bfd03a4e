"""What CI does elsewhere with the chart fits the chart."""

from __future__ import annotations

import re

import pytest
import yaml

from generate import chart_files
from tests.support.helm_charts import CHART, helm, of_kind, render
from tests.support.paths import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def test_values_for_kind_fit_one_node() -> None:
    objects = render("--values", REPOSITORY / ".github" / "kind.yaml")
    assert {mode for claim in of_kind(objects, "PersistentVolumeClaim") for mode in claim["spec"]["accessModes"]} == {
        "ReadWriteOnce"
    }


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_do_no_more_than_they_say(path: object) -> None:
    workflow = yaml.safe_load(path.read_text())  # type: ignore[attr-defined]
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            # A tag can be moved to something else, a commit cannot.
            assert re.search(r"@[0-9a-f]{40}$", step["uses"]) if "uses" in step else step["run"], step


def test_release_checks_lines_that_are_there() -> None:
    release = (REPOSITORY / ".github" / "workflows" / "release.yml").read_text()
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    for text, path in re.findall(r'grep -qx "(.+)" (\S+)', release):
        wanted = text.replace("$version", version).replace('\\"', '"')
        assert wanted in (REPOSITORY / path).read_text().splitlines(), path


def test_commands_of_the_documents_work() -> None:
    """Every `helm install` and `helm upgrade` of the documents renders, with the values that it sets."""
    documents = [REPOSITORY / "README.md", REPOSITORY / "docs" / "DEPLOYMENT.md", CHART / "README.md"]
    found = 0
    for document in documents:
        text = document.read_text().replace("\\\n", " ")
        for line in re.findall(r"^helm (?:install|upgrade) .*", text, re.MULTILINE):
            settings = [word for pair in re.findall(r"(--set(?:-json)?) '?([^\s']+)", line) for word in pair]
            done = helm("template", "image-similarity", CHART, *settings)
            assert done.returncode == 0, (line, done.stderr)
            found += 1
    assert found >= 4


def test_what_is_copied_into_the_chart_is_found() -> None:
    assert len(chart_files.files()) == 9
