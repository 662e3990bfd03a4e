"""JSON Merge Patch, by the examples of RFC 7396, appendix A, that are objects."""

from __future__ import annotations

import copy

import pytest

from image_similarity.domain.metadata import merge_patch
from image_similarity.domain.records import Metadata


@pytest.mark.parametrize(
    ("metadata", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({"a": "foo"}, {"a": {"b": {"ccc": None}}}, {"a": {"b": {}}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": [1, 2]}, {"a": [None]}, {"a": [None]}),
        ({"a": 1}, {}, {"a": 1}),
    ],
)
def test_a_merge_patch_is_applied_as_the_rfc_says(metadata: Metadata, patch: Metadata, expected: Metadata) -> None:
    before = copy.deepcopy((metadata, patch))

    assert merge_patch(metadata, patch) == expected
    assert (metadata, patch) == before
