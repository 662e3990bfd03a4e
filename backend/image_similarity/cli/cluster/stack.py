"""A cluster in a folder: its services, how they are started, and how every process is stopped again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from image_similarity.cli.cluster import qdrant, services
from image_similarity.cli.cluster.processes import Process, start
from image_similarity.cli.cluster.qdrant import Source
from image_similarity.cli.cluster.services import LOOPBACK, Check, Service
from image_similarity.domain.errors import InvalidRequest, StoreUnavailable

READY_SECONDS = 180
"""How long a service may take to be ready; loading a large model takes longest."""

DEFAULT_PORTS = {"api": 8080, "stats": 8081, "replica-1": 8001, "replica-2": 8002, "replica-3": 8003}
"""Ports that people use; all other ports are any free ones."""


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """The configuration of a cluster."""

    qdrant: Source
    replicas: int = 3
    workers: int = 1
    ports: Mapping[str, int] = field(default_factory=dict)
    """Port by name, as in DEFAULT_PORTS; a service without an entry gets a free port."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Settings of replicas and workers; settings that the cluster decides override them."""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that was started."""

    name: str
    stage: int
    """Services of one stage are started together; they need the services of earlier stages."""
    process: Process
    log: Path

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process.alive


class Cluster:
    """The services of one folder. The processes outlive this object; another object for the folder finds them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._state = self.folder / "cluster.json"

    @property
    def ports(self) -> dict[str, int]:
        """Return the port of each part; empty if nothing was started."""
        ports: dict[str, int] = self._read().get("ports", {})
        return ports

    @property
    def url(self) -> str:
        """Return the URL of the balancer."""
        return f"http://{LOOPBACK}:{self.ports['api']}"

    @property
    def qdrant(self) -> list[str]:
        """Return the REST URL of each started Qdrant node; empty if a server was given."""
        return qdrant.addresses(self.plan.qdrant, self.ports)

    @property
    def plan(self) -> ClusterPlan:
        """Return the last started plan. Raises InvalidRequest if there is none, or if an earlier version started it."""
        fields = self._read().get("plan", {})
        if "qdrant" not in fields:
            raise InvalidRequest(
                f"No cluster of this version was started in {self.folder}: run `cluster down` and `up`."
            )
        source = {**fields["qdrant"], "stand_in": tuple(fields["qdrant"]["stand_in"])}
        return ClusterPlan(**{**fields, "qdrant": Source(**source)})

    def running(self) -> list[Running]:
        """Return every service that was started, in the order of the starts, alive or not."""
        return [
            Running(entry["name"], entry["stage"], Process(**entry["process"]), Path(entry["log"]))
            for entry in self._read().get("started", [])
        ]

    def up(self, plan: ClusterPlan, *, on_step: Callable[[str], None] = lambda _: None) -> None:
        """Start all services and wait until they are ready; if one fails, stop them all again.

        Raises InvalidRequest if a program is missing, a port is taken, or the cluster is up already;
        StoreUnavailable, with the end of its log, if a service does not become ready.
        """
        if any(service.alive for service in self.running()):
            raise InvalidRequest(
                f"A cluster runs in {self.folder}; stop it first: image-similarity cluster down --dir {self.folder}"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = _choose_ports(plan, self.ports)
        stages = self._stages(plan, ports)
        self._write({"plan": asdict(plan), "ports": ports, "started": []})
        try:
            for number, stage in enumerate(stages):
                self._start(number, stage, on_step)
        except BaseException:
            self.down()
            raise

    def restart(self, name: str) -> None:
        """Stop a service with SIGTERM, and start it again. Raises InvalidRequest, and as `up`."""
        self.stop(name)
        self.start(name)

    def stop(self, name: str) -> None:
        """Stop one service with SIGTERM. Raises InvalidRequest if there is no service with that name."""
        self._find(name).process.stop()

    def kill(self, name: str) -> None:
        """Kill one service, as a power cut would. Raises InvalidRequest if there is no service with that name."""
        self._find(name).process.kill()

    def start(self, *names: str) -> None:
        """Start services again, unchanged and at once, and wait until they are ready. Raises as `up`."""
        for name in names:
            self._find(name)
        for number, stage in enumerate(self._stages(self.plan, self.ports)):
            self._start(number, [service for service in stage if service.name in names], lambda _: None)

    def down(self) -> None:
        """Stop every service, the later stages first; harmless if nothing runs."""
        stages = [list(stage) for _, stage in groupby(self.running(), key=lambda service: service.stage)]
        for stage in reversed(stages):
            with ThreadPoolExecutor(len(stage)) as stopping:
                list(stopping.map(lambda service: service.process.stop(), stage))

    def _stages(self, plan: ClusterPlan, ports: dict[str, int]) -> list[list[Service]]:
        """Return the services in groups; each group is ready before the next one starts."""
        folders = {name: self.folder / name for name in ("redis", "rabbitmq", "data")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        base = [
            services.redis(ports["redis"], folders["redis"]),
            services.epmd(ports["epmd"]),
            services.rabbitmq(ports["rabbitmq"], ports["distribution"], ports["epmd"], folders["rabbitmq"]),
            *qdrant.services(plan.qdrant, ports, self.folder),
        ]
        env = {
            **qdrant.defaults(plan.qdrant),
            **plan.env,
            **qdrant.decided(plan.qdrant, ports),
            "DATA_DIR": str(folders["data"]),
            "STORAGE_URL": f"file://{folders['data'] / 'images'}",
            "REDIS_URL": f"redis://{LOOPBACK}:{ports['redis']}",
            "BROKER_URL": f"amqp://guest:guest@{LOOPBACK}:{ports['rabbitmq']}/",
            # Two different models in one cluster would be worse than a replica that does not start.
            "MODEL_FALLBACK": "false",
            # The balancer checks twice, half a second apart, before it takes a replica out.
            "DRAIN_SECONDS": "2",
        }
        replica_ports = [ports[f"replica-{number}"] for number in range(1, plan.replicas + 1)]
        ours = [services.replica(number, port, env) for number, port in enumerate(replica_ports, start=1)]
        ours += [services.worker(number, ports[f"worker-{number}"], env) for number in range(1, plan.workers + 1)]
        limits = {name: value for name, value in plan.env.items() if name in services.BALANCER_SETTINGS}
        balancer = services.haproxy(ports["api"], ports["stats"], replica_ports, limits)
        return [base, ours, [balancer]]

    def _start(self, number: int, stage: Sequence[Service], on_step: Callable[[str], None]) -> None:
        started: list[str] = []
        for service in stage:
            if service.needs is not None:
                on_step(f"Waiting for what {service.name} joins")
                self._wait(service.needs, started, f"what {service.name} joins")
            on_step(f"Starting {service.name}")
            for path, text in service.files.items():
                path.write_text(text)
            log = self.folder / "logs" / f"{service.name}.log"
            process = start(service.command, env=_environment(service), folder=self.folder, log=log)
            self._remember(Running(service.name, number, process, log))
            started.append(service.name)
        for service in stage:
            on_step(f"Waiting for {service.name}")
            self._wait(service.ready, [service.name], service.name)

    def _wait(self, condition: Check, watched: Sequence[str], what: str) -> None:
        """Wait for a condition. Raises StoreUnavailable after READY_SECONDS, or if one of `watched` ends before."""
        services = [self._find(name) for name in watched]
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            for service in services:
                if not service.alive:
                    raise StoreUnavailable(f"{service.name} ended; the end of {service.log}:\n{_tail(service.log)}")
            if time.monotonic() > deadline:
                logs = "\n".join(f"the end of {service.log}:\n{_tail(service.log)}" for service in services)
                raise StoreUnavailable(f"{what} did not become ready in time; {logs}")
            time.sleep(0.1)

    def _find(self, name: str) -> Running:
        for service in self.running():
            if service.name == name:
                return service
        raise InvalidRequest(
            f'There is no service "{name}" in {self.folder}; see: image-similarity cluster status --dir {self.folder}'
        )

    def _remember(self, running: Running) -> None:
        state = self._read()
        entry = {**asdict(running), "log": str(running.log)}
        # A restarted service keeps its place in the order.
        started = {known["name"]: known for known in state["started"]} | {running.name: entry}
        self._write({**state, "started": list(started.values())})

    def _read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = orjson.loads(self._state.read_bytes())
        except FileNotFoundError:
            return {}
        return state

    def _write(self, state: dict[str, Any]) -> None:
        draft = self._state.with_suffix(".tmp")
        # Readable for its owner only, because the settings in it hold keys.
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2))
        draft.rename(self._state)


def _choose_ports(plan: ClusterPlan, before: Mapping[str, int]) -> dict[str, int]:
    names = ["api", "stats", "redis", "epmd", "rabbitmq", "distribution", *qdrant.port_names(plan.qdrant)]
    names += [f"replica-{number}" for number in range(1, plan.replicas + 1)]
    names += [f"worker-{number}" for number in range(1, plan.workers + 1)]
    for name, port in plan.ports.items():
        if not services.is_free(port):
            raise InvalidRequest(f"Port {port}, for {name}, is taken; use --free-ports, or stop what listens there.")
    kept = {name: before[name] for name in names if qdrant.is_lasting(name) and name in before}
    for name, port in kept.items():
        if not services.is_free(port):
            raise InvalidRequest(
                f"Port {port}, by which the other nodes know {name}, is taken: stop what listens there, or begin anew "
                "in another --dir."
            )
    free = iter(services.free_ports(len(names)))
    return {name: plan.ports.get(name) or kept.get(name) or next(free) for name in names}


def _environment(service: Service) -> dict[str, str]:
    # All other variables of the shell are dropped: some services would read them and contradict the cluster's settings.
    kept = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV", "HF_", "COVERAGE", "TMPDIR", "LD_LIBRARY_PATH")
    return {**{name: value for name, value in os.environ.items() if name.startswith(kept)}, **service.env}


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
