"""Real servers on free ports of this machine."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from image_similarity.api.app import create_app
from image_similarity.bootstrap.engine import build_engine
from image_similarity.bootstrap.http_protocol import SingleWriteProtocol
from image_similarity.bootstrap.jobs import build_jobs
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.settings import Settings
from image_similarity.telemetry.tracing import Tracing
from tests.support import preloaded

API = "/api/v1"

Program = preloaded.Program | subprocess.Popen[bytes]
"""A process that a test started, and can ask, end and wait for."""

PATIENCE = 300
"""Seconds after which a server that does not answer has failed; nothing is ever this slow."""

ONCE = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
"""Asks anybody once. `httpx.get` would do too, but reads certificates for 20 ms each time: whoever waits for a server
to start, by asking again and again, takes the processor from it."""


@dataclass(frozen=True)
class RunningServer:
    url: str
    http: httpx.Client
    engine: SearchEngine
    settings: Settings
    loop: asyncio.AbstractEventLoop
    """Of the server's thread."""

    def index(self, image: bytes, **fields: str) -> dict[str, Any]:
        answer = self.http.post("/index", files={"image": ("x", image)}, data=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def search(self, image: bytes, **fields: str) -> dict[str, Any]:
        answer = self.http.post("/search", files={"image": ("x", image)}, data=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()


def make_settings(data_dir: Path, model: Path | str, **overrides: Any) -> Settings:
    """Return settings that no file and no variable of the machine has a part in.

    Decoders in processes of their own and waiting for the disk have tests of their own; here they would take time only.
    """
    quick = {"decode_isolation": "thread", "durability": "process"}
    given = {"data_dir": data_dir, "model_name": str(model), "device": "cpu", **quick, **overrides}
    return Settings(_env_file=None, **given)


@contextmanager
def running_server(settings: Settings, tracing: Tracing | None = None) -> Iterator[RunningServer]:
    """Serve in a thread of this process, through a real socket."""
    ready = threading.Event()
    state: dict[str, Any] = {}

    async def serve() -> None:
        engine = await build_engine(settings)
        app = create_app(engine, settings, build_jobs(settings, engine), tracing)
        server = uvicorn.Server(
            uvicorn.Config(app, port=0, log_config=None, http=SingleWriteProtocol, proxy_headers=False)
        )
        state.update(engine=engine, server=server, loop=asyncio.get_running_loop())
        serving = asyncio.ensure_future(server.serve())
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.01)
        ready.set()
        await serving

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            state["error"] = error
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(PATIENCE), "the server did not start"
    if "error" in state:
        raise state["error"]
    port = state["server"].servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url + API, timeout=PATIENCE) as client:
            yield RunningServer(url, client, state["engine"], settings, state["loop"])
    finally:
        state["server"].should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server did not stop"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*arguments: str | Path) -> list[str]:
    return [str(Path(sys.executable).with_name("image-similarity")), *map(str, arguments)]


def environment(env: dict[str, str]) -> dict[str, str]:
    """Return this process's environment with `env`, without settings of whoever runs the tests."""
    own = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return {**own, **preloaded.SAME_FOR_ALL, **env}


def refusal(env: dict[str, str], log: Path) -> str:
    """Run a server that does not start with these settings; returns all that it says."""
    server = start_program("image_similarity", "serve", "--port", "0", env=environment(env), log=log)
    assert server.wait(PATIENCE) == 1, log.read_text()
    said = log.read_text()
    assert "Traceback" not in said
    return said


@contextmanager
def server_process(port: int, env: dict[str, str], log: Path) -> Iterator[Program]:
    """Run `image-similarity serve` as a process of its own, ready when the block begins, gone when it ends.

    It decodes in threads unless `env` says otherwise: each process that decodes has to be loaded anew.
    """
    env = environment({"DECODE_ISOLATION": "thread", **env})
    process = start_program("image_similarity", "serve", "--port", str(port), env=env, log=log)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process, log)
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def start_program(module: str, *arguments: str, env: dict[str, str], log: Path, folder: Path | None = None) -> Program:
    """Start `python -m MODULE ARGUMENTS`, whose output is appended to `log`; loaded anew only where it has to be."""
    with log.open("ab") as out:
        if preloaded.suits(env):
            return preloaded.start(module, *arguments, env=env, out=out, folder=folder)
        called = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(called, env=env, cwd=folder, stdout=out, stderr=out)


def answers(url: str) -> bool:
    """Tell whether a GET is answered with 200 there."""
    try:
        return ONCE.get(url).status_code == 200
    except httpx.TransportError:
        return False


def wait_for(condition: Callable[[], object], failure: str) -> None:
    """Wait until it holds; fail where it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, failure
        time.sleep(0.05)


async def answer_becomes(expected: object, ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until the answer is this one; fail, with the last one, where it never is."""
    deadline = time.monotonic() + PATIENCE
    while (told := await ask()) != expected and time.monotonic() < deadline:  # noqa: ASYNC110 - there is nothing to be told by
        await asyncio.sleep(0.05)
    assert told == expected


def wait_until_ready(url: str, process: Program, log: Path) -> None:
    wait_until_answers(f"{url}{API}/ready", process, log)


def wait_until_answers(url: str, process: Program, log: Path) -> None:
    """Wait for the process to serve that address; fail, with its log, where it ends or never does."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        if answers(url):
            return
        time.sleep(0.05)
    raise AssertionError(f"not ready after {PATIENCE} s: {log.read_text()}")
