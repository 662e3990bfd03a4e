"""Stands in for the program `qdrant` where only its being started, joined, stopped and frozen is looked at.

It takes the variables and options that a node is given, joins the node it is told to as Qdrant does (or ends, as it
does, where that is not there), remembers the others in its storage, and answers /readyz and /cluster. It has no points.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class State:
    """What a node knows of the cluster, as Qdrant's `raft_state.json` is there once it belongs to one."""

    def __init__(self, storage: Path) -> None:
        self._file = storage / "raft_state.json"
        self.lock = threading.Lock()
        self.known = self._file.exists()
        self.peers: list[str] = json.loads(self._file.read_text()) if self.known else []

    def learn(self, peers: list[str]) -> None:
        with self.lock:
            self.peers += [peer for peer in peers if peer not in self.peers]
            self._file.write_text(json.dumps(self.peers))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uri", required=True)
    parser.add_argument("--bootstrap")
    given = parser.parse_args()
    assert os.environ["QDRANT__CLUSTER__ENABLED"] == "true"
    assert os.environ["QDRANT__TELEMETRY_DISABLED"] == "true"
    assert urlsplit(given.uri).port == int(os.environ["QDRANT__CLUSTER__P2P__PORT"])
    host = os.environ["QDRANT__SERVICE__HOST"]
    storage = Path(os.environ["QDRANT__STORAGE__STORAGE_PATH"])
    storage.mkdir(parents=True, exist_ok=True)
    state = State(storage)
    with (storage.parent / "starts.jsonl").open("a") as file:
        file.write(json.dumps({"bootstrap": given.bootstrap, "joined": state.known}) + "\n")
    if not state.known:
        state.learn([given.uri])
        if given.bootstrap is not None:
            # A refused connection ends the process, as a failed bootstrap ends Qdrant.
            state.learn(tell(f"{given.bootstrap}/join", given.uri))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            cluster = {"peers": dict.fromkeys(state.peers), "raft_info": {"leader": 1}}
            self._say({"result": cluster} if self.path == "/cluster" else {})

        def do_POST(self) -> None:
            newcomer = self.rfile.read(int(self.headers["content-length"])).decode()
            if self.path == "/join":
                for peer in set(state.peers) - {given.uri, newcomer}:
                    tell(f"{peer}/know", newcomer)
            state.learn([newcomer])
            self._say(state.peers)

        def _say(self, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    rest = ThreadingHTTPServer((host, int(os.environ["QDRANT__SERVICE__HTTP_PORT"])), Handler)
    p2p = ThreadingHTTPServer((host, int(os.environ["QDRANT__CLUSTER__P2P__PORT"])), Handler)
    threading.Thread(target=p2p.serve_forever, daemon=True).start()
    rest.serve_forever()


def tell(url: str, newcomer: str) -> list[str]:
    """Tell a node of another one, and return whom it knows."""
    with urllib.request.urlopen(urllib.request.Request(url, data=newcomer.encode()), timeout=5) as answer:
        peers: list[str] = json.loads(answer.read())
    return peers


if __name__ == "__main__":
    main()
