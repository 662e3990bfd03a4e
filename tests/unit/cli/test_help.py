"""The help of each command on a narrow terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from image_similarity.cli.main import app, narrow


def commands_of(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, each in getattr(group, "commands", {}).items():
        yield (*words, name), each
        yield from commands_of(each, *words, name)


def test_it_cuts_nothing_that_is_to_be_copied(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    program = narrow(typer.main.get_command(app))
    for words, each in commands_of(program):
        program.main([*words, "--help"], prog_name="image-similarity", standalone_mode=False)
        shown = capsys.readouterr().out
        assert "…" not in shown, words
        # That of --help itself.
        assert shown.count("<bool>") == 1, words
        options = [option for option in each.params if not getattr(option, "hidden", False)]
        pieces = {name for option in options for name in option.opts if name.startswith("--")}
        for option in options:
            pieces |= set(re.findall(r"https?://\S+|[A-Z]+(?:_[A-Z]+)+", option.help or ""))
        assert [piece for piece in pieces if piece.strip(".,;") not in shown] == [], words
