"""The services of a cluster: how each is started, and how to check that it is ready."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from image_similarity.domain.errors import InvalidRequest

Check = Callable[[], bool]

LOOPBACK = "127.0.0.1"

MOST_REPLICAS = 3
"""As many as haproxy.cfg has."""

BALANCER_SETTINGS = ("MAX_BODY_BYTES", "MAX_BATCH_BYTES", "BALANCE", "BUFFER_BYTES")
"""Variables that haproxy.cfg reads from the environment, besides addresses."""

_PORTS = range(20_000, 32_000)

# Debian's launcher; the one in /usr/sbin refuses to run as the current user.
_RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


@dataclass(frozen=True, slots=True)
class Service:
    """A process to start."""

    name: str
    command: tuple[str, ...]
    ready: Check
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables in addition to PATH and the like."""
    files: Mapping[Path, str] = field(default_factory=dict)
    """Configuration files, written before it starts."""
    needs: Check | None = None
    """A check that must hold before it is started, in addition to the readiness of the earlier stages."""


def redis(port: int, folder: Path) -> Service:
    """Return Redis with an append-only file."""
    return Service(
        "redis",
        (
            _program("redis-server"),
            *("--bind", LOOPBACK, "--port", str(port), "--dir", str(folder)),
            *("--appendonly", "yes", "--save", ""),
        ),
        ready=lambda: _says(port, b"PING\r\n", b"+PONG"),
    )


def epmd(port: int) -> Service:
    """Return Erlang's name server. RabbitMQ would start one itself, which would keep running after `down`."""
    return Service("epmd", (_program("epmd"),), ready=lambda: _listens(port), env=_erlang(port))


def rabbitmq(port: int, distribution_port: int, epmd_port: int, folder: Path) -> Service:
    """Return a RabbitMQ node for this cluster alone; it does not touch other nodes on the machine."""
    config, plugins = folder / "rabbitmq.conf", folder / "enabled_plugins"
    return Service(
        "rabbitmq",
        (str(_RABBITMQ) if _RABBITMQ.exists() else _program("rabbitmq-server"),),
        ready=lambda: _says(port, b"AMQP\x00\x00\x09\x01", b"\x01"),
        env={
            **_erlang(epmd_port),
            "HOME": str(folder),
            # The name of its data folder: with another name, the node would lose its queues. It is alone in its name
            # server, so other clusters may use the same name.
            "RABBITMQ_NODENAME": "image-similarity@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            # Otherwise its schedulers would spin while they wait, on cores that the model needs.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        },
        files={config: "disk_free_limit.absolute = 50MB\n", plugins: "[].\n"},
    )


def replica(number: int, port: int, env: Mapping[str, str]) -> Service:
    """Return one API server."""
    return Service(
        f"replica-{number}",
        (*_ours(), "serve", "--port", str(port)),
        ready=lambda: answers(f"http://{LOOPBACK}:{port}/api/v1/ready"),
        env=env,
    )


def worker(number: int, port: int, env: Mapping[str, str]) -> Service:
    """Return one worker of bulk jobs, with its probes on `port`."""
    return Service(
        f"worker-{number}",
        (*_ours(), "worker"),
        ready=lambda: answers(f"http://{LOOPBACK}:{port}/api/v1/ready"),
        env={**env, "WORKER_PORT": str(port)},
    )


def haproxy(port: int, stats_port: int, replica_ports: list[int], limits: Mapping[str, str]) -> Service:
    """Return the balancer; `limits` are the BALANCER_SETTINGS that differ from its defaults."""
    # Nothing listens on port 1. The default address might belong to another program on this machine.
    replicas = {f"REPLICA_{number}": f"{LOOPBACK}:1" for number in range(1, MOST_REPLICAS + 1)}
    replicas |= {f"REPLICA_{number}": f"{LOOPBACK}:{at}" for number, at in enumerate(replica_ports, start=1)}
    return Service(
        "haproxy",
        (_program("haproxy"), "-db", "-f", str(_balancer_config())),
        ready=lambda: answers(f"http://{LOOPBACK}:{port}/api/v1/ready"),
        env={"API_BIND": f"{LOOPBACK}:{port}", "STATS_BIND": f"{LOOPBACK}:{stats_port}", **replicas, **limits},
    )


def _balancer_config() -> Path:
    """Return haproxy.cfg: the one of this checkout, or the copy in an installed package.

    Raises InvalidRequest if there is neither.
    """
    for found in (
        Path(__file__).parents[4] / "haproxy" / "haproxy.cfg",
        Path(str(files("image_similarity"))) / "haproxy.cfg",
    ):
        if found.is_file():
            return found
    raise InvalidRequest("haproxy/haproxy.cfg is not there; run this in a checkout of the project.")


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that are free.

    They are below the ports of outgoing connections, so that no connection takes the port of a stopped service.
    """
    free = filter(is_free, random.sample(_PORTS, len(_PORTS)))
    return list(itertools.islice(free, count))


def is_free(port: int) -> bool:
    """Return whether a service can listen on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _ours() -> tuple[str, ...]:
    return (sys.executable, "-m", "image_similarity")


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        package = {"epmd": "rabbitmq-server"}.get(name, name)
        raise InvalidRequest(f"{name} is not installed. On Debian and Ubuntu: sudo apt-get install {package}")
    return found


def _erlang(epmd_port: int) -> dict[str, str]:
    return {"ERL_EPMD_PORT": str(epmd_port), "ERL_EPMD_ADDRESS": LOOPBACK}


def answers(url: str) -> bool:
    """Return whether a GET of the URL is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - http on this machine
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2):
            return True
    except OSError:
        return False


def _says(port: int, question: bytes, answer: bytes) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
            connection.sendall(question)
            return connection.recv(64).startswith(answer)
    except OSError:
        return False
