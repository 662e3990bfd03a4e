"""All Prometheus metrics; one registry per application, and none at import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_DEATHS = ("cpu", "exit", "idle", "memory", "protocol", "signal", "start", "timeout")
"""Reasons why a decoding process ends; see `images.process.DecoderDied`."""

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class QueueMetrics:
    """Metrics of the queue of one model."""

    items: str
    """Kind of items in the queue."""
    depth: Gauge
    batch_size: Histogram
    shed: Counter
    stage: Callable[[], AbstractContextManager[None]]
    """Measures the time of one batch."""


class Metrics:
    """All metrics, passed to the parts that measure; names end in their unit, as is usual for Prometheus."""

    def __init__(self) -> None:
        # A second series per metric with the time of its first use, which has no use here.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Histogram(
            "image_similarity_http_request_duration_seconds",
            "Time from a request's first byte to its answer's last.",
            ["method", "route", "status"],
            buckets=_LATENCY,
            registry=self.registry,
        )
        self.bytes_in_flight = self._gauge(
            "image_similarity_bytes_in_flight", "Bytes that bodies and answers of requests under way hold."
        )
        self.in_flight_refused = Counter(
            "image_similarity_requests_beyond_bytes_in_flight_total",
            "Requests turned away with a 503 because those under way held too many bytes.",
            registry=self.registry,
        )
        self.stages = Histogram(
            "image_similarity_stage_duration_seconds",
            "Time that one stage of the road takes: decode or tag (an image), encode or encode_text (a batch), query.",
            ["stage"],
            buckets=_LATENCY,
            registry=self.registry,
        )
        shed = Counter(
            "image_similarity_requests_shed_total",
            "Images and texts turned away with a 503 because the queue was full.",
            registry=self.registry,
        )
        self.image_queue = QueueMetrics(
            items="images",
            depth=self._gauge("image_similarity_encode_queue_depth", "Images being decoded or waiting for the model."),
            batch_size=self._batch_size("image_similarity_encode_batch_size", "Images that the model took at once."),
            shed=shed,
            stage=lambda: self.stage("encode"),
        )
        self.text_queue = QueueMetrics(
            items="texts",
            depth=self._gauge("image_similarity_encode_text_queue_depth", "Texts waiting for the model."),
            batch_size=self._batch_size(
                "image_similarity_encode_text_batch_size", "Texts that the model took at once."
            ),
            shed=shed,
            stage=lambda: self.stage("encode_text"),
        )
        self.decoder_deaths = Counter(
            "image_similarity_decoder_deaths_total",
            "Decoding processes that an image, or a lack of memory, has ended.",
            ["reason"],
            registry=self.registry,
        )
        for reason in _DEATHS:
            # Make the series now, because `increase` does not count the step from no series to 1.
            self.decoder_deaths.labels(reason)
        self.indexed = Counter(
            "image_similarity_images_indexed_total",
            "Images written to the collection.",
            registry=self.registry,
        )
        self.deleted = Counter(
            "image_similarity_images_deleted_total",
            "Images removed from the collection.",
            registry=self.registry,
        )
        self.writes_unsettled = Gauge(
            "image_similarity_writes_unsettled",
            "Writes that were given up and may land later, as the last sweep of this process saw them.",
            registry=self.registry,
        )
        self.writes_mended = Counter(
            "image_similarity_writes_mended_total",
            "Deleted images that a write brought back which had been given up, and that were deleted again.",
            registry=self.registry,
        )
        self.write_notes_lost = Counter(
            "image_similarity_write_notes_lost_total",
            "Notes of writes that may land later which the storage did not take or give.",
            registry=self.registry,
        )
        self.disk_free = Gauge(
            "image_similarity_disk_free_bytes",
            "Bytes that are free on the disk of data, images or uploads.",
            ["disk"],
            registry=self.registry,
        )
        self.disk_least_free = Gauge(
            "image_similarity_disk_least_free_bytes",
            "Bytes that must stay free there (MIN_FREE_BYTES): with less, nothing is written.",
            ["disk"],
            registry=self.registry,
        )
        self.documents_damaged = Counter(
            "image_similarity_documents_damaged_total",
            "Documents (of jobs, deletions, feedback) that were no JSON and were set aside below damaged/.",
            registry=self.registry,
        )
        self.images_damaged = Counter(
            "image_similarity_images_damaged_total",
            "Images whose stored bytes were not the ones that were sent when they were read.",
            registry=self.registry,
        )
        self.reads_without_store = Counter(
            "image_similarity_reads_without_store_total",
            "Originals and thumbnails served by what was last known of the image, because the store was away.",
            registry=self.registry,
        )
        self.cache_requests = Counter(
            "image_similarity_cache_requests_total",
            "Look-ups in the cache.",
            ["tier", "kind", "outcome"],
            registry=self.registry,
        )
        self.cache_errors = Counter(
            "image_similarity_cache_errors_total",
            "Questions to the shared cache that were not answered in time.",
            registry=self.registry,
        )
        self.cache_breaker = Gauge(
            "image_similarity_cache_breaker_open",
            "1 while the shared cache is left alone because it does not answer, else 0.",
            registry=self.registry,
        )
        self.collection_images = Gauge(
            "image_similarity_collection_images",
            "Images in the collection, as its store counted them a few seconds ago.",
            registry=self.registry,
        )
        self._shards = self._gauge("image_similarity_collection_shards", "Shards of the collection on the server.")
        self._copies_wanted = self._gauge(
            "image_similarity_collection_copies_wanted", "Copies that all shards together should have."
        )
        self._copies_active = self._gauge(
            "image_similarity_collection_copies_active", "Copies of shards that answer searches and take writes."
        )
        self._shards_on_one_node = self._gauge(
            "image_similarity_collection_shards_on_one_node",
            "Shards whose active copies are on one node at most, although more than one copy is wanted.",
        )
        self.flush_failures = Counter(
            "image_similarity_flush_failures_total",
            "Attempts of the embedded store to bring what was written to disk that failed.",
            registry=self.registry,
        )
        self.part_up = Gauge(
            "image_similarity_part_up",
            "1 while a part answers (vector_store, storage, broker), 0 while it does not; looked at every few seconds.",
            ["part"],
            registry=self.registry,
        )
        self.job_images = Counter(
            "image_similarity_job_images_total",
            "Images of bulk jobs that this process dealt with.",
            ["outcome"],
            registry=self.registry,
        )
        self.job_queue_depth = Gauge(
            "image_similarity_job_queue_depth",
            "Chunks of bulk jobs that wait for a worker.",
            registry=self.registry,
        )
        self.job_dead_letters = Gauge(
            "image_similarity_job_dead_letters",
            "Chunks of bulk jobs that were given up and lie in the dead-letter queue.",
            registry=self.registry,
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the time of one stage, even if it raises."""
        started = perf_counter()
        try:
            yield
        finally:
            self.stages.labels(name).observe(perf_counter() - started)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def _batch_size(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=(1, 2, 4, 8, 16, 32, 64, 128), registry=self.registry)

    def set_placement(self, *, shards: int, wanted: int, active: int, on_one_node: int) -> None:
        """Set the gauges of the collection's shards and copies; `wanted` and `active` are sums over all shards."""
        self._shards.set(shards)
        self._copies_wanted.set(wanted)
        self._copies_active.set(active)
        self._shards_on_one_node.set(on_one_node)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
