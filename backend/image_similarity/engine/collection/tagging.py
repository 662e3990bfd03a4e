"""Fill in metadata with a tagger: only fields that the caller left out, and the record keeps which ones these are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from image_similarity.domain.errors import InvalidRequest, Overloaded
from image_similarity.domain.metadata import check_metadata
from image_similarity.domain.records import ImageRecord, Metadata, Pixels, Tagging
from image_similarity.images.recipe import Preprocess
from image_similarity.tagging.base import Tagger, TaggerOutput
from image_similarity.telemetry.metrics import Metrics

T = TypeVar("T")


class MetadataTagger:
    """Runs a tagger in its own thread, one image at a time; with `NoTagger` it fills in nothing.

    `load` and `find` raise ModelUnavailable and EncodingFailed; `find` raises Overloaded if `max_queue` images wait.
    """

    def __init__(self, tagger: Tagger, metrics: Metrics, *, max_queue: int = 256) -> None:
        self._tagger = tagger
        self._metrics = metrics
        self._max_queue = max_queue
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tagger")

    @property
    def quick(self) -> bool:
        """Whether the tagger runs while an image is indexed, and not in a job afterwards."""
        return self._tagger.spec.quick

    @property
    def min_side(self) -> int:
        """Least length in pixels of an image's shorter side for the tagger."""
        return self._tagger.spec.min_side

    @property
    def preprocess(self) -> Preprocess:
        """The function that turns an upright RGB image into the tagger's input."""
        return self._tagger.preprocess

    async def load(self) -> None:
        """Load the tagger's weights now."""
        await self._run(self._tagger.load)

    def lacks(self, metadata: Metadata, tagging: Tagging | None) -> bool:
        """Return whether the tagger must still process an image; `metadata` is the caller's."""
        spec = self._tagger.spec
        if not spec.field or spec.field in metadata:
            return False
        return tagging is None or tagging.tagger != spec.name

    def keep(self, metadata: Metadata, before: ImageRecord | None) -> tuple[Metadata, Tagging | None]:
        """Return the caller's metadata, plus the fields that a tagger filled in for the same bytes, and its Tagging."""
        if before is None or before.tagging is None or not self._is_current(before.tagging):
            return metadata, None
        filled = tuple(name for name in before.tagging.filled if name not in metadata)
        kept = {name: before.metadata[name] for name in filled}
        confidence = before.tagging.confidence if "tags" in filled else {}
        return metadata | kept, Tagging(before.tagging.tagger, filled, confidence)

    async def find(self, pixels: Pixels) -> TaggerOutput:
        """Run the tagger on an image; `pixels` is the output of `preprocess`."""

        def look() -> TaggerOutput:
            with self._metrics.stage("tag"):
                return self._tagger.find(pixels)

        if self._waiting >= self._max_queue:
            raise Overloaded(
                f"{self._waiting} images are waiting for the tagger, which is the limit; try again in a moment.",
                retry_after=1.0,
            )
        self._waiting += 1
        try:
            return await self._run(look)
        finally:
            self._waiting -= 1

    def add(self, metadata: Metadata, finding: TaggerOutput) -> tuple[Metadata, Tagging]:
        """Return the caller's metadata with the tagger's finding; without it, if it is empty or exceeds the limits."""
        name, field = self._tagger.spec.name, self._tagger.spec.field
        if not finding.value:
            return metadata, Tagging(name, ())
        try:
            return check_metadata(metadata | {field: finding.value}), Tagging(name, (field,), finding.confidence)
        except InvalidRequest:
            return metadata, Tagging(name, ())

    def close(self) -> None:
        """Stop the thread after its current image."""
        self._thread.shutdown(cancel_futures=True)

    def _is_current(self, tagging: Tagging) -> bool:
        # Fields of an earlier tagger stay if there is no tagger now; another tagger replaces them.
        return not self._tagger.spec.field or self._tagger.spec.name == tagging.tagger

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def caller_metadata(record: ImageRecord) -> Metadata:
    """Return the caller's metadata of an image: without the fields that a tagger filled in."""
    filled = record.tagging.filled if record.tagging is not None else ()
    return {name: value for name, value in record.metadata.items() if name not in filled}


def patched(tagging: Tagging | None, patch: Metadata) -> Tagging | None:
    """Return the tagging after a caller's patch: fields in the patch belong to the caller from then on."""
    if tagging is None:
        return None
    filled = tuple(name for name in tagging.filled if name not in patch)
    return Tagging(tagging.tagger, filled, tagging.confidence if "tags" in filled else {})
