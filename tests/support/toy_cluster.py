"""A cluster that is a few answers: as much of the Kubernetes API as helm asks for when a template calls `lookup`."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.support.helm_charts import CHART, Object, helm, rendered

NOTHING = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


def discovery() -> dict[str, Any]:
    """Return what the API tells of the kinds that the chart has: Helm 4 looks them up."""
    kinds: dict[str, set[str]] = {}
    for found in rendered("defaults"):
        kinds.setdefault(found["apiVersion"], set()).add(found["kind"])
    groups = [
        {
            "name": version.partition("/")[0],
            "versions": [{"groupVersion": version, "version": version.rpartition("/")[2]}],
        }
        for version in kinds
        if version != "v1"
    ]
    answers: dict[str, Any] = {
        "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
    }
    for version, names in kinds.items():
        resources = [
            {"name": plural(kind), "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": ["get"]}
            for kind in sorted(names)
        ]
        listed = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
        answers["/api/v1" if version == "v1" else f"/apis/{version}"] = listed
    return answers


def plural(kind: str) -> str:
    name = kind.lower()
    return name.removesuffix("y") + "ies" if name.endswith("y") else name + "s"


def installed(found: Object) -> Object:
    """Return an object as helm marks what it has installed; a Secret keeps the marks when a release is uninstalled."""
    owner = {"meta.helm.sh/release-name": "image-similarity", "meta.helm.sh/release-namespace": "pictures"}
    metadata = found["metadata"]
    return {**found, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **owner}}}


@contextmanager
def cluster(*objects: Object) -> Iterator[str]:
    """Serve these objects, by name and as lists, all of them in the namespace `pictures`."""
    answers = discovery()
    lists: dict[str, list[Object]] = {}
    for found in objects:
        version = found["apiVersion"]
        folder = f"/{'api' if version == 'v1' else 'apis'}/{version}/namespaces/pictures/{plural(found['kind'])}"
        answers[f"{folder}/{found['metadata']['name']}"] = found
        lists.setdefault(folder, []).append(found)
    for folder, items in lists.items():
        answers[folder] = {"kind": f"{items[0]['kind']}List", "apiVersion": items[0]["apiVersion"], "items": items}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            body = json.dumps(NOTHING if answer is None else answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def upgrade(url: str, folder: Path, version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Have helm render the chart as an upgrade in that cluster would."""
    config = folder / "kubeconfig"
    context = {"name": "toy", "context": {"cluster": "toy", "user": "toy"}}
    config.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "toy", "cluster": {"server": url}}],
                "users": [{"name": "toy", "user": {}}],
                "contexts": [context],
                "current-context": "toy",
            }
        )
    )
    ask = ("--dry-run=server", "--kubeconfig", config, "--disable-openapi-validation", "--is-upgrade")
    return helm("template", "image-similarity", CHART, "-n", "pictures", *ask, *arguments, version=version)
