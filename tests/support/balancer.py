"""The real HAProxy with the repository's configuration, in front of toy replicas; all on free ports of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.paths import REPOSITORY
from tests.support.servers import ONCE, PATIENCE, Program, answers, environment, free_port, start_program, wait_for

CONFIGURATION = REPOSITORY / "haproxy" / "haproxy.cfg"

NOWHERE = "127.0.0.1:1"
"""Nothing listens there."""


class Replica:
    """A toy replica, a process of its own, that can be killed, drained and started again on the same port."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self._process: Program | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        # Without coverage, which costs crowds much: no line of the package is run here that others do not run.
        env = {name: value for name, value in environment({}).items() if not name.startswith("COVERAGE_PROCESS")}
        arguments = (str(self.port), self.name)
        self._process = start_program("tests.support.fake_replica", *arguments, env=env, log=Path(os.devnull))
        wait_for(lambda: answers(f"http://127.0.0.1:{self.port}/api/v1/ready"), f"{self.name} does not start")

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process
        self._process.kill()
        self._process.wait(PATIENCE)

    def stop(self) -> None:
        """Ask it to drain, and wait until it has gone."""
        assert self._process
        self._process.terminate()
        self._process.wait(PATIENCE)

    def turn(self) -> None:
        """Turn it not ready, or back."""
        assert self._process
        self._process.send_signal(signal.SIGUSR1)


class Balancer:
    """A running HAProxy."""

    def __init__(self, replicas: list[Replica], log: Path, process: subprocess.Popen[bytes], api: int, stats: int):
        self.replicas = replicas
        self.url = f"http://127.0.0.1:{api}"
        self.statistics = f"http://127.0.0.1:{stats}"
        self.log = log
        self.process = process

    def rows(self) -> list[dict[str, str]]:
        """Return the balancer's statistics of each replica that was started."""
        started = {replica.name for replica in self.replicas}
        return [row for row in statistics_of(self.statistics) if row["svname"] in started]

    def states(self) -> dict[str, str]:
        """Return what the balancer thinks of each replica: UP, DOWN, or on the way (`UP 1/2`)."""
        return {row["svname"]: row["status"] for row in self.rows()}

    def soft_stop(self) -> None:
        """Tell it to finish what it has, and go."""
        self.process.send_signal(signal.SIGUSR1)

    def wait_until(self, replica: Replica, state: str) -> None:
        """Wait until the balancer has noticed."""
        wait_for(lambda: self.states()[replica.name] == state, f"{replica.name} does not become {state}")


@contextmanager
def running_balancer(folder: Path, *, replicas: int = 3, **variables: str) -> Iterator[Balancer]:
    """Start toy replicas and HAProxy; all of them are up when the block begins and gone when it ends."""
    with ExitStack() as cleanup:
        toys = [Replica(f"replica-{number + 1}") for number in range(replicas)]
        for toy in toys:
            cleanup.callback(toy.kill)
            toy.start()
        api, stats = free_port(), free_port()
        env = {
            **os.environ,
            # Without a value a stranger on the standard port would take part.
            **{f"REPLICA_{number}": NOWHERE for number in (1, 2, 3)},
            **{f"REPLICA_{number + 1}": f"127.0.0.1:{toy.port}" for number, toy in enumerate(toys)},
            "API_BIND": f"127.0.0.1:{api}",
            "STATS_BIND": f"127.0.0.1:{stats}",
            **variables,
        }
        log = folder / "haproxy.log"
        with log.open("wb") as out:
            process = subprocess.Popen(["haproxy", "-db", "-f", CONFIGURATION], env=env, stdout=out, stderr=out)
        cleanup.callback(process.wait, PATIENCE)
        cleanup.callback(process.kill)
        balancer = Balancer(toys, log, process, api, stats)
        wait_for(
            lambda: process.poll() is not None or answers(f"{balancer.statistics}/metrics"), "haproxy does not start"
        )
        assert process.poll() is None, log.read_text()
        for toy in toys:
            balancer.wait_until(toy, "UP")
        # A request that meets two of them before the balancer has noticed finds no replica.
        absent = {f"replica-{number}" for number in (1, 2, 3) if env[f"REPLICA_{number}"] == NOWHERE}
        wait_for(
            lambda: (
                not any(
                    row["svname"] in absent and row["status"].startswith("UP")
                    for row in statistics_of(balancer.statistics)
                )
            ),
            "replicas that are not there stay up",
        )
        yield balancer


def statistics_of(url: str) -> list[dict[str, str]]:
    """Return the rows of a balancer's statistics, by column; `url` is that of its statistics page."""
    lines = ONCE.get(f"{url}/;csv").text.splitlines()
    names = lines[0].removeprefix("# ").split(",")
    return [dict(zip(names, line.split(","), strict=False)) for line in lines[1:]]
