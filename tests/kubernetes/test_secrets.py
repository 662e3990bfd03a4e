"""What is generated at the first installation stays what it is: asked of helm with a cluster that is a few answers."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from generate.kubernetes_tools import HELM_3, HELM_4
from tests.support.helm_charts import Object, environment, named, rendered
from tests.support.toy_cluster import cluster, installed, upgrade


def secret_of(url: str, folder: Path, version: str, *arguments: str) -> Object:
    """Return the Secret as an upgrade in that cluster would make it."""
    done = upgrade(url, folder, version, *arguments)
    assert done.returncode == 0, done.stderr
    return named([found for found in yaml.safe_load_all(done.stdout) if found], "Secret", "image-similarity")


def decoded(secret: Object) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


@pytest.mark.parametrize("version", [HELM_3, HELM_4])
def test_passwords_are_made_once(version: str, tmp_path: Path) -> None:
    with cluster() as url:
        first = secret_of(url, tmp_path, version)
        other = secret_of(url, tmp_path, version)
    made = decoded(first)
    assert set(made) == {"API_KEYS", "BROKER_URL", "QDRANT_API_KEY", "RABBITMQ_PASSWORD", "REDIS_PASSWORD"}
    assert len(set(made.values())) == 5
    assert not set(made.values()) & set(decoded(other).values()), "each installation has its own"
    with cluster(installed(first)) as url:
        assert decoded(secret_of(url, tmp_path, version)) == made
        given = secret_of(url, tmp_path, version, "--set", "secrets.apiKeys={a-new-key,an-old-key}")
        assert decoded(given) == {**made, "API_KEYS": "a-new-key,an-old-key"}


def test_broker_url_holds_the_brokers_password(tmp_path: Path) -> None:
    with cluster() as url:
        made = decoded(secret_of(url, tmp_path, HELM_4))
    password = made["RABBITMQ_PASSWORD"]
    assert made["BROKER_URL"] == f"amqp://image-similarity:{password}@image-similarity-rabbitmq.pictures.svc:5672/"


@pytest.mark.parametrize(("case", "anonymous"), [("defaults", False), ("nothing", True)])
def test_the_api_is_open_to_all_only_without_auth(case: str, *, anonymous: bool) -> None:
    pod = named(rendered(case), "Deployment", "image-similarity-api")["spec"]["template"]["spec"]
    given = environment(pod["containers"][0])
    assert given.get("ALLOW_ANONYMOUS") == ("true" if anonymous else None)
    assert ("API_KEYS" in {entry["name"] for entry in pod["containers"][0]["env"]}) is not anonymous
