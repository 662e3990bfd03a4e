"""What follows from where the vectors are: each question about it is answered here, once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from image_similarity.settings import Settings


class StoreKind(StrEnum):
    """Where vectors may be stored."""

    EMBEDDED = "embedded"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One process with an embedded collection, or several that share one on a Qdrant server."""

    store: StoreKind
    shared: bool
    """Whether other processes may open the collection, too; if not, this process is alone with it."""
    folder: Path | None
    """Folder of the embedded collection, which makes it another one than those of the same name; None if shared."""
    records_url: str | None
    """Where trash, notes and feedback are; None for the data folder. Beside an embedded collection, because others of
    its name may share a bucket."""
    fetches_urls: bool
    """Whether images are fetched by URL. A server with an embedded store runs for one person, in that person's
    network. One with a Qdrant server runs for many, and could reach private services of its own network, so it does
    so only if ALLOW_URL_FETCH asks for it."""
    may_stand_in: bool
    """Whether the offline model may take the place of one that cannot be loaded. Never if processes share the
    collection, because only some of them might need it."""
    may_have_broker: bool
    """Whether workers could open the collection."""

    @classmethod
    def of(cls, settings: Settings) -> Deployment:
        """Return what the settings say."""
        shared = bool(settings.qdrant_url or settings.qdrant_host)
        fetch = settings.allow_url_fetch
        return cls(
            store=StoreKind.SERVER if shared else StoreKind.EMBEDDED,
            shared=shared,
            folder=None if shared else collection_folder(settings),
            records_url=settings.storage_url if shared else None,
            fetches_urls=not shared if fetch == "auto" else fetch,
            may_stand_in=settings.model_fallback and not shared,
            may_have_broker=shared,
        )


def collection_folder(settings: Settings) -> Path:
    """Return the folder of the embedded collection."""
    return settings.data_dir / "collections" / settings.qdrant_collection_name
