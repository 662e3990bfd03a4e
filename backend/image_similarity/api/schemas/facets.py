"""The JSON of facets; see `images.py`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from image_similarity.domain.facets import Facet, Facets, FieldKind


class FacetValueDocument(BaseModel):
    """One value of a field."""

    value: bool | int | float | str = Field(description="As a filter accepts it.")
    count: int = Field(description="Images that have it.")


class FacetDocument(BaseModel):
    """One field of the metadata."""

    field: str = Field(description="As a filter names it: `camera.model` is `model` within `camera`.")
    kind: FieldKind = Field(description="The type of most of its values; `time` is a text that is an RFC 3339 time.")
    images: int = Field(description="Images that have it.")
    values: list[FacetValueDocument] = Field(description="Most frequent first.")
    more_values: bool = Field(description="Whether there are more values than these.")
    min: int | float | str | None = Field(description="Of numbers and times; null for other kinds.")
    max: int | float | str | None
    exact: bool = Field(description="false: estimates for the whole collection.")

    @classmethod
    def of(cls, facet: Facet, values: int) -> FacetDocument:
        """Return the document of a facet with at most `values` values."""
        return cls(
            field=facet.field,
            kind=facet.kind,
            images=facet.images,
            values=[FacetValueDocument(value=value.value, count=value.count) for value in facet.values[:values]],
            more_values=facet.more_values or len(facet.values) > values,
            min=facet.minimum,
            max=facet.maximum,
            exact=facet.exact,
        )


class FacetsResponse(BaseModel):
    """The fields of the images' metadata; those that most images have come first."""

    fields: list[FacetDocument]
    more_fields: bool = Field(description="Whether there are more fields than these.")
    images: int = Field(description="In the collection.")
    sampled: int = Field(description="How many of the newest images were read for this.")
    exact: bool = Field(
        description="true: all images were read. false: a field that only older ones have may be missing, and counts "
        "are estimates."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "fields": [
                        {
                            "field": "species",
                            "kind": "text",
                            "images": 1100,
                            "values": [{"value": "cat", "count": 700}, {"value": "dog", "count": 400}],
                            "more_values": False,
                            "min": None,
                            "max": None,
                            "exact": True,
                        },
                        {
                            "field": "year",
                            "kind": "number",
                            "images": 900,
                            "values": [{"value": 2024, "count": 310}],
                            "more_values": True,
                            "min": 1999,
                            "max": 2025,
                            "exact": True,
                        },
                        {
                            "field": "tame",
                            "kind": "boolean",
                            "images": 40,
                            "values": [{"value": True, "count": 40}],
                            "more_values": False,
                            "min": None,
                            "max": None,
                            "exact": True,
                        },
                    ],
                    "more_fields": False,
                    "images": 1200,
                    "sampled": 1200,
                    "exact": True,
                }
            ]
        }
    )

    @classmethod
    def of(cls, facets: Facets, *, fields: int, values: int) -> FacetsResponse:
        """Return the document of facets, cut to `fields` fields and `values` values per field."""
        return cls(
            fields=[FacetDocument.of(facet, values) for facet in facets.fields[:fields]],
            more_fields=facets.more_fields or len(facets.fields) > fields,
            images=facets.images,
            sampled=facets.sampled,
            exact=facets.exact,
        )
