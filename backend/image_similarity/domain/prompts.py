"""Prompt templates: put the words of a query into a sentence like those that a text tower was trained on."""

from __future__ import annotations

from image_similarity.domain.errors import InvalidRequest

_PLACE = "{}"


def check_template(template: str) -> str:
    """Return `template`, which holds `{}` exactly once and no other brace. Raises InvalidRequest otherwise."""
    if template.count(_PLACE) != 1 or any(brace in template.replace(_PLACE, "") for brace in _PLACE):
        raise InvalidRequest(
            f'"{template}" is no prompt template: it must hold {{}} exactly once, for the text, and no other '
            'brace, as "a photo of {}" does.'
        )
    return template


def apply_template(template: str | None, text: str) -> str:
    """Return the template with `text` in its place, or `text` if there is no template. Raises InvalidRequest.

    Short prompts do better inside a sentence, because the towers were trained on captions (Radford et al., "Learning
    Transferable Visual Models From Natural Language Supervision", ICML 2021, section 3.1.4).
    """
    # Not str.format: braces in the text must stay as they are.
    return text if template is None else check_template(template).replace(_PLACE, text)
