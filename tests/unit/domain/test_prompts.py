"""Prompt templates."""

from __future__ import annotations

import pytest

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.prompts import apply_template, check_template


def test_the_text_takes_the_place_of_the_braces() -> None:
    assert apply_template("a photo of {}, outdoors", "two dogs") == "a photo of two dogs, outdoors"


def test_without_a_template_a_text_stays_as_it_is() -> None:
    assert apply_template(None, "two {} dogs {0}") == "two {} dogs {0}"


def test_braces_in_the_text_mean_nothing() -> None:
    assert apply_template("a photo of {}", "{} {x} {{") == "a photo of {} {x} {{"


@pytest.mark.parametrize("template", ["", "a photo", "{} and {}", "{0}", "{x}", "a {{}}", "} {}", "{"])
def test_a_template_without_exactly_one_place_is_refused(template: str) -> None:
    with pytest.raises(InvalidRequest, match="no prompt template"):
        check_template(template)
