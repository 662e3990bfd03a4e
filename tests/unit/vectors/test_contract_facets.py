"""What every vector store knows of metadata by its indexes."""

from __future__ import annotations

from image_similarity.domain import FieldKind, Metadata
from image_similarity.filters import parse_filter
from image_similarity.vectors.base import IndexedFacet, VectorStore
from tests.support.records import read, record, towards

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
    """Make the indexes that these filters need."""
    for raw in (
        {"kind of": "cat"},
        {"born": {"gt": 0}},
        {"seen": {"gt": "2000-01-01"}},
        {"a.b": "x"},
    ):
        await store.query(towards(0), top_k=1, condition=parse_filter(raw))


async def test_indexed_fields_are_told_with_values_and_bounds(store: VectorStore) -> None:
    await store.upsert([(record(name, metadata), towards(0)) for name, metadata in ANIMALS.items()])
    await index(store)

    found = await known(store)
    assert found["kind of", FieldKind.TEXT] == IndexedFacet(
        "kind of", FieldKind.TEXT, images=3, values=(("cat", 2), ("dog", 1))
    )
    assert found["born", FieldKind.NUMBER] == IndexedFacet(
        "born", FieldKind.NUMBER, images=3, minimum=2001, maximum=2010.5
    )
    assert found["seen", FieldKind.TIME] == IndexedFacet(
        "seen",
        FieldKind.TIME,
        images=2,
        minimum="2019-01-01T00:00:00.000000Z",
        maximum="2024-05-01T10:00:00.000000Z",
    )
    assert found["a.b", FieldKind.TEXT] == IndexedFacet("a.b", FieldKind.TEXT, images=2, values=(("x", 2), ("y", 1)))
    assert found["tame", FieldKind.BOOLEAN] == IndexedFacet(
        "tame", FieldKind.BOOLEAN, images=3, values=((True, 2), (False, 1))
    )


async def test_only_the_most_frequent_values_are_told(store: VectorStore) -> None:
    await store.upsert([(record(name, metadata), towards(0)) for name, metadata in ANIMALS.items()])
    await index(store)

    assert (await known(store, values=1))["kind of", FieldKind.TEXT].values == (("cat", 2),)


async def test_what_is_deleted_or_changed_is_no_longer_told(store: VectorStore) -> None:
    await store.upsert([(record(name, metadata), towards(0)) for name, metadata in ANIMALS.items()])
    await index(store)

    await store.delete("kit")
    await store.set_metadata(await read(store, "rex"), {"kind of": "wolf"})

    found = await known(store)
    assert sorted(found["kind of", FieldKind.TEXT].values) == [("cat", 1), ("wolf", 1)]
    born, tame = found["born", FieldKind.NUMBER], found["tame", FieldKind.BOOLEAN]
    assert (born.minimum, born.maximum) == (2003, 2003)
    assert tame.values == ((True, 1),)


async def test_an_empty_collection_knows_nothing(store: VectorStore) -> None:
    assert await store.indexed_facets(values=10) == []
