"""The command `image-similarity`, run in this process: loading torch anew takes seconds each time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from image_similarity.cli.main import main
from image_similarity.settings import Settings
from tests.support.logs import log_to_standard_error


@dataclass(frozen=True)
class Result:
    status: int
    stdout: str
    stderr: str


Cli = Callable[..., Result]


def make_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> Cli:
    """Return a function that runs the command with arguments and with environment variables as keywords.

    It decodes in threads unless they say otherwise: each process that decodes has to be loaded anew.
    """

    log_to_standard_error()

    def run(*arguments: str | Path, **env: str) -> Result:
        capsys.readouterr()
        handlers, level = logging.getLogger().handlers, logging.getLogger().level
        with monkeypatch.context() as patch:
            for name in Settings.model_fields:
                patch.delenv(name.upper(), raising=False)
            for name, value in {"COLUMNS": "200", "DECODE_ISOLATION": "thread", **env}.items():
                patch.setenv(name, value)
            # No .env file of whoever runs the tests.
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["image-similarity", *map(str, arguments)])
            try:
                main()
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0
            finally:
                logging.getLogger().handlers, logging.getLogger().level = handlers, level
                log_to_standard_error()
        output = capsys.readouterr()
        return Result(status, output.out, output.err)

    return run
