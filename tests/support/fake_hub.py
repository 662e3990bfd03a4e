"""A hub of checkpoints in this process, for the client of Hugging Face's hub."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

NAME = "somebody/some-clip"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as a download takes."""

    files: dict[str, bytes]
    status: int
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append(f"{self.command} {path}")
        api = f"/api/models/{NAME}"
        if self.status != 200:
            self.reply(self.status, b"{}", with_body, {"X-Error-Code": "RepoNotFound"} if self.status == 404 else {})
        elif path in (api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            siblings = [{"rfilename": name} for name in self.files]
            self.reply(200, json.dumps({"id": NAME, "sha": COMMIT, "siblings": siblings}).encode(), with_body)
        elif path.startswith(f"{api}/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in self.files.items()
            ]
            self.reply(200, json.dumps(tree).encode(), with_body)
        elif (name := path.removeprefix(f"/{NAME}/resolve/{COMMIT}/")) in self.files:
            body = self.files[name]
            headers = {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
            self.reply(200, body, with_body, headers)
        else:
            self.reply(404, b"{}", with_body, {"X-Error-Code": "EntryNotFound"})

    def reply(self, status: int, body: bytes, with_body: bool, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serve(files: dict[str, bytes], status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """Run a hub; give its address and the list of what it is asked."""
    handler = type("Handler", (_Hub,), {"files": files, "status": status, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
