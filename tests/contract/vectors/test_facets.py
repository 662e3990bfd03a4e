"""What every vector store knows of metadata by its indexes."""

from __future__ import annotations

from image_similarity.domain.facets import FieldKind
from image_similarity.domain.filters import parse_filter
from image_similarity.domain.records import Metadata
from image_similarity.vectors.base import IndexedFacet, VectorStore
from tests.support.records import read, record, towards
from tests.support.servers import answer_becomes

ANIMALS: dict[str, Metadata] = {
    "tom": {"kind of": "cat", "born": 2003, "tame": True, "seen": "2024-05-01T12:00:00+02:00", "a": {"b": "x"}},
    "kit": {"kind of": "cat", "born": [2010.5, 2001], "tame": False, "a": {"b": ["x", "y"]}},
    "rex": {"kind of": "dog", "born": 2010, "tame": True, "seen": ["2020-01-01", "2019-01-01"]},
    "bo": {"kind of": None, "born": "unknown", "a.b": "z"},
}


async def known(store: VectorStore, values: int = 100) -> dict[tuple[str, FieldKind], IndexedFacet]:
    facets = await store.indexed_facets(values=values)
    return {(facet.field, facet.kind): facet for facet in facets}


async def index(store: VectorStore) -> None:
    """Write the animals and have the indexes made that these filters need; a server makes them in its own time."""
    await store.upsert([(record(name, metadata), towards(0)) for name, metadata in ANIMALS.items()])
    for raw in (
        {"kind of": "cat"},
        {"born": {"gt": 0}},
        {"seen": {"gt": "2000-01-01"}},
        {"a.b": "x"},
    ):
        await store.query(towards(0), top_k=1, condition=parse_filter(raw))


async def test_indexed_fields_are_told_with_values_and_bounds(store: VectorStore) -> None:
    await index(store)

    expected = [
        IndexedFacet("kind of", FieldKind.TEXT, images=3, values=(("cat", 2), ("dog", 1))),
        IndexedFacet("born", FieldKind.NUMBER, images=3, minimum=2001, maximum=2010.5),
        IndexedFacet(
            "seen",
            FieldKind.TIME,
            images=2,
            minimum="2019-01-01T00:00:00.000000Z",
            maximum="2024-05-01T10:00:00.000000Z",
        ),
        IndexedFacet("a.b", FieldKind.TEXT, images=2, values=(("x", 2), ("y", 1))),
        IndexedFacet("tame", FieldKind.BOOLEAN, images=3, values=((True, 2), (False, 1))),
    ]

    async def told() -> object:
        facets = await known(store)
        return [facets.get((facet.field, facet.kind)) for facet in expected]

    await answer_becomes(expected, told)


async def test_only_the_most_frequent_values_are_told(store: VectorStore) -> None:
    await index(store)

    async def kinds() -> object:
        facet = (await known(store, values=1)).get(("kind of", FieldKind.TEXT))
        return facet and facet.values

    await answer_becomes((("cat", 2),), kinds)


async def test_what_is_deleted_or_changed_is_no_longer_told(store: VectorStore) -> None:
    await index(store)

    await store.delete("kit")
    await store.set_metadata(await read(store, "rex"), {"kind of": "wolf"})

    async def told() -> object:
        facets = await known(store)
        kinds, born, tame = (
            facets.get(key)
            for key in (("kind of", FieldKind.TEXT), ("born", FieldKind.NUMBER), ("tame", FieldKind.BOOLEAN))
        )
        return (kinds and sorted(kinds.values), born and (born.minimum, born.maximum), tame and tame.values)

    await answer_becomes(([("cat", 1), ("wolf", 1)], (2003, 2003), ((True, 1),)), told)


async def test_an_empty_collection_knows_nothing(store: VectorStore) -> None:
    assert await store.indexed_facets(values=10) == []
