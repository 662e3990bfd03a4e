"""What is generated at the first installation stays what it is: asked of helm with a cluster that is a few answers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubernetes_tools import HELM_3, HELM_4
from tests.support.charts import CHART, Object, helm, named, rendered

SECRET = "/api/v1/namespaces/pictures/secrets/image-similarity"
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


@contextmanager
def cluster(secret: Object | None) -> Iterator[str]:
    """Serve as much of the Kubernetes API as `lookup` asks for."""
    answers = discovery()
    if secret is not None:
        # As helm marks what it has installed; the marks stay with the Secret when a release is uninstalled.
        owner = {"meta.helm.sh/release-name": "image-similarity", "meta.helm.sh/release-namespace": "pictures"}
        metadata = secret["metadata"]
        answers[SECRET] = {**secret, "metadata": {**metadata, "annotations": {**metadata["annotations"], **owner}}}

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


def secret_of(url: str, folder: Path, version: str, *arguments: str) -> Object:
    """Return the Secret as an upgrade in that cluster would make it."""
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
    ask = ("--dry-run=server", "--kubeconfig", config, "--disable-openapi-validation")
    done = helm("template", "image-similarity", CHART, "-n", "pictures", *ask, *arguments, version=version)
    assert done.returncode == 0, done.stderr
    return named([found for found in yaml.safe_load_all(done.stdout) if found], "Secret", "image-similarity")


def decoded(secret: Object) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


@pytest.mark.parametrize("version", [HELM_3, HELM_4])
def test_passwords_are_made_once(version: str, tmp_path: Path) -> None:
    with cluster(None) as url:
        first = secret_of(url, tmp_path, version)
        other = secret_of(url, tmp_path, version)
    made = decoded(first)
    assert set(made) == {"API_KEYS", "BROKER_URL", "QDRANT_API_KEY", "RABBITMQ_PASSWORD", "REDIS_PASSWORD"}
    assert len(set(made.values())) == 5
    assert not set(made.values()) & set(decoded(other).values()), "each installation has its own"
    with cluster(first) as url:
        assert decoded(secret_of(url, tmp_path, version)) == made
        given = secret_of(url, tmp_path, version, "--set", "secrets.apiKeys={a-new-key,an-old-key}")
        assert decoded(given) == {**made, "API_KEYS": "a-new-key,an-old-key"}


def test_broker_url_holds_the_brokers_password(tmp_path: Path) -> None:
    with cluster(None) as url:
        made = decoded(secret_of(url, tmp_path, HELM_4))
    password = made["RABBITMQ_PASSWORD"]
    assert made["BROKER_URL"] == f"amqp://image-similarity:{password}@image-similarity-rabbitmq.pictures.svc:5672/"
