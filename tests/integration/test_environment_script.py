"""Which torch scripts/environment.sh installs, on machines that this one is not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "environment.sh"


def installed(folder: Path, system: str, machine: str, *, gpu: bool = False) -> list[str]:
    """Return what pip was asked for, with a `uname` and an `nvidia-smi` that say so, and a pip that only notes."""
    tools, venv = folder / "tools", folder / ".venv" / "bin"
    for place in (tools, venv):
        place.mkdir(parents=True)
    says = {tools / "uname": f'case "$1" in -s) echo {system};; *) echo {machine};; esac'}
    says[tools / "nvidia-smi"] = "echo GPU 0" if gpu else "exit 1"
    says[venv / "python"] = "exit 1"
    says[venv / "pip"] = f'echo "$@" >>{folder}/asked'
    for path, text in says.items():
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    subprocess.run(
        ["bash", "-euc", f". {SCRIPT}; install_torch"],
        cwd=folder,
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        check=True,
        capture_output=True,
    )
    return (folder / "asked").read_text().split("\n")[:-1]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_linux_without_a_gpu_gets_the_cpu_build(tmp_path: Path, machine: str) -> None:
    [asked] = installed(tmp_path, "Linux", machine)
    assert asked.endswith("+cpu")


@pytest.mark.parametrize(("system", "gpu"), [("Darwin", False), ("Linux", True)])
def test_macos_and_a_gpu_get_the_default_build(tmp_path: Path, system: str, gpu: bool) -> None:
    [asked] = installed(tmp_path, system, "arm64", gpu=gpu)
    assert asked.split()[-1] == "torch"
