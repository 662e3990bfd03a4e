"""Copy a Qdrant collection to a bucket or folder, and back.

snapshots.py backup           every node makes a snapshot of its shards, which is streamed to SNAPSHOT_URL and removed
snapshots.py list             the backups there, oldest first
snapshots.py restore BACKUP   every node restores its own snapshot, which replaces the present collection

SNAPSHOT_NODES (comma-separated URLs, in the order of their numbers) is the source, SNAPSHOT_URL the target, and
SNAPSHOT_KEEP the number of backups to keep. It runs in the program's image, whose settings name the collection and its
key.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import obstore
from obstore.store import ObjectStore

from image_similarity.settings import Settings
from image_similarity.storage.objects import open_store

COMPLETE = "complete"
"""Written last: a backup without it was interrupted and is incomplete."""

MEGABYTE = 2**20


class Snapshots:
    """The nodes on one side, the backups on the other."""

    def __init__(self, nodes: list[httpx.Client], collection: str, store: ObjectStore) -> None:
        self._nodes = nodes
        self._path = f"/collections/{collection}/snapshots"
        self._store = store

    def backup(self, name: str, *, keep: int) -> None:
        """Make a backup, then drop the oldest beyond `keep`."""
        for number, node in enumerate(self._nodes):
            made = node.post(self._path, params={"wait": "true"}).raise_for_status().json()["result"]["name"]
            try:
                with node.stream("GET", f"{self._path}/{made}") as answer:
                    answer.raise_for_status()
                    obstore.put(self._store, _place(name, number), answer.iter_bytes(8 * MEGABYTE))
            finally:
                node.delete(f"{self._path}/{made}", params={"wait": "true"}).raise_for_status()
            say(f"{node.base_url} is in {_place(name, number)}")
        obstore.put(self._store, f"{name}/{COMPLETE}", str(len(self._nodes)).encode())
        for old in self.names()[:-keep]:
            obstore.delete(self._store, [entry["path"] for entry in self._entries() if _name(entry["path"]) == old])
            say(f"{old} was dropped, for {keep} are kept")

    def names(self) -> list[str]:
        """Return the complete backups, oldest first."""
        return sorted(_name(entry["path"]) for entry in self._entries() if entry["path"].endswith(f"/{COMPLETE}"))

    def restore(self, name: str) -> None:
        """Restore a backup. Raises SystemExit if it does not exist, or is of another number of nodes."""
        if name not in self.names():
            raise SystemExit(f"There is no complete backup {name!r}; there are: {', '.join(self.names()) or 'none'}")
        made_of = int(bytes(obstore.get(self._store, f"{name}/{COMPLETE}").bytes()))
        if made_of != len(self._nodes):
            raise SystemExit(f"The backup is of {made_of} nodes; SNAPSHOT_NODES names {len(self._nodes)}.")
        for number, node in enumerate(self._nodes):
            with tempfile.TemporaryFile(dir=os.environ.get("SNAPSHOT_SPACE")) as file:
                for part in obstore.get(self._store, _place(name, number)).stream(min_chunk_size=8 * MEGABYTE):
                    file.write(part)
                file.seek(0)
                upload = {"snapshot": (f"node-{number}.snapshot", file)}
                node.post(
                    f"{self._path}/upload", params={"priority": "snapshot", "wait": "true"}, files=upload
                ).raise_for_status()
            say(f"{node.base_url} has its part of {name} again")

    def _entries(self) -> Iterator[dict[str, str]]:
        for page in obstore.list(self._store):
            yield from page  # type: ignore[misc]


def main(command: str = "", name: str = "") -> None:
    """Run one command."""
    settings = Settings()
    key = settings.qdrant_api_key
    headers = {"api-key": key.get_secret_value()} if key else {}
    urls = os.environ["SNAPSHOT_NODES"].split(",")
    # Making a snapshot of a large collection takes minutes.
    nodes = [httpx.Client(base_url=url, headers=headers, timeout=httpx.Timeout(3600, connect=10)) for url in urls]
    store = open_store(os.environ["SNAPSHOT_URL"], default=Path("snapshots"))
    snapshots = Snapshots(nodes, settings.qdrant_collection_name, store)
    if command == "backup":
        snapshots.backup(datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ"), keep=int(os.environ["SNAPSHOT_KEEP"]))
    elif command == "list":
        say("\n".join(snapshots.names()))
    elif command == "restore" and name:
        snapshots.restore(name)
    else:
        raise SystemExit(__doc__)


def say(text: str) -> None:
    """Tell the operator at once."""
    print(text, flush=True)  # noqa: T201


def _place(name: str, number: int) -> str:
    return f"{name}/node-{number}.snapshot"


def _name(path: str) -> str:
    return path.partition("/")[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
