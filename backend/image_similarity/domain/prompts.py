"""Prompt templates: a query's words put into the kind of sentence that a text tower was trained on."""

from __future__ import annotations

from image_similarity.domain.errors import InvalidRequest

_PLACE = "{}"


def check_template(template: str) -> str:
    """Return `template`, which holds `{}` exactly once and no other brace. Raises InvalidRequest otherwise."""
    if template.count(_PLACE) != 1 or any(brace in template.replace(_PLACE, "") for brace in _PLACE):
        raise InvalidRequest(
            f'"{template}" is no prompt template: it must hold {{}} exactly once, where the text goes, and no other '
            'brace, as "a photo of {}" does.'
        )
    return template


def apply_template(template: str | None, text: str) -> str:
    """Put `text` in the template's place; without a template it stays as it is. Raises InvalidRequest.

    Short prompts do better inside a sentence, for captions are what the towers saw (Radford et al., "Learning
    Transferable Visual Models From Natural Language Supervision", ICML 2021, section 3.1.4).
    """
    # Not str.format: a text's own braces stay as they are.
    return text if template is None else check_template(template).replace(_PLACE, text)
