"""Check that all copies of each shard on the Qdrant nodes are equal.

Qdrant has no public way to read one copy. But a node answers a read from its own copy of a shard if it has an active
one and nothing is being written to it. So after the load, if all nodes return the same listing, all copies are equal.
A listing with `consistency=all` is a second check: it leaves out points on which the copies disagree.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from image_similarity.domain.errors import StoreUnavailable

PAGE = 256
"""Points per request, with their vectors: half a megabyte."""

SHOWN = 5


@dataclass
class Copies:
    """The result of a comparison; `problems` is empty if all copies exist, are active and equal."""

    nodes: int
    """How many nodes were read."""
    points: int = 0
    problems: list[str] = field(default_factory=list)


def wait_for_copies(
    nodes: Sequence[str], collection: str, *, api_key: str | None = None, patience: float = 120.0
) -> list[str]:
    """Wait until every shard has its copies, all active and none in transfer; return the problems that remain.

    Raises StoreUnavailable if a node does not answer.
    """
    clients = _clients(nodes, api_key)
    try:
        return _settled(clients, f"/collections/{collection}", patience)
    finally:
        _close(clients)


def compare(nodes: Sequence[str], collection: str, *, api_key: str | None = None, patience: float = 120.0) -> Copies:
    """Wait until no copy is in transfer, at most `patience` seconds, then compare the listings of the nodes.

    `nodes` are the REST addresses of all nodes. Raises StoreUnavailable if one of them does not answer.
    """
    clients = _clients(nodes, api_key)
    path = f"/collections/{collection}"
    try:
        copies = Copies(nodes=len(nodes))
        copies.problems += _settled(clients, path, patience)
        listings = [dict(_listing(client, path)) for client in clients]
        listings.append(dict(_listing(clients[0], path, consistency="all")))
    finally:
        _close(clients)
    copies.points = max(map(len, listings))
    if differing := _differing(listings):
        shown = ", ".join(differing[:SHOWN])
        copies.problems.append(f"The copies of {len(differing)} points differ, such as {shown}.")
    return copies


def _clients(nodes: Sequence[str], api_key: str | None) -> list[httpx.Client]:
    headers = {"api-key": api_key} if api_key else None
    return [httpx.Client(base_url=address, headers=headers, timeout=60) for address in nodes]


def _close(clients: Sequence[httpx.Client]) -> None:
    for client in clients:
        client.close()


def _settled(clients: Sequence[httpx.Client], path: str, patience: float) -> list[str]:
    """Wait at most `patience` seconds until every shard has its copies, all active; return the problems that remain."""
    deadline = time.monotonic() + patience
    while problems := _unsettled(clients, path):
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    return problems


def _unsettled(clients: Sequence[httpx.Client], path: str) -> list[str]:
    cluster = _ask(clients[0], "GET", "/cluster", absent={})
    if cluster.get("status") != "enabled":
        return []
    problems = []
    if len(cluster["peers"]) != len(clients):
        problems.append(f"{len(clients)} nodes were named, but the cluster has {len(cluster['peers'])}.")
    params = _ask(clients[0], "GET", path)["config"]["params"]
    wanted = min(int(params["replication_factor"]), len(cluster["peers"]))
    there: Counter[int] = Counter()
    for client in clients:
        seen = _ask(client, "GET", f"{path}/cluster")
        if seen["shard_transfers"]:
            problems.append(f"{client.base_url} moves {len(seen['shard_transfers'])} copies.")
        for shard in seen["local_shards"]:
            there[shard["shard_id"]] += 1
            if shard["state"] != "Active":
                problems.append(f"The copy of shard {shard['shard_id']} at {client.base_url} is {shard['state']}.")
    return problems + [
        f"Shard {shard_id} has {there[shard_id]} copies, not {wanted}."
        for shard_id in range(int(params["shard_number"]))
        if there[shard_id] != wanted
    ]


def _listing(client: httpx.Client, path: str, **parameters: str) -> Iterator[tuple[str, bytes]]:
    """Yield the id of each point, and the SHA-256 of its payload and vector."""
    offset: Any = None
    while True:
        body = {"limit": PAGE, "with_payload": True, "with_vector": True}
        page = _ask(
            client,
            "POST",
            f"{path}/points/scroll",
            params=parameters,
            json=body if offset is None else {**body, "offset": offset},
        )
        for point in page["points"]:
            content = orjson.dumps([point.get("payload"), point.get("vector")], option=orjson.OPT_SORT_KEYS)
            yield str(point["id"]), hashlib.sha256(content).digest()
        offset = page.get("next_page_offset")
        if offset is None:
            return


def _differing(listings: Sequence[dict[str, bytes]]) -> list[str]:
    every = set().union(*listings)
    return sorted(point for point in every if len({listing.get(point) for listing in listings}) > 1)


def _ask(client: httpx.Client, method: str, path: str, absent: Any = None, **content: Any) -> Any:
    try:
        answer = client.request(method, path, **content)
    except httpx.HTTPError as error:
        raise StoreUnavailable(f"Qdrant at {client.base_url} does not answer: {error!r}.") from error
    if answer.status_code == 404 and absent is not None:
        return absent
    if answer.status_code != 200:
        raise StoreUnavailable(f"Qdrant at {client.base_url}: {method} {path} answered {answer.status_code}.")
    return orjson.loads(answer.content)["result"]
