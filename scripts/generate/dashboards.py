"""Writes Grafana's dashboards: one line here per panel; the JSON is only for Grafana."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from generate.files import ROOT
from generate.grafana import Panel, dashboard

FOLDER = ROOT / "monitoring" / "grafana" / "dashboards"

REQUESTS = "image_similarity_http_request_duration_seconds"
STAGES = "image_similarity_stage_duration_seconds"
CACHE = "image_similarity_cache_requests_total"
CLIENTS = 'namespace=~"$namespace", route!~"/metrics|/api/v1/(health|ready)|unmatched"'
HERE = 'namespace=~"$namespace"'


def rate(metric: str, labels: str = HERE, by: str = "") -> str:
    """Return the summed rate of a counter."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{labels}}}[$__rate_interval]))"


def quantile(share: float, histogram: str, labels: str = HERE, by: str = "") -> str:
    """Return a quantile of a histogram."""
    groups = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', labels, groups)})"


def share(part: str, whole: str) -> str:
    """Return a ratio that has no data, instead of being infinite, if the divisor is 0."""
    return f"{part} / ({whole} > 0)"


def stage(name: str) -> str:
    """Return the label selector of one stage of a request."""
    return f'{HERE}, stage="{name}"'


SEARCHES = f'{HERE}, route="/api/v1/search"'

DASHBOARDS = {
    "overview": [
        Panel("Requests", "reqps", {"{{route}}": rate(f"{REQUESTS}_count", CLIENTS, "route")}),
        Panel(
            "Requests that failed",
            "percentunit",
            {"5xx": f"namespace:image_similarity_errors:ratio_rate5m{{{HERE}}}"},
            "The promise is at most 0.1 %.",
        ),
        Panel(
            "Time of a search",
            "s",
            {
                "median": quantile(0.5, REQUESTS, SEARCHES),
                "95 %": f"namespace:image_similarity_search_duration_seconds:p95_5m{{{HERE}}}",
                "99 %": quantile(0.99, REQUESTS, SEARCHES),
            },
            "The promise is half a second for 99 % of them.",
        ),
        Panel(
            "Replicas",
            "short",
            {
                "answer Prometheus": f'sum(up{{job="image-similarity", {HERE}}})',
                "ready, as HAProxy sees it": f'max(haproxy_backend_active_servers{{proxy="replicas", {HERE}}})',
            },
        ),
        Panel("Parts that answer", "bool_yes_no", {"{{part}}": f"min by (part) (image_similarity_part_up{{{HERE}}})"}),
        Panel("Images in the collection", "short", {"images": f"max(image_similarity_collection_images{{{HERE}}})"}),
        Panel("Memory of a process", "bytes", {"{{job}} {{instance}}": f"process_resident_memory_bytes{{{HERE}}}"}),
        Panel(
            "Processor of a process",
            "short",
            {"{{job}} {{instance}}": f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])"},
        ),
    ],
    "encoder": [
        Panel(
            "Encoded",
            "ops",
            {
                "images": rate("image_similarity_encode_batch_size_sum"),
                "texts": rate("image_similarity_encode_text_batch_size_sum"),
            },
        ),
        Panel(
            "Images and texts a batch",
            "short",
            {
                items: share(rate(f"image_similarity_{name}_sum"), rate(f"image_similarity_{name}_count"))
                for items, name in (("images", "encode_batch_size"), ("texts", "encode_text_batch_size"))
            },
            "Near 1 the model waits for images; near BATCH_SIZE images wait for the model.",
        ),
        Panel(
            "Time of a batch",
            "s",
            {
                "images, median": quantile(0.5, STAGES, stage("encode")),
                "images, 95 %": quantile(0.95, STAGES, stage("encode")),
                "texts, 95 %": quantile(0.95, STAGES, stage("encode_text")),
            },
        ),
        Panel(
            "Time to decode an image",
            "s",
            {"median": quantile(0.5, STAGES, stage("decode")), "95 %": quantile(0.95, STAGES, stage("decode"))},
        ),
        Panel(
            "Images and texts before the model",
            "short",
            {
                "{{instance}} images": f"image_similarity_encode_queue_depth{{{HERE}}}",
                "{{instance}} texts": f"image_similarity_encode_text_queue_depth{{{HERE}}}",
            },
            "At MAX_QUEUE further ones get a 503.",
        ),
        Panel("Images and texts turned away", "ops", {"503": rate("image_similarity_requests_shed_total")}),
        Panel(
            "Bytes of requests under way",
            "bytes",
            {"{{instance}}": f"image_similarity_bytes_in_flight{{{HERE}}}"},
            "At MAX_BYTES_IN_FLIGHT further requests get a 503.",
        ),
        Panel(
            "Requests turned away for want of bytes",
            "ops",
            {"503": rate("image_similarity_requests_beyond_bytes_in_flight_total")},
        ),
        Panel(
            "Share of time that the model works",
            "percentunit",
            {"{{instance}}": rate(f"{STAGES}_sum", stage("encode"), "instance")},
        ),
    ],
    "cache": [
        Panel(
            "Look-ups that the cache answers",
            "percentunit",
            {"all": f"namespace:image_similarity_cache_hits:ratio_rate30m{{{HERE}}}"},
            "Half of yesterday's share is an alert.",
        ),
        Panel("Look-ups", "ops", {"{{tier}} {{kind}} {{outcome}}": rate(CACHE, HERE, "tier, kind, outcome")}),
        Panel(
            "Answered, by tier and kind",
            "percentunit",
            {
                "{{tier}} {{kind}}": share(
                    rate(CACHE, f'{HERE}, outcome="hit"', "tier, kind"), rate(CACHE, HERE, "tier, kind")
                )
            },
        ),
        Panel(
            "Questions to Redis without an answer in time",
            "ops",
            {"{{instance}}": rate("image_similarity_cache_errors_total", HERE, "instance")},
        ),
        Panel(
            "Redis is left alone",
            "bool_yes_no",
            {"{{instance}}": f"image_similarity_cache_breaker_open{{{HERE}}}"},
        ),
    ],
    "jobs": [
        Panel(
            "Chunks that wait for a worker",
            "short",
            {"chunks": f"namespace:image_similarity_job_queue_depth:max{{{HERE}}}"},
        ),
        Panel(
            "Images of bulk jobs", "ops", {"{{outcome}}": rate("image_similarity_job_images_total", HERE, "outcome")}
        ),
        Panel("By worker", "ops", {"{{instance}}": rate("image_similarity_job_images_total", HERE, "instance")}),
        Panel(
            "Chunks given up",
            "short",
            {"dead letters": f"max(image_similarity_job_dead_letters{{{HERE}}})"},
            "Each took its worker down several times; the log of chunk_given_up names its job.",
        ),
        Panel("Workers", "short", {"answer": f'sum(up{{job="worker", {HERE}}})'}),
        Panel(
            "Broker",
            "bool_yes_no",
            {"answers": f'min(image_similarity_part_up{{part="broker", {HERE}}})'},
        ),
    ],
    "store": [
        Panel("Images in the collection", "short", {"images": f"max(image_similarity_collection_images{{{HERE}}})"}),
        Panel(
            "Written and removed",
            "ops",
            {
                "indexed": rate("image_similarity_images_indexed_total"),
                "deleted": rate("image_similarity_images_deleted_total"),
            },
        ),
        Panel("Queries", "ops", {"queries": rate(f"{STAGES}_count", stage("query"))}),
        Panel(
            "Time of a query",
            "s",
            {
                "median": quantile(0.5, STAGES, stage("query")),
                "95 %": quantile(0.95, STAGES, stage("query")),
                "99 %": quantile(0.99, STAGES, stage("query")),
            },
        ),
        Panel(
            "Store and storage answer",
            "bool_yes_no",
            {"{{part}} {{instance}}": f'image_similarity_part_up{{part!="broker", {HERE}}}'},
        ),
        Panel(
            "Copies of the collection's shards",
            "short",
            {
                "wanted": f"max(image_similarity_collection_copies_wanted{{{HERE}}})",
                "active": f"min(image_similarity_collection_copies_active{{{HERE}}})",
                "shards": f"max(image_similarity_collection_shards{{{HERE}}})",
                "shards on one node": f"max(image_similarity_collection_shards_on_one_node{{{HERE}}})",
            },
            "`image-similarity shards` shows where they are.",
        ),
        Panel(
            "Flushes of an embedded collection that fail",
            "short",
            {"{{instance}}": f"increase(image_similarity_flush_failures_total{{{HERE}}}[$__rate_interval])"},
        ),
        Panel(
            "Writes that may land late",
            "short",
            {
                "noted": f"max(image_similarity_writes_unsettled{{{HERE}}})",
                "mended": f"sum(increase(image_similarity_writes_mended_total{{{HERE}}}[$__rate_interval]))",
                "notes lost": f"sum(increase(image_similarity_write_notes_lost_total{{{HERE}}}[$__rate_interval]))",
            },
            "Attempts that were given up while Qdrant may still apply them: docs/decisions/0002-repeated-writes.md.",
        ),
        Panel(
            "Damage found",
            "short",
            {
                "images": f"sum(increase(image_similarity_images_damaged_total{{{HERE}}}[$__rate_interval]))",
                "documents": f"sum(increase(image_similarity_documents_damaged_total{{{HERE}}}[$__rate_interval]))",
            },
            "Indexing an image again mends its bytes; torn documents are set aside below `damaged/`.",
        ),
        Panel(
            "Images served without the store",
            "ops",
            {"{{instance}}": rate("image_similarity_reads_without_store_total", HERE, "instance")},
        ),
        Panel("Nodes of Qdrant", "short", {"answer Prometheus": f'sum(up{{job="qdrant", {HERE}}})'}),
    ],
}


def files() -> dict[Path, bytes]:
    """Return the files with the content that they should have."""
    return {
        FOLDER / f"{name}.json": (json.dumps(dashboard(name, panels), indent=2, ensure_ascii=False) + "\n").encode()
        for name, panels in DASHBOARDS.items()
    }


def there() -> Iterable[Path]:
    """Return the existing files."""
    return FOLDER.glob("*")
