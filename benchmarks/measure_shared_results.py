#!/usr/bin/env python3
"""Measure what replicas save by sharing results through Redis, in addition to embeddings.

    python benchmarks/measure_shared_results.py [--model mini clip] [--images 1500 100000] [--store edge server]

One replica answers each query first. Then we measure the time of another replica for the same search: with the result
from Redis; with results off and the embedding from Redis; and with neither. Here a replica is only a separate memory
cache, in front of one model, one store and one real Redis on loopback, all in one process, without HTTP. `edge` is the
embedded store: a query without a network, the minimum for a store. `server` is the tests' stand-in for a Qdrant server,
over gRPC on loopback, which is slower than a Qdrant server because it is Python. `clip` is ViT-B/32 with random
weights, made in build/.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, TypeVar, cast

import benchmark_rig as rig
from benchmark import DEFAULT_CHECKPOINT
from image_similarity.bootstrap.deployment import StoreKind
from image_similarity.bootstrap.engine import build_engine
from image_similarity.bootstrap.models import load_encoder
from image_similarity.cache.local import LocalCache
from image_similarity.cache.results import Codec, ResultCache
from image_similarity.cache.tiered import TieredCache
from image_similarity.domain.queries import SearchOptions
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.settings import Settings
from image_similarity.telemetry.metrics import Metrics
from load_test.photos import shipped_photos
from random_checkpoint import build_checkpoint

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
from stand_in_cluster import STAND_IN

T = TypeVar("T")

SEARCHES = {
    "plain": SearchOptions(top_k=10),
    "auto, diverse": SearchOptions(top_k=10, threshold="auto", diversity=0.5),
}
ARMS = ("result", "embedding", "nothing")
TRIES = 20


class NoResults(ResultCache):
    """Keeps no results, as if they were not shared."""

    async def to(self, question: str, compute: Callable[[], Awaitable[T]], codec: Codec[T]) -> tuple[T, bool]:
        """Return the computed result."""
        del question, codec
        return await compute(), False


def main() -> None:
    """Measure each combination, and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=("mini", "clip"), default=["mini", "clip"])
    parser.add_argument("--images", nargs="+", type=int, default=[1500, 100_000], help="default: %(default)s")
    parser.add_argument("--store", nargs="+", choices=("edge", "server"), default=["edge", "server"])
    parser.add_argument("--queries", type=int, default=60, help="of each kind (default: %(default)s)")
    given = parser.parse_args()
    photos = shipped_photos(24)
    print(f"{'model':6} {'store':7} {'images':>7}  {'search':14} {'result':>9} {'embedding':>10} {'nothing':>9}  saved")
    for model in given.model:
        for store in given.store:
            for images in given.images:
                with tempfile.TemporaryDirectory() as folder, redis(Path(folder)) as redis_url:
                    # A busy machine must not pass for a Redis, or a Qdrant, that is away.
                    patience: dict[str, Any] = {"redis_timeout": 2.0, "qdrant_timeout": 60.0}
                    where: dict[str, Any] = {"data_dir": Path(folder), "redis_url": redis_url}
                    settings = Settings(model_name=model_name(model), **where, **patience)
                    with collection(settings, store, images) as opened:
                        for search, found in asyncio.run(measure(opened, photos, given.queries)).items():
                            print(line(model, store, images, search, found), flush=True)


def line(model: str, store: str, images: int, search: str, found: Mapping[str, list[float]]) -> str:
    """Return the medians of one kind of search, in milliseconds, and how many times quicker a shared result is."""
    result, embedding, nothing = (1000 * median(found[arm]) for arm in ARMS)
    times = f"{result:6.2f} ms {embedding:7.2f} ms {nothing:6.1f} ms"
    return (
        f"{model:6} {store:7} {images:7}  {search:14} {times}  {embedding - result:.2f} ms ({embedding / result:.1f}x)"
    )


async def measure(settings: Settings, photos: Sequence[bytes], queries: int) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each arm, by kind of search."""
    engine = await build_engine(settings)
    found: dict[str, dict[str, list[float]]] = {search: {arm: [] for arm in ARMS} for search in SEARCHES}
    try:
        await timed(engine, photos[0], SEARCHES["plain"], "nothing")
        for number in range(queries):
            for search, options in SEARCHES.items():
                # Different bytes, so that the query is new.
                query = photos[number % len(photos)] + os.urandom(16)
                found[search]["nothing"].append(await timed(engine, query, options, "nothing"))
                # Alternate, so that neither profits from being the second.
                for arm in ("result", "embedding") if number % 2 else ("embedding", "result"):
                    found[search][arm].append(await timed(engine, query, options, arm))
    finally:
        await engine.close()
    return found


async def timed(engine: SearchEngine, query: bytes, options: SearchOptions, arm: str) -> float:
    """Return the seconds of a search on a replica that has just started, with all others' work in Redis.

    Repeats it if Redis did not answer for a moment, which happens on an overloaded machine.
    """
    cache = cast(TieredCache, engine._cache)
    results = engine._searches._answers
    if arm == "embedding":
        engine._searches._answers = NoResults(cache, engine.model.spec.name)
    try:
        for _ in range(TRIES):
            cache._near = LocalCache(max_entries=1000, max_bytes=10**8, ttl=600, metrics=Metrics())
            started = time.perf_counter()
            answer = await engine.search_by_image(query, options)
            taken = time.perf_counter() - started
            if answer.cached == (arm == "result"):
                return taken
            await asyncio.sleep(0.5)
    finally:
        engine._searches._answers = results
    raise RuntimeError("The result did not come from Redis where it should: is the machine too busy?")


def model_name(model: str) -> str:
    """Return the name of a model; the checkpoint of `clip` is made if it is not there."""
    if model == "mini":
        return model
    if not (DEFAULT_CHECKPOINT / "model.safetensors").is_file():
        build_checkpoint(DEFAULT_CHECKPOINT, size="full")
    return str(DEFAULT_CHECKPOINT)


@contextmanager
def collection(settings: Settings, store: str, images: int) -> Iterator[Settings]:
    """Fill a collection, and yield the settings under which it is opened."""
    encoder = load_encoder(settings.model_name, settings)
    if store == "edge":
        rig.fill(settings, encoder, images)
        yield settings
        return
    port, grpc_port = rig.free_port(), rig.free_port()
    folder = str(settings.data_dir / "qdrant")
    command = [part.format(port=port, grpc_port=grpc_port, folder=folder) for part in STAND_IN]
    with running(command, port):
        shared = settings.model_copy(update={"qdrant_url": f"http://127.0.0.1:{port}", "qdrant_grpc_port": grpc_port})
        rig.fill(shared, encoder, images, StoreKind.SERVER)
        yield shared


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis that keeps nothing on the disk, and yield its URL."""
    port = rig.free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    with running(command, port):
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[None]:
    """Run a program that listens on a port of this machine; it does when the block begins."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        rig.wait_for_port(port, process)
        yield
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    main()
