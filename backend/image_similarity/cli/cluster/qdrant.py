"""Qdrant in a cluster: the program, its nodes, how a node joins the others, and the settings of the replicas."""

from __future__ import annotations

import shlex
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from image_similarity.cli.cluster.services import LOOPBACK, Service, answers
from image_similarity.domain.errors import InvalidRequest

NODES = 3
"""Default number of nodes: if one of three is down, the other two still have a majority."""

_RAFT_STATE = "raft_state.json"
"""File in a node's storage once it belongs to a cluster; Qdrant then ignores `--bootstrap`."""


@dataclass(frozen=True, slots=True)
class Source:
    """The source of Qdrant; one of `url`, `binary` and `stand_in` is set."""

    url: str | None = None
    """Servers that run already, in the form of QDRANT_URL."""
    binary: str | None = None
    """The program; `nodes` of it are started."""
    nodes: int = NODES
    stand_in: tuple[str, ...] = ()
    """A command that acts as one node of Qdrant; `{port}`, `{grpc_port}` and `{folder}` are filled in."""

    @property
    def starts(self) -> int:
        """Return how many services of the cluster it becomes."""
        return 0 if self.url else 1 if self.stand_in else self.nodes


def choose(url: str | None, binary: str | None, stand_in: str | None, *, nodes: int = NODES) -> Source:
    """Return the given server, else the program given or on the PATH, else the stand-in.

    Raises InvalidRequest if there is none of them, or if the given program cannot be run.
    """
    if url:
        return Source(url=url)
    if found := shutil.which(binary or "qdrant"):
        # Absolute, because nodes run in the cluster's folder. Links are not resolved: an upgrade may change one.
        return Source(binary=str(Path(found).absolute()), nodes=nodes)
    if binary:
        raise InvalidRequest(f"{binary} (QDRANT_BINARY) is not a program that can be run.")
    if stand_in:
        return Source(stand_in=tuple(shlex.split(stand_in)))
    raise InvalidRequest(
        "No Qdrant was found: give a server with --qdrant-url, or a program with QDRANT_BINARY or as `qdrant` on the "
        "PATH. In a checkout, scripts/stand_in_cluster.py takes a stand-in instead."
    )


def port_names(source: Source) -> list[str]:
    """Return the names of the ports: REST, gRPC and, if there are several nodes, the port for their own traffic."""
    kinds = ("", "-grpc") if source.starts == 1 else ("", "-grpc", "-p2p")
    return [f"{name}{kind}" for name in _names(source) for kind in kinds]


def is_lasting(port_name: str) -> bool:
    """Return whether a port must survive `down` and `up`: the nodes store each other's p2p port."""
    return port_name.endswith("-p2p")


def services(source: Source, ports: Mapping[str, int], folder: Path) -> list[Service]:
    """Return the nodes in the order of their start; each has a folder with its name below `folder`."""
    if source.stand_in:
        values = {"port": ports["qdrant"], "grpc_port": ports["qdrant-grpc"], "folder": folder / "qdrant"}
        return [_node("qdrant", tuple(part.format(**values) for part in source.stand_in), ports["qdrant"])]
    names = _names(source)
    members = [name for name in names if (folder / name / "storage" / _RAFT_STATE).is_file()]
    found = []
    for number, name in enumerate(names, start=1):
        base = folder / name
        base.mkdir(parents=True, exist_ok=True)
        environment = {
            "QDRANT__LOG_LEVEL": "INFO",
            "QDRANT__TELEMETRY_DISABLED": "true",
            "QDRANT__SERVICE__HOST": LOOPBACK,
            "QDRANT__SERVICE__HTTP_PORT": str(ports[name]),
            "QDRANT__SERVICE__GRPC_PORT": str(ports[f"{name}-grpc"]),
            "QDRANT__SERVICE__ENABLE_STATIC_CONTENT": "false",
            "QDRANT__STORAGE__STORAGE_PATH": str(base / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(base / "snapshots"),
            "QDRANT_INIT_FILE_PATH": str(base / ".qdrant-initialized"),
        }
        command: tuple[str, ...] = (str(source.binary),)
        needs = None
        if len(names) > 1:
            p2p = {member: f"http://{LOOPBACK}:{ports[f'{member}-p2p']}" for member in names}
            environment |= {
                "QDRANT__CLUSTER__ENABLED": "true",
                "QDRANT__CLUSTER__P2P__PORT": str(ports[f"{name}-p2p"]),
            }
            command = (*command, "--uri", p2p[name])
            # A node that has lost its folder joins through a remaining node; this includes the first node.
            host = next((member for member in members if member != name), names[0])
            if host != name and name not in members:
                needs = _Joinable(ports[host], nodes=len({*members, *names[: number - 1]} - {name}))
            if host != name and (number > 1 or name not in members):
                command = (*command, "--bootstrap", p2p[host])
        found.append(_node(name, command, ports[name], environment, needs))
    return found


def addresses(source: Source, ports: Mapping[str, int]) -> list[str]:
    """Return the URL of the REST interface of each started node."""
    return [f"http://{LOOPBACK}:{ports[name]}" for name in _names(source)]


def defaults(source: Source) -> dict[str, str]:
    """Return settings of replicas and workers that suit the started nodes; settings of the shell override them."""
    if source.starts < NODES:
        return {}
    return {"QDRANT_SHARD_NUMBER": "3", "QDRANT_REPLICATION_FACTOR": "2"}


def decided(source: Source, ports: Mapping[str, int]) -> dict[str, str]:
    """Return settings of replicas and workers that follow from the started nodes; for given servers only the URL."""
    if source.url:
        return {"QDRANT_URL": source.url}
    rest, grpc = addresses(source, ports), [str(ports[f"{name}-grpc"]) for name in _names(source)]
    if source.starts == 1:
        return {"QDRANT_URL": rest[0], "QDRANT_GRPC_PORT": grpc[0]}
    nodes = [f"{address}?grpc_port={port}" for address, port in zip(rest, grpc, strict=True)]
    return {"QDRANT_URL": ",".join(nodes), "QDRANT_EXPECTED_PEERS": str(source.starts)}


def describe(source: Source) -> str:
    """Return a short description of the source for people."""
    if source.stand_in:
        return "a stand-in in one process, not Qdrant: it shows nothing about Qdrant's copies, speed or failures"
    if source.url:
        return f"{source.url}, which was not started here"
    return f"{source.nodes} node{'s' if source.nodes > 1 else ''} of {source.binary}"


@dataclass(frozen=True, slots=True)
class _Joinable:
    """A check whether another node can join through the one at `port`: a leader decides the joins one by one."""

    port: int
    nodes: int
    """How many nodes it must know before that, itself included."""

    def __call__(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/cluster", timeout=2) as answer:
                cluster = orjson.loads(answer.read())["result"]
            return len(cluster["peers"]) >= self.nodes and cluster["raft_info"]["leader"] is not None
        except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError):
            return False


def _names(source: Source) -> list[str]:
    return ["qdrant"] if source.stand_in else [f"qdrant-{number}" for number in range(1, source.starts + 1)]


def _node(
    name: str,
    command: tuple[str, ...],
    port: int,
    env: Mapping[str, str] | None = None,
    needs: _Joinable | None = None,
) -> Service:
    return Service(name, command, ready=lambda: answers(f"http://{LOOPBACK}:{port}/readyz"), env=env or {}, needs=needs)
