"""Network policies allow the arrows of the architecture, and nothing else."""

from __future__ import annotations

import json

import pytest

from tests.support.helm_charts import MATRIX, Object, named, of_kind, pods, render, rendered, selected

COMPONENT = "app.kubernetes.io/component"

ARROWS = {
    ("frontend", "haproxy", 8080),
    ("haproxy", "api", 8000),
    *((program, "qdrant", port) for program in ("api", "worker", "init-db") for port in (6333, 6334)),
    *((program, "redis", 6379) for program in ("api", "worker", "init-db")),
    *((program, "rabbitmq", 5672) for program in ("api", "worker")),
    ("qdrant", "qdrant", 6335),
    ("snapshots", "qdrant", 6333),
    # `helm test`
    ("test", "haproxy", 8080),
    ("test", "api", 8000),
}


def policies(case: str) -> list[Object]:
    return of_kind(rendered(case), "NetworkPolicy")


def arrows(case: str, direction: str) -> set[tuple[str, str, int]]:
    """Return who reaches whom inside, as the policies of one side see it."""
    found = set()
    for policy in policies(case):
        own = policy["spec"]["podSelector"]["matchLabels"][COMPONENT]
        for rule in policy["spec"][direction]:
            for peer in rule.get("from" if direction == "ingress" else "to", []):
                if "podSelector" in peer:
                    other = peer["podSelector"]["matchLabels"][COMPONENT]
                    ends = (other, own) if direction == "ingress" else (own, other)
                    found |= {(*ends, port["port"]) for port in rule["ports"]}
    return found


def outside(case: str, direction: str) -> set[tuple[str, int]]:
    """Return which ports are open to, or reached at, everybody else."""
    return {
        (policy["spec"]["podSelector"]["matchLabels"][COMPONENT], port["port"])
        for policy in policies(case)
        for rule in policy["spec"][direction]
        if not ("from" in rule or "to" in rule)
        for port in rule["ports"]
    }


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_arrows_are_those_of_the_architecture(direction: str) -> None:
    assert arrows("defaults", direction) == ARROWS


@pytest.mark.parametrize("case", MATRIX)
def test_both_ends_of_an_arrow_agree(case: str) -> None:
    assert arrows(case, "ingress") == arrows(case, "egress")


@pytest.mark.parametrize("case", sorted(set(MATRIX) - {"nothing"}))
def test_every_pod_is_under_a_policy_that_refuses_all_else(case: str) -> None:
    for owner, metadata, _ in pods(rendered(case)):
        own = [
            policy["spec"]
            for policy in policies(case)
            if selected(metadata["labels"], policy["spec"]["podSelector"]["matchLabels"])
        ]
        assert len(own) == 1, owner
        assert own[0]["policyTypes"] == ["Ingress", "Egress"]


def test_the_world_reaches_page_and_balancer_only() -> None:
    assert outside("defaults", "ingress") == {("haproxy", 8080), ("frontend", 8080)}
    assert outside("everything", "ingress") == set()


def test_only_the_program_reaches_the_world() -> None:
    program = {"api", "worker", "init-db", "snapshots"}
    reached = {(name, port) for name, port in outside("defaults", "egress") if port != 53}
    assert reached == {(name, 443) for name in program}


def test_stores_outside_can_be_reached() -> None:
    reached = {port for name, port in outside("external", "egress") if name == "api"}
    assert reached == {53, 443, 6333, 6334, 6380, 5671}


def test_every_node_of_a_qdrant_outside_can_be_reached() -> None:
    nodes = ["https://a.example.com", "http://b:7333/path?grpc_port=7334", "http://c"]
    chosen = ["--set", "qdrant.enabled=false", "--set-json", f"externalQdrant.url={json.dumps(','.join(nodes))}"]
    policy = named(render(*chosen), "NetworkPolicy", "image-similarity-api")
    opened = {port["port"] for rule in policy["spec"]["egress"] if "to" not in rule for port in rule["ports"]}
    assert opened == {53, 443, 6334, 7333, 7334, 80}


def test_prometheus_reaches_every_monitored_port() -> None:
    monitoring = {
        (policy["spec"]["podSelector"]["matchLabels"][COMPONENT], port["port"])
        for policy in policies("everything")
        for rule in policy["spec"]["ingress"]
        for peer in rule.get("from", [])
        if peer.get("namespaceSelector", {}).get("matchLabels") == {"kubernetes.io/metadata.name": "monitoring"}
        for port in rule["ports"]
    }
    assert monitoring == {("api", 8000), ("worker", 8000), ("haproxy", 8081), ("qdrant", 6333), ("rabbitmq", 15692)}
