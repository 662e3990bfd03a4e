"""A record as a payload: what is sent over the wire comes back as it was, however little the wire can carry."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import grpc
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from image_similarity.domain.records import Metadata, Tagging
from image_similarity.vectors.payload import EXACT, to_payload, to_record
from tests.support.records import record

ODD_NUMBERS: Metadata = {"wide": [2**63, 2**64 - 1], "low": -(2**63), "float": 1.0, "n": 1}


def deep(levels: int) -> Metadata:
    """Return an object of so many levels, the innermost included."""
    value: Metadata = {"n": 2}
    for _ in range(levels - 1):
        value = {"a": value, "n": [1]}
    return value


def over_grpc(payload: dict[str, Any]) -> dict[str, Any]:
    point = grpc.RetrievedPoint(payload=RestToGrpc.convert_payload(payload))
    read = grpc.GetResponse.FromString(grpc.GetResponse(result=[point]).SerializeToString())
    return GrpcToRest.convert_payload(read.result[0].payload)


def depth(value: Any) -> int:
    if isinstance(value, dict | list):
        return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)
    return 0


@pytest.mark.parametrize("metadata", [{}, {"a": [1, 2.0, True, None]}, ODD_NUMBERS, deep(21), deep(32), deep(100)])
def test_metadata_comes_back_over_grpc(metadata: Metadata) -> None:
    sent = record("a", metadata)

    read = to_record(over_grpc(to_payload(sent, for_wire=True)))

    assert read == sent
    assert json.dumps(read.metadata, sort_keys=True) == json.dumps(metadata, sort_keys=True)


def test_only_what_the_wire_cannot_carry_is_sent_twice() -> None:
    assert EXACT not in to_payload(record("a", {"a": [1, 2.0, True, None, {"b": "x"}]}), for_wire=True)
    assert EXACT in to_payload(record("a", ODD_NUMBERS), for_wire=True)
    assert EXACT not in to_payload(record("a", ODD_NUMBERS))


def test_filters_still_see_what_fits() -> None:
    payload = to_payload(record("a", {**deep(50), **ODD_NUMBERS}), for_wire=True)

    assert payload["metadata"]["n"] == 1
    assert payload["metadata"]["wide"] == [float(2**63), float(2**64 - 1)]
    assert payload["metadata"]["a"]["a"]["n"] == [1]
    # A server may count nested messages, three a level, up to 100.
    assert depth(payload["metadata"]) < 30


def test_payloads_of_other_versions_are_read() -> None:
    written = to_payload(record("a", {"tags": ["sun"]}))
    older = {name: value for name, value in written.items() if name not in ("keywords", "tagging")}
    newer = {**written, "mood": "calm", "tagging": {"tagger": "x", "filled": ["tags"]}}

    assert to_record(older) == record("a", {"tags": ["sun"]})
    assert to_record(newer) == replace(record("a", {"tags": ["sun"]}), tagging=Tagging("x", ("tags",)))
