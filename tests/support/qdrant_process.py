"""The Qdrant stand-in as a process of its own, to be stopped, killed and started again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from image_similarity.vectors.qdrant_server.nodes import Connection
from tests.support.paths import REPOSITORY
from tests.support.servers import PATIENCE, Program, environment, free_port, start_program, wait_until_answers


class QdrantProcess:
    """Keeps its port and its data over a restart."""

    def __init__(self, folder: Path, *, api_key: str | None = None, version: str | None = None) -> None:
        self.port, self.grpc_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._api_key = api_key
        self._version = version
        self._process: Program | None = None

    def connection(self, *, grpc: bool = False, **settings: Any) -> Connection:
        return Connection(self.url, grpc_port=self.grpc_port, prefer_grpc=grpc, **settings)

    def start(self) -> None:
        arguments = ["--port", str(self.port), "--grpc-port", str(self.grpc_port), "--data", str(self._folder / "data")]
        if self._api_key is not None:
            arguments += ["--api-key", self._api_key]
        if self._version is not None:
            arguments += ["--version", self._version]
        log = self._folder / "qdrant.log"
        module = "tests.support.qdrant_server"
        self._process = start_program(module, *arguments, env=environment({}), log=log, folder=REPOSITORY)
        wait_until_answers(f"{self.url}/readyz", self._process, log)

    def kill(self) -> None:
        """Take it away at once, as `kill -9` does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
