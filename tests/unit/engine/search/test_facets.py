"""Which fields a collection has: exact where all was read, else projected, with what the indexes know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from image_similarity.domain.facets import Facet, Facets, FacetValue, FieldKind
from image_similarity.domain.filters import parse_filter
from image_similarity.domain.queries import SearchOptions
from image_similarity.domain.records import Metadata
from image_similarity.engine.search import facets
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from tests.support.engines import RED, EngineUnderTest, found, running_engine
from tests.support.records import record

ALL: list[Metadata] = [
    {"species": "cat", "year": 2003, "tame": True, "seen": "2024-05-01T12:00:00+02:00", "camera": {"model": "X100"}},
    {"species": "cat", "year": 2010.5, "tame": True, "seen": "2020-01-01", "camera": {"model": None}},
    {"species": ["dog", "cat", "dog"], "year": "unknown", "tame": 1, "none": None, "empty": [], "nested": [{"a": 1}]},
    {"species": "", "year": 2003.0, "a.b": 1, "": 2, 'q"': 3, "and": 4, "long": "x" * 300},
]


def survey(metadata: list[Metadata]) -> Facets:
    sample = facets.Sample()
    sample.add([record(str(number), fields) for number, fields in enumerate(metadata)])
    return sample.facets(len(metadata), ())


def by_field(answer: Facets) -> dict[str, Facet]:
    return {facet.field: facet for facet in answer.fields}


def test_fields_are_told_as_a_filter_names_them_most_used_first() -> None:
    answer = survey(ALL)

    assert [facet.field for facet in answer.fields] == ["species", "year", "tame", "seen", "camera.model", "long"]
    assert (answer.images, answer.sampled, answer.exact, answer.more_fields) == (4, 4, True, False)
    assert all(facet.exact for facet in answer.fields)


@pytest.mark.parametrize(
    ("field", "kind", "images", "values", "bounds"),
    [
        ("species", FieldKind.TEXT, 4, [("cat", 3), ("", 1), ("dog", 1)], (None, None)),
        ("year", FieldKind.NUMBER, 4, [(2003, 2), (2010.5, 1)], (2003, 2010.5)),
        ("tame", FieldKind.BOOLEAN, 3, [(True, 2)], (None, None)),
        (
            "seen",
            FieldKind.TIME,
            2,
            [("2020-01-01T00:00:00.000000Z", 1), ("2024-05-01T10:00:00.000000Z", 1)],
            ("2020-01-01T00:00:00.000000Z", "2024-05-01T10:00:00.000000Z"),
        ),
        ("camera.model", FieldKind.TEXT, 1, [("X100", 1)], (None, None)),
    ],
)
def test_a_field_has_a_kind_values_and_bounds(
    field: str, kind: FieldKind, images: int, values: list[Any], bounds: tuple[Any, Any]
) -> None:
    facet = by_field(survey(ALL))[field]

    assert (facet.kind, facet.images, facet.more_values) == (kind, images, False)
    assert facet.values == tuple(FacetValue(*value) for value in values)
    assert (facet.minimum, facet.maximum) == bounds


def test_a_text_too_long_to_choose_is_counted_and_not_listed() -> None:
    facet = by_field(survey(ALL))["long"]
    assert (facet.images, facet.values, facet.more_values) == (1, (), True)


def test_what_has_no_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facets, "_MOST_TRACKED", 300)
    answer = survey([{f"key-{image}-{number}": image for number in range(40)} | {"n": image} for image in range(200)])

    assert len(answer.fields) == facets.MOST_FIELDS
    assert answer.more_fields
    first = answer.fields[0]
    assert (first.field, first.images, len(first.values), first.more_values) == ("n", 200, facets.MOST_VALUES, True)


def test_facets_come_back_from_their_json() -> None:
    answer = survey(ALL)
    assert facets.FACETS.load(facets.FACETS.dump(answer)) == answer


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineUnderTest]:
    async with running_engine(tmp_path) as rig:
        yield rig


async def test_a_large_collection_is_projected_from_the_newest_and_the_indexes(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        metadata = {"old": "yes"} if number < 6 else {"new": f"v{number % 2}", "even": number % 2 == 0, "n": number}
        await rig.engine.index_image(RED, image_id=f"{number}", metadata=metadata | {"species": "cat", "m": number})
    for raw in ({"old": "yes"}, {"species": "cat"}, {"m": {"gt": 1}}):
        await found(rig, options=SearchOptions(filter=parse_filter(raw)))
    monkeypatch.setattr(facets, "SAMPLE", 4)
    monkeypatch.setattr(facets, "_PAGE", 2)

    answer = await rig.engine.facets()

    assert (answer.images, answer.sampled, answer.exact) == (12, 4, False)
    fields = by_field(answer)
    assert not any(facet.exact for facet in answer.fields)
    # Known from an index, of all images.
    assert fields["species"].values == (FacetValue("cat", 12),)
    assert (fields["old"].images, fields["old"].values) == (6, (FacetValue("yes", 6),))
    assert (fields["m"].minimum, fields["m"].maximum) == (0, 11)
    assert (fields["even"].images, {value.count for value in fields["even"].values}) == (6, {3})
    # Projected.
    assert (fields["new"].images, fields["new"].values) == (12, (FacetValue("v0", 6), FacetValue("v1", 6)))
    assert (fields["n"].minimum, fields["n"].maximum) == (8, 11)


async def test_facets_are_kept_until_the_next_write(rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.engine.index_image(RED, image_id="a", metadata={"v": 1})
    first = await rig.engine.facets()

    async def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the collection was read")

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedStore, "scroll", refuse)
        assert await rig.engine.facets() == first

    await rig.engine.patch_metadata("a", {"w": 2})
    assert [facet.field for facet in (await rig.engine.facets()).fields] == ["v", "w"]


async def test_an_empty_collection_has_no_fields(rig: EngineUnderTest) -> None:
    assert await rig.engine.facets() == Facets((), more_fields=False, images=0, sampled=0, exact=True)
