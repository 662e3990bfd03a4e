"""What the command line shows."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

from image_similarity.cli.console import matches_table, report
from image_similarity.cli.index_local import NAMED_REPLACED, Tally
from image_similarity.domain.records import IndexResult, Match
from tests.support.servers import environment


def shown(width: int, *matches: Match) -> str:
    """Return the table's text without spaces and line ends."""
    console = Console(file=io.StringIO(), width=width)
    console.print(matches_table(matches))
    assert isinstance(console.file, io.StringIO)
    return "".join(console.file.getvalue().split())


def test_ids_and_metadata_are_shown_as_they_are() -> None:
    odd = Match("a[/b].jpg", 0.5, "sha", 1, 1, {"flags": [True, False], "note": "[red]"}, group="[blue]")

    table = shown(120, odd)

    for text in ("a[/b].jpg", '{"flags":[true,false],"note":"[red]"}', "[blue]"):
        assert text in table


def test_what_is_too_wide_goes_on_in_the_next_line() -> None:
    table = shown(40, Match("x" * 70, 0.5, "sha", 1, 1, {"y": "z" * 70}))

    assert (table.count("x"), table.count("z")) == (70, 70)


def test_another_program_gets_a_line_a_row() -> None:
    row = """
from image_similarity.cli.console import matches_table, out
from image_similarity.domain.records import Match
out.print(matches_table([Match("x" * 200, 0.5, "sha", 1, 1, {"y": "z" * 200})]))
"""
    env = environment({})
    del env["COLUMNS"]
    done = subprocess.run([sys.executable, "-c", row], env=env, capture_output=True, text=True, check=True)
    _, line = done.stdout.splitlines()
    assert "x" * 200 in line
    assert "z" * 200 in line
    assert len(line) < 500


@pytest.mark.parametrize(
    ("replaced", "said"),
    [(1, "Replaced: 0.png."), (NAMED_REPLACED + 3, f"{NAMED_REPLACED - 1}.png, 3 more."), (0, None)],
)
def test_images_that_were_replaced_are_named(
    capsys: pytest.CaptureFixture[str], replaced: int, said: str | None
) -> None:
    tally = Tally()
    tally.count(IndexResult("new.png", created=True, changed=True, processing_time_ms=1))
    for number in range(replaced):
        tally.count(IndexResult(f"{number}.png", created=False, changed=True, processing_time_ms=1))

    report(tally)

    shown = capsys.readouterr()
    assert f"1 indexed, {replaced} replaced" in shown.out
    if said is None:
        assert shown.err == ""
    else:
        assert said in shown.err
        assert "--id-from hash" in shown.err
    assert "new.png" not in shown.err
