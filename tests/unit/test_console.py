"""What the command line shows."""

from __future__ import annotations

import io
import subprocess
import sys

from rich.console import Console

from image_similarity.console import matches_table
from image_similarity.domain import Match
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
from image_similarity.console import matches_table, out
from image_similarity.domain import Match
out.print(matches_table([Match("x" * 200, 0.5, "sha", 1, 1, {"y": "z" * 200})]))
"""
    env = environment({})
    del env["COLUMNS"]
    done = subprocess.run([sys.executable, "-c", row], env=env, capture_output=True, text=True, check=True)
    _, line = done.stdout.splitlines()
    assert "x" * 200 in line
    assert "z" * 200 in line
    assert len(line) < 500
