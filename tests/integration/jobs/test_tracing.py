"""One trace from a request through the parts, and on into the worker that does what it asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import signals
from celery.worker import state
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from image_similarity.bootstrap.engine import build_engine
from image_similarity.bootstrap.jobs import chunk_processor, open_ledger
from image_similarity.bootstrap.worker import EventLoopThread, _look_about, celery_for
from image_similarity.jobs.celery_app import TASK
from image_similarity.settings import Settings
from image_similarity.telemetry.tracing import Tracing, carrier, span
from tests.support.jobs import finished, pictures, submit
from tests.support.qdrant_process import QdrantProcess
from tests.support.rabbitmq import RabbitMQ
from tests.support.sample_images import encoded, photo
from tests.support.servers import PATIENCE, make_settings, running_server

CALLER = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{CALLER}-b7ad6b7169203331-01"


class Recorder:
    """Traces into memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider)

    def spans(self) -> dict[str, ReadableSpan]:
        """Return the spans that have ended, by name; of several the last."""
        return {one.name: one for one in self._exporter.get_finished_spans()}

    def spans_of(self, request: str) -> dict[str, ReadableSpan]:
        """Return the spans once that of the request has ended, which may be just after its answer has arrived."""
        deadline = time.monotonic() + PATIENCE
        while request not in (spans := self.spans()):
            assert time.monotonic() < deadline, f"{request} is not among {list(spans)}"
            time.sleep(0.01)
        return spans

    def clear(self) -> None:
        self._exporter.clear()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.tracing.close()


def trace_of(one: ReadableSpan) -> str:
    return f"{one.get_span_context().trace_id:032x}"


def test_a_request_is_one_trace_through_all_parts(recorder: Recorder, tmp_path: Path, tiny_checkpoint: Path) -> None:
    settings = make_settings(tmp_path, tiny_checkpoint, log_level="ERROR")
    with running_server(settings, recorder.tracing) as server:
        server.index(encoded(photo(), "PNG"))
        spans = recorder.spans_of("POST /api/v1/index")
        assert {"POST /api/v1/index", "decode", "cache", "encode", "storage", "store"} == set(spans)
        assert len({trace_of(one) for one in spans.values()}) == 1

        recorder.clear()
        answer = server.http.post(
            "/search", files={"image": encoded(photo(seed=2), "PNG")}, headers={"traceparent": TRACEPARENT}
        )
        assert answer.status_code == 200
        spans = recorder.spans_of("POST /api/v1/search")
        assert {"POST /api/v1/search", "decode", "cache", "encode", "store"} == set(spans)
        assert {trace_of(one) for one in spans.values()} == {CALLER}, "the caller's trace goes on"
        root = spans["POST /api/v1/search"]
        assert root.attributes is not None
        assert root.attributes["http.response.status_code"] == 200
        parents = {one.parent.span_id for one in spans.values() if one is not root and one.parent}
        assert parents == {root.get_span_context().span_id}

        recorder.clear()
        server.http.get("/health")
        server.http.get("/ready")
        assert recorder.spans() == {}, "probes are no traces"


@contextmanager
def working(settings: Settings, tracing: Tracing) -> Iterator[None]:
    """Run a worker in this process, where its spans can be read."""
    loop = EventLoopThread()
    engine = loop.run(build_engine(settings))
    assert settings.broker_url is not None
    processor = chunk_processor(settings, engine, open_ledger(settings, engine.metrics))
    app = celery_for(settings.broker_url.get_secret_value(), processor, loop, tracing)
    worker = app.Worker(pool="solo", quiet=True, without_gossip=True, without_mingle=True, without_heartbeat=True)
    # As in `run_worker`.
    signals.worker_ready.connect(_look_about, weak=False)
    thread = threading.Thread(target=worker.start)
    thread.start()
    try:
        yield
    finally:
        # What SIGTERM does, which only the main thread would hear.
        state.should_stop = 0
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the worker did not stop"
        state.should_stop = None
        signals.worker_ready.disconnect(_look_about)
        loop.run(engine.close())
        loop.close()


@pytest.mark.filterwarnings("ignore::celery.exceptions.SecurityWarning")
def test_a_bulk_job_is_in_the_trace_of_the_request_that_handed_it_in(
    recorder: Recorder, broker: RabbitMQ, qdrant: QdrantProcess, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    settings = make_settings(
        tmp_path,
        tiny_checkpoint,
        broker_url=broker.url,
        qdrant_url=qdrant.url,
        qdrant_prefer_grpc=False,
        qdrant_collection_name="traced",
        log_level="ERROR",
    )
    with running_server(settings, recorder.tracing) as server, working(settings, recorder.tracing):
        job_id = submit(server.http, pictures(2))
        assert finished(server.http, job_id)["state"] == "completed"
    spans = recorder.spans()
    chunk = spans[TASK]
    assert trace_of(chunk) == trace_of(spans["POST /api/v1/index/batch"])
    for part in ("decode", "cache", "encode", "storage", "store"):
        assert trace_of(spans[part]) == trace_of(chunk)
        assert spans[part].parent is not None
        assert spans[part].parent.span_id == chunk.get_span_context().span_id


def test_outside_of_a_trace_nothing_is_made() -> None:
    assert carrier() == {}
    assert span("decode") is span("encode")
