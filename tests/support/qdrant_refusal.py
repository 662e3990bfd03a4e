"""How the Qdrant stand-in says no."""

from __future__ import annotations

from pydantic import BaseModel


class Refused(Exception):
    """What the server answers in place of a result."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def only(request: BaseModel, *known: str) -> None:
    """Refuse what the stand-in would otherwise silently pass over."""
    fields = type(request).model_fields
    unknown = [
        name
        for name, field in fields.items()
        if name not in known and getattr(request, name) not in (None, field.default)
    ]
    if unknown:
        raise Refused(400, f"The stand-in does not know {', '.join(unknown)} of {type(request).__name__}.")
