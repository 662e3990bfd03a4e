"""What Kubernetes asks the program, and how long it waits for it, fits the program."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from image_similarity.api.routes import service
from image_similarity.api.worker_app import create_worker_app
from image_similarity.bootstrap.server import GRACE_SECONDS
from image_similarity.jobs.celery_app import CHUNKS
from image_similarity.settings import Settings
from tests.kubernetes.test_objects import probes
from tests.support.helm_charts import Object, containers, environment, named, own_image, pods, render, rendered
from tests.support.paths import REPOSITORY


@pytest.fixture
def api() -> Object:
    return container("Deployment", "image-similarity-api")


@pytest.fixture
def worker() -> Object:
    return container("Deployment", "image-similarity-worker")


def container(kind: str, name: str) -> Object:
    return named(rendered("defaults"), kind, name)["spec"]["template"]["spec"]["containers"][0]


def test_probes_of_the_api_ask_routes_that_are_in_its_openapi_document(api: Object) -> None:
    app = FastAPI()
    app.include_router(service.probes)
    routes = app.openapi()["paths"]
    assert {probe["httpGet"]["path"] for probe in probes(api)} == {"/api/v1/health", "/api/v1/ready"} <= set(routes)


def test_probes_of_a_worker_ask_routes_that_it_has(worker: Object, tmp_path: Path) -> None:
    app = create_worker_app(None, Settings(_env_file=None), None)  # type: ignore[arg-type]
    assert {probe["httpGet"]["path"] for probe in probes(worker)} <= set(app.openapi()["paths"])
    assert environment(worker)["WORKER_PORT"] == str(worker["ports"][0]["containerPort"])


def test_ready_stops_requests_and_health_only_a_dead_process(api: Object) -> None:
    assert api["readinessProbe"]["httpGet"]["path"] == "/api/v1/ready"
    assert api["startupProbe"]["httpGet"]["path"] == api["livenessProbe"]["httpGet"]["path"] == "/api/v1/health"


def test_a_model_has_ten_minutes_to_load(api: Object, worker: Object) -> None:
    for probe in (api["startupProbe"], worker["startupProbe"]):
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 600


@pytest.mark.parametrize("drain", [0, 5, 60])
def test_a_pod_is_not_killed_before_its_last_request_is_answered(drain: int) -> None:
    objects = render("--set", f"api.drainSeconds={drain}")
    pod = named(objects, "Deployment", "image-similarity-api")["spec"]["template"]["spec"]
    pause = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert environment(pod["containers"][0])["DRAIN_SECONDS"] == str(drain)
    assert pod["terminationGracePeriodSeconds"] > pause + drain + GRACE_SECONDS


def test_threads_are_counted_from_the_limit_of_the_container(api: Object, worker: Object) -> None:
    for one in (api, worker):
        sources = {entry["name"]: entry.get("valueFrom") for entry in one["env"]}
        for name in ("DECODE_THREADS", "OMP_NUM_THREADS"):
            assert sources[name] == {"resourceFieldRef": {"resource": "limits.cpu"}}


def test_commands_exist() -> None:
    dockerfile = (REPOSITORY / "backend" / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["image-similarity"]' in dockerfile
    from image_similarity.cli.main import app
    from image_similarity.cli.maintenance import app as maintenance

    known = {(one.name or one.callback.__name__.replace("_", "-")) for one in registered(app, maintenance)}
    for _, _, spec in pods(rendered("everything")):
        for one in containers(spec):
            if own_image(one) and "command" not in one:
                assert one["args"][0] in known
                assert spec["securityContext"]["runAsUser"] == 10001
    assert "useradd --uid 10001" in dockerfile


def registered(*apps: object) -> list[object]:
    return [command for app in apps for command in app.registered_commands]  # type: ignore[attr-defined]


def test_keda_watches_the_queue_of_the_chunks() -> None:
    scaler = named(rendered("everything"), "ScaledObject", "image-similarity-pictures-worker")
    assert scaler["spec"]["triggers"][0]["metadata"]["queueName"] == CHUNKS


def test_balancer_and_replicas_have_the_same_limits() -> None:
    objects = rendered("everything")
    for name in ("api", "haproxy"):
        one = named(objects, "Deployment", f"image-similarity-pictures-{name}")["spec"]["template"]["spec"]
        assert environment(one["containers"][0])["MAX_BODY_BYTES"] == "41943040"


def test_settings_of_the_user_come_out_as_they_were_given() -> None:
    objects = rendered("everything")
    one = named(objects, "Deployment", "image-similarity-pictures-api")["spec"]["template"]["spec"]["containers"][0]
    given = {"LOG_LEVEL": "DEBUG", "CACHE_TTL": "0.5", "STORE_ORIGINALS": "false", "DECODE_THREADS": "8"}
    assert given.items() <= environment(one).items()


def test_gpus_are_limits_and_go_where_they_are() -> None:
    objects = rendered("gpu")
    for name, resource, count in (("api", "nvidia.com/gpu", "1"), ("worker", "nvidia.com/mig-1g.10gb", "2")):
        pod = named(objects, "Deployment", f"image-similarity-{name}")["spec"]["template"]["spec"]
        assert str(pod["containers"][0]["resources"]["limits"][resource]) == count
        assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
        assert pod["tolerations"]
        assert not any(one["name"] == "model" for one in pod["initContainers"])
