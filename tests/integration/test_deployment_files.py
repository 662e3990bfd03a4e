"""The files that deploy the product agree with each other and with the program."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from image_similarity.settings import Settings
from tests.support.paths import REPOSITORY

COMPOSE_FILES = ("docker-compose.yml", "docker-compose.scale.yml")
SCALE = COMPOSE_FILES[1]
OWN_IMAGE = "image-similarity:"


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / name).read_text())


@pytest.fixture(params=COMPOSE_FILES)
def compose(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load(request.param)


def own(compose: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in compose["services"].items() if service["image"].startswith(OWN_IMAGE)}


def built(compose: dict[str, Any]) -> set[str]:
    """Return the services whose images are built from this repository."""
    return {name for name, service in compose["services"].items() if "build" in service}


def one_shot(compose: dict[str, Any]) -> set[str]:
    """Return the services that others wait for to end."""
    return {
        awaited
        for service in compose["services"].values()
        for awaited, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }


def test_every_variable_given_to_our_program_is_one_of_its_settings(compose: dict[str, Any]) -> None:
    known = {name.upper() for name in Settings.model_fields}
    for name, service in own(compose).items():
        assert set(service["environment"]) <= known, name


def test_fixed_values_are_valid_settings(compose: dict[str, Any]) -> None:
    for service in own(compose).values():
        fixed = {name: value for name, value in service["environment"].items() if "${" not in value}
        Settings(_env_file=None, **{name.lower(): value for name, value in fixed.items()})


def test_images_are_pinned_to_a_version(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name not in built(compose):
            assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+(-[a-z]+)?", service["image"]), service["image"]


def test_base_image_is_pinned_to_a_version() -> None:
    dockerfile = (REPOSITORY / "backend" / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE_IMAGE=python:\d+\.\d+\.\d+-slim-[a-z]+$", dockerfile, re.MULTILINE)
    frontend = (REPOSITORY / "frontend" / "Dockerfile").read_text()
    bases = re.findall(r"^ARG \w+_IMAGE=([a-z/-]+:\d+\.\d+\.\d+-\S+)$", frontend, re.MULTILINE)
    assert len(bases) == len(re.findall(r"^FROM ", frontend, re.MULTILINE))


def test_image_installs_the_torch_that_the_scripts_install() -> None:
    version = re.compile(r"TORCH_VERSION=(\d\S*)")
    dockerfile, environment = (REPOSITORY / "backend" / "Dockerfile"), (REPOSITORY / "scripts" / "environment.sh")
    assert version.findall(dockerfile.read_text()) == version.findall(environment.read_text())


def test_every_lasting_service_has_a_health_check(compose: dict[str, Any]) -> None:
    # Ours have it in the image.
    lasting = set(compose["services"]) - built(compose)
    assert all("test" in compose["services"][name]["healthcheck"] for name in lasting)
    disabled = {name for name, service in own(compose).items() if service.get("healthcheck", {}).get("disable")}
    assert disabled == one_shot(compose)
    for folder in ("backend", "frontend"):
        assert "HEALTHCHECK" in (REPOSITORY / folder / "Dockerfile").read_text()


def test_every_service_is_limited_and_without_privileges(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= set(limits), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service), name
    for name in built(compose):
        assert compose["services"][name]["read_only"] is True
        assert compose["services"][name]["cap_drop"] == ["ALL"]


def test_services_wait_only_for_services_that_can_be_waited_for(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for awaited, how in service.get("depends_on", {}).items():
            assert awaited in services
            if how["condition"] == "service_completed_successfully":
                assert services[awaited]["restart"] == "on-failure"
            else:
                assert how["condition"] == "service_healthy"


def test_volumes_and_networks_are_declared_and_used(compose: dict[str, Any]) -> None:
    services = compose["services"].values()
    mounts = [mount.split(":")[0] for service in services for mount in service.get("volumes", [])]
    assert {mount for mount in mounts if not mount.startswith("./")} == set(compose["volumes"])
    assert all((REPOSITORY / mount).is_dir() for mount in mounts if mount.startswith("./"))
    assert {network for service in services for network in service["networks"]} == set(compose["networks"])


def test_stores_are_reachable_from_inside_only(compose: dict[str, Any]) -> None:
    assert compose["networks"]["stores"]["internal"] is True
    for name, service in compose["services"].items():
        if name.startswith(("qdrant", "redis", "rabbitmq")):
            assert set(service["networks"]) == {"stores"}
            assert "ports" not in service


def test_ports_are_open_on_this_machine_only_unless_asked_otherwise(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith(("127.0.0.1:", "${BIND_ADDRESS:-127.0.0.1}:")) for port in published)


def test_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    text = "\n".join(str(service.get("environment", {})) for service in compose["services"].values())
    for name, rest in re.findall(r"\$\{(\w*(?:PASSWORD|_KEYS?))\b([^}]*)\}", text):
        assert rest.startswith(":?") or rest == ":-", f"{name}{rest}"


def test_example_of_env_has_every_variable_that_compose_files_read(compose: dict[str, Any]) -> None:
    example = set(re.findall(r"^([A-Z_]+)=", (REPOSITORY / ".env.example").read_text(), re.MULTILINE))
    read = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", str(compose["services"])))
    assert read - {"EXTRAS"} <= example


def test_env_example_has_valid_settings_and_only_what_compose_reads() -> None:
    lines = re.findall(r"^([A-Z_]+)=(.*)$", (REPOSITORY / ".env.example").read_text(), re.MULTILINE)
    read = {
        name for file in COMPOSE_FILES for name in re.findall(r"(?<!\$)\$\{([A-Z_]+)", (REPOSITORY / file).read_text())
    }
    assert {name for name, _ in lines} <= read
    given = {name.lower(): value for name, value in lines if name.lower() in Settings.model_fields and value}
    assert given["durability"] == "power"
    Settings(_env_file=None, **given)


def test_settings_that_are_left_empty_have_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    names = re.findall(r"^([A-Z_]+)=$", (REPOSITORY / ".env.example").read_text(), re.MULTILINE)
    own = [name for name in names if name.lower() in Settings.model_fields]
    assert {"MIN_FREE_BYTES", "MAX_BYTES_IN_FLIGHT", "DECODE_MAX_BYTES"} <= set(own)
    for name in own:
        monkeypatch.setenv(name, "")
    Settings(_env_file=None)


def test_balancer_gets_the_replicas_and_opens_its_configured_ports() -> None:
    services = load(SCALE)["services"]
    replicas = [name for name in services if name.startswith("backend-")]
    balancer = services["haproxy"]
    configuration = (REPOSITORY / "haproxy" / "haproxy.cfg").read_text()
    assert [balancer["environment"][f"REPLICA_{number}"] for number in (1, 2, 3)] == [f"{it}:8000" for it in replicas]
    assert set(balancer["environment"]) <= set(re.findall(r"presetenv (\w+)", configuration))
    bound = set(re.findall(r"presetenv (?:API|STATS)_BIND :(\d+)", configuration))
    assert {port.rsplit(":", 1)[1] for port in balancer["ports"]} == bound
    assert [services[name]["ports"] for name in replicas] == [[f"127.0.0.1:800{n}:8000"] for n in (1, 2, 3)]


def test_limits_of_the_balancer_are_those_of_the_replicas() -> None:
    preset = dict(
        re.findall(r"presetenv (\w+) (\d+)$", (REPOSITORY / "haproxy" / "haproxy.cfg").read_text(), re.MULTILINE)
    )
    settings = Settings(_env_file=None)
    assert int(preset["MAX_BODY_BYTES"]) == settings.max_body_bytes
    assert int(preset["MAX_BATCH_BYTES"]) == settings.max_batch_bytes


def test_prometheus_asks_services_that_exist() -> None:
    services = load(SCALE)["services"]
    for job in load("monitoring/prometheus.yml")["scrape_configs"]:
        targets = [target.split(":")[0] for part in job.get("static_configs", []) for target in part["targets"]]
        names = targets + [name for part in job.get("dns_sd_configs", []) for name in part["names"]]
        assert names
        assert set(names) <= {*services, "localhost"}


def test_image_is_built_from_nothing_that_is_not_named() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (REPOSITORY / "backend" / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert "*" in ignored
    assert all(any(source.startswith(place) for place in allowed) for source in sources)
    assert not any(".env" in place or place == "." for place in allowed)


def test_image_is_given_every_file_that_the_package_is_made_of() -> None:
    package = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    included = package["tool"]["hatch"]["build"]["targets"]["wheel"].get("force-include", {})
    dockerfile = (REPOSITORY / "backend" / "Dockerfile").read_text()
    assert all(f"COPY {source} " in dockerfile for source in included)


def test_page_is_built_from_nothing_that_is_not_named() -> None:
    folder = REPOSITORY / "frontend"
    ignored = (folder / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (folder / "Dockerfile").read_text(), re.MULTILINE)
    assert "*" in ignored
    assert allowed == {source for line in copied for source in line.split()}
    assert all((folder / source).exists() for source in allowed)


def test_page_is_proxied_to_a_service_that_is_waited_for(compose: dict[str, Any]) -> None:
    frontend = compose["services"]["frontend"]
    host, port = frontend["environment"]["API_UPSTREAM"].removeprefix("http://").split(":")
    assert set(frontend["depends_on"]) == {host}
    assert any(published.endswith(f":{port}") for published in compose["services"][host]["ports"])
    assert frontend["ports"][0].endswith(":3000:8080")


def test_checks_of_the_images_pass(tmp_path: Path) -> None:
    """Runs hadolint and `docker compose config` where they are; the build itself is too long for a test."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if not any(shutil.which(tool, path=programs) for tool in ("hadolint", "docker-compose", "docker")):
        pytest.skip("neither hadolint nor docker compose is installed")
    # No folder of the user's: a docker client would look for its settings there.
    env = {**os.environ, "PATH": programs, "HOME": str(tmp_path)}
    checked = subprocess.run(
        [REPOSITORY / "scripts" / "check_images.sh", "--no-build"], env=env, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
