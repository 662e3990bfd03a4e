"""The documents are about this repository: the map shows its packages, links lead somewhere, decisions are listed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

PACKAGE = REPOSITORY / "backend" / "image_similarity"
DECISIONS = REPOSITORY / "docs" / "decisions"
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("helm/*/README.md")])


def rows_of_the_map() -> dict[str, list[str]]:
    """Return the modules that the map names, by package."""
    section = (REPOSITORY / "docs" / "ARCHITECTURE.md").read_text().partition("\n## Map\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w/]+)/` \| (.*) \|$", section, re.MULTILINE)
    return {package: re.findall(r"`(\w+\.py)`", modules) for package, modules in rows}


def test_the_map_names_every_package() -> None:
    packages = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")} - {"."}
    assert set(rows_of_the_map()) == packages


def test_the_map_names_modules_that_exist() -> None:
    named = {f"{package}/{module}" for package, modules in rows_of_the_map().items() for module in modules}
    assert len(named) > 100
    assert sorted(path for path in named if not (PACKAGE / path).is_file()) == []


def test_documents_about_the_code_name_files_that_exist() -> None:
    """A path of at least two parts is one of the repository, or of the package."""
    missing = []
    for document in (REPOSITORY / "CONTRIBUTING.md", *REPOSITORY.glob("docs/**/*.md")):
        for path in re.findall(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|ts|tsx|md|yml|json))`", document.read_text()):
            ours = (REPOSITORY / path).is_file() or (PACKAGE / path).is_file()
            if not ours and not path.startswith(("lib/", "src/", "toc/", "done/")):
                missing.append((document.name, path))
    assert missing == []


def test_every_decision_is_listed_short_and_has_its_parts() -> None:
    listed = re.findall(r"^(\d+)\. \[.*\]\((\S+\.md)\)", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    files = sorted(path.name for path in DECISIONS.glob("0*.md"))
    assert [(f"{int(number):04}", name) for number, name in listed] == [(name[:4], name) for name in files]
    for name in files:
        text = (DECISIONS / name).read_text()
        assert text.count("\n") <= 60, name
        assert name < "0006" or re.findall("^## (.*)", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def anchors(document: Path) -> set[str]:
    """Return what can follow the # of a link to a document."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", found) for found in re.findall(r"^#+ (.*)", text, re.MULTILINE)]
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="(.*?)"', text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_lead_to_what_is_there(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        found = document.parent / name if name else document
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target
