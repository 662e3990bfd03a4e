"""What is said of a search that found nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from image_similarity.cli.nothing_found import why_nothing
from image_similarity.domain.facets import Facet, Facets, FieldKind
from image_similarity.domain.filters import parse_filter
from image_similarity.domain.queries import AUTO, IndexedImage, Mode, Query, QueryPart, SearchOptions

NAMES = ("year", "species", "camera.model")
FACETS = Facets(
    tuple(Facet(name, FieldKind.TEXT, 5, (), True, None, None, True) for name in NAMES),
    more_fields=False,
    images=9,
    sampled=9,
    exact=True,
)
LOOKS = Query((QueryPart(IndexedImage("a.jpg")),))
WORDS = Query(mode=Mode.KEYWORDS, keywords="red bus")


def why(
    query: Query = LOOKS,
    where: object = None,
    *,
    facets: Facets = FACETS,
    threshold: float | None = None,
    asked: float | str | None = None,
    group_by: str | None = None,
) -> str:
    condition = None if where is None else parse_filter(where)
    return why_nothing(query, SearchOptions(10, asked, condition, group_by=group_by), threshold, facets)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "where", [{"yaer": 2010}, {"or": [{"year": 1}, {"yaer": {"gte": 3}}]}, {"yaer": {"exists": True}}]
)
def test_a_field_that_no_image_has_is_named_with_the_nearest_one(where: object) -> None:
    assert why(where=where) == (
        'Nothing found. No image has the field "yaer". Did you mean "year"? Fields: year, species, camera.model.'
    )


def test_so_is_a_field_to_group_by_whatever_the_threshold() -> None:
    assert '"nofield"' in why(group_by="nofield", threshold=0.5, asked=0.5)


@pytest.mark.parametrize("where", [{"year": 1}, {"camera": {"exists": True}}, {"not": {"yaer": 1}}, {"yaer": None}])
def test_fields_that_are_there_or_are_not_to_be_are_none(where: object) -> None:
    assert why(where=where) == "Nothing found: the fields of the filter are there, but no image passes it."


def test_what_is_not_known_is_not_said() -> None:
    assert "no image passes it" in why(where={"yaer": 1}, facets=replace(FACETS, more_fields=True))
    sampled = replace(FACETS, images=20_000, sampled=5_000, exact=False)
    assert 'None of the newest 5,000 images has the field "yaer"' in why(where={"yaer": 1}, facets=sampled)


def test_images_without_any_metadata() -> None:
    assert why(where={"year": 1}, facets=replace(FACETS, fields=())).endswith('has the field "year", nor any other.')


def test_an_empty_collection() -> None:
    empty = Facets((), more_fields=False, images=0, sampled=0, exact=True)
    assert why(where={"year": 1}, facets=empty) == (
        "Nothing is indexed yet. Add images with: image-similarity index FOLDER"
    )


def test_words_that_are_nowhere() -> None:
    assert why(WORDS).startswith('Nothing found: no image has a word of "red bus" in its description or tags')
    assert 'no image that passes the filter has a word of "red bus"' in why(WORDS, {"year": 1})


def test_a_threshold() -> None:
    assert why(threshold=0.5, asked=0.5).startswith("Nothing scores 0.5000 or more.")
    assert why(threshold=0.5, asked=AUTO).startswith("Nothing stands out")


def test_the_only_image() -> None:
    assert why() == "Nothing found: there is no other image to compare with."
