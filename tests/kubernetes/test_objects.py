"""What the chart renders, for every row of the matrix: valid, safe, and consistent with itself and the program."""

from __future__ import annotations

import json
from collections.abc import Iterator

import kubernetes_validate
import pytest

from image_similarity.settings import Settings
from tests.support.helm_charts import (
    MATRIX,
    Object,
    check_schema,
    containers,
    environment,
    name_of,
    named,
    of_kind,
    own_image,
    pods,
    rendered,
    selected,
)

VERSIONS = ("1.27", "1.31", "1.36")
CUSTOM = ("keda.sh/", "monitoring.coreos.com/", "gateway.networking.k8s.io/")
"""Groups whose schemas no release of Kubernetes has."""

OF_OTHERS = {"AWS_REGION", "AWS_ENDPOINT", "AWS_ALLOW_HTTP", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
"""Variables that libraries read, not our Settings: the bucket's credentials,"""
OF_OTHERS |= {"OMP_NUM_THREADS"}
"""and the number of torch's threads."""

Objects = tuple[Object, ...]


@pytest.fixture(params=MATRIX)
def objects(request: pytest.FixtureRequest) -> Objects:
    return rendered(request.param)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_would_take_them(objects: Objects, version: str) -> None:
    for found in objects:
        if not found["apiVersion"].startswith(CUSTOM):
            check_schema(found, version)


def test_kubernetes_would_not_take_a_misspelt_field() -> None:
    wrong = json.loads(json.dumps(named(rendered("defaults"), "Deployment", "image-similarity-api")))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_every_object_is_named_once_and_labelled(objects: Objects) -> None:
    identities = [(found["apiVersion"], name_of(found)) for found in objects]
    assert len(identities) == len(set(identities))
    for found in objects:
        assert found["metadata"]["namespace"] == "pictures", name_of(found)
        assert {"app.kubernetes.io/instance", "app.kubernetes.io/component"} <= set(found["metadata"]["labels"])


def test_pods_pass_the_restricted_standard(objects: Objects) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, and a root file system nobody writes to."""
    for owner, _, spec in pods(objects):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), owner
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] > 0
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in spec.get("volumes", []):
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}, owner
        for container in containers(spec):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, owner
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_pods_hold_no_token_and_no_variables_of_neighbours(objects: Objects) -> None:
    for owner, _, spec in pods(objects):
        assert spec["automountServiceAccountToken"] is False, owner
        assert spec["enableServiceLinks"] is False, owner


def test_containers_are_limited_and_their_images_have_a_tag(objects: Objects) -> None:
    for owner, _, spec in pods(objects):
        for container in containers(spec):
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), owner
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]), owner
            assert container["image"].rpartition(":")[2], owner


def test_selectors_match_their_own_pods_and_nobody_elses(objects: Objects) -> None:
    templates = list(pods(objects))
    for found in of_kind(objects, "Deployment", "StatefulSet"):
        selector = found["spec"]["selector"]["matchLabels"]
        assert [owner for owner, metadata, _ in templates if selected(metadata["labels"], selector)] == [name_of(found)]
    for found in of_kind(objects, "Service", "PodDisruptionBudget"):
        selector = found["spec"]["selector"]
        assert (
            len([1 for _, pod, _ in templates if selected(pod["labels"], selector.get("matchLabels", selector))]) == 1
        )


def test_services_lead_to_ports_that_containers_open(objects: Objects) -> None:
    for service in of_kind(objects, "Service"):
        for _, metadata, spec in pods(objects):
            if selected(metadata["labels"], service["spec"]["selector"]):
                opened = {port["name"] for container in spec["containers"] for port in container["ports"]}
                assert {port["targetPort"] for port in service["spec"]["ports"]} <= opened


def test_stateful_sets_have_the_service_that_names_their_pods(objects: Objects) -> None:
    services = {service["metadata"]["name"] for service in of_kind(objects, "Service")}
    assert {found["spec"]["serviceName"] for found in of_kind(objects, "StatefulSet")} <= services


def test_ingress_and_routes_lead_to_services(objects: Objects) -> None:
    ports = {
        (service["metadata"]["name"], port[kind])
        for service in of_kind(objects, "Service")
        for port in service["spec"]["ports"]
        for kind in ("name", "port")
    }
    for ingress in of_kind(objects, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                assert (service["name"], service["port"]["name"]) in ports
    for route in of_kind(objects, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            assert {(backend["name"], backend["port"]) for backend in rule["backendRefs"]} <= ports


def test_figures_and_statistics_are_not_for_the_world(objects: Objects) -> None:
    for ingress in of_kind(objects, "Ingress"):
        paths = {
            path["path"]: path["backend"]["service"]["name"]
            for rule in ingress["spec"]["rules"]
            for path in rule["http"]["paths"]
        }
        assert paths.pop("/").endswith("-frontend")
        assert set(paths) == {"/api", "/docs", "/openapi.json"}
    for service in of_kind(objects, "Service"):
        if service["spec"].get("type", "ClusterIP") != "ClusterIP":
            assert [port["port"] for port in service["spec"]["ports"]] == [8080]


def test_probes_ask_ports_that_are_open(objects: Objects) -> None:
    for owner, _, spec in pods(objects):
        for container in spec["containers"]:
            opened = {port["name"] for port in container.get("ports", [])}
            for probe in probes(container):
                action = probe.get("httpGet") or probe.get("tcpSocket")
                assert action is None or action["port"] in opened, owner


def probes(container: Object) -> list[Object]:
    return [container[name] for name in container if name.endswith("Probe")]


def test_what_lasts_is_probed(objects: Objects) -> None:
    for found in of_kind(objects, "Deployment", "StatefulSet"):
        for container in found["spec"]["template"]["spec"]["containers"]:
            assert {"readinessProbe", "livenessProbe"} <= set(container), name_of(found)


def test_variables_of_the_program_are_its_settings(objects: Objects) -> None:
    known = {name.upper() for name in Settings.model_fields} | OF_OTHERS
    for owner, _, spec in pods(objects):
        for container in containers(spec):
            # What is run with a command of its own reads variables of its own.
            if own_image(container) and "command" not in container:
                assert {entry["name"] for entry in container["env"]} <= known, owner


def test_values_of_the_program_are_valid_settings(objects: Objects) -> None:
    for _, _, spec in pods(objects):
        for container in containers(spec):
            if own_image(container) and "command" not in container:
                given = {name.lower(): value for name, value in environment(container).items()}
                Settings(_env_file=None, **{name: given[name] for name in given if name in Settings.model_fields})


def test_no_secret_stands_in_a_pod(objects: Objects) -> None:
    for _, _, spec in pods(objects):
        for container in containers(spec):
            plain = environment(container)
            assert not any(word in name for name in plain for word in ("PASSWORD", "KEY", "SECRET", "BROKER_URL"))


BROUGHT = {"my-secret", "registry", "pictures-tls", "models", "pictures"}
"""Named in the values of the matrix: the user has them already."""


def names(objects: Objects, kind: str) -> set[str]:
    return {found["metadata"]["name"] for found in of_kind(objects, kind)}


def test_volumes_and_accounts_exist(objects: Objects) -> None:
    for owner, _, spec in pods(objects):
        assert spec.get("serviceAccountName", "default") in names(objects, "ServiceAccount") | {"default"}, owner
        for volume in spec.get("volumes", []):
            if "configMap" in volume:
                assert volume["configMap"]["name"] in names(objects, "ConfigMap"), owner
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert claim in names(objects, "PersistentVolumeClaim") | BROUGHT, owner


def test_what_is_mounted_is_a_volume_of_the_pod_and_the_other_way_round(objects: Objects) -> None:
    templates = {name_of(found): found["spec"].get("volumeClaimTemplates", []) for found in objects if "spec" in found}
    for owner, _, spec in pods(objects):
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in templates[owner]}
        mounted = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])}
        # A backup has no use for the model.
        assert volumes - mounted <= ({"models"} if "snapshots" in owner else set()), owner
        assert mounted <= volumes, owner


def test_secrets_exist_and_have_the_keys_that_are_asked_for(objects: Objects) -> None:
    secrets = {secret["metadata"]["name"]: set(secret["data"]) for secret in of_kind(objects, "Secret")}
    for owner, reference in secret_references(objects):
        if reference["name"] not in BROUGHT and not reference.get("optional"):
            assert reference["key"] in secrets[reference["name"]], owner


def secret_references(objects: Objects) -> Iterator[tuple[str, Object]]:
    for owner, _, spec in pods(objects):
        for container in containers(spec):
            sources = [entry.get("valueFrom", {}) for entry in container.get("env", [])]
            yield from ((owner, source["secretKeyRef"]) for source in sources if "secretKeyRef" in source)
    for found in of_kind(objects, "TriggerAuthentication"):
        yield from ((name_of(found), reference) for reference in found["spec"]["secretTargetRef"])
    for found in of_kind(objects, "ServiceMonitor"):
        endpoints = [endpoint for endpoint in found["spec"]["endpoints"] if "authorization" in endpoint]
        yield from ((name_of(found), endpoint["authorization"]["credentials"]) for endpoint in endpoints)


def test_what_scales_exists_and_leaves_the_number_of_replicas_alone(objects: Objects) -> None:
    for scaler in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]["name"]
        assert "replicas" not in named(objects, "Deployment", target)["spec"]


def test_a_drain_is_never_blocked(objects: Objects) -> None:
    for budget in of_kind(objects, "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] >= 1
        assert "minAvailable" not in budget["spec"]
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_an_upgrade_takes_no_replica_before_another_serves(objects: Objects) -> None:
    for found in of_kind(objects, "Deployment"):
        if found["metadata"]["labels"]["app.kubernetes.io/component"] != "worker":
            assert found["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_monitors_find_services(objects: Objects) -> None:
    for monitor in of_kind(objects, "ServiceMonitor"):
        (name,) = [rule["regex"] for rule in monitor["spec"]["endpoints"][0]["relabelings"] if "regex" in rule]
        service = named(objects, "Service", name)
        assert selected(service["metadata"]["labels"], monitor["spec"]["selector"]["matchLabels"])
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
