"""Traces: which request spent its time where, over all processes. Free where OTEL_EXPORTER_OTLP_ENDPOINT is not set.

A trace begins with a request, or with a task that a request has caused; the parts add spans to whichever trace they are
called in. Where there is none, `span` is a look at a context variable, and OpenTelemetry is not even imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

from image_similarity import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_current: ContextVar[Tracing | None] = ContextVar("tracing", default=None)
_NOTHING: AbstractContextManager[None] = nullcontext()


class Tracing:
    """Begins traces; the process has one, or none."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("image_similarity", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to(cls, endpoint: str, service: str) -> Tracing:
        """Send traces to a collector, over HTTP. Raises ImportError where the extra `tracing` is not installed."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # What OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES says wins.
        told = OTELResourceDetector().detect()
        named = Resource.create({"service.name": service, "service.version": __version__})
        provider = TracerProvider(resource=named.merge(told))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
        return cls(provider)

    @contextmanager
    def begin(self, name: str, kind: Literal["server", "consumer"], carrier: Mapping[str, str]) -> Iterator[Span]:
        """Begin this process's part of a trace, which goes on the one in `carrier` where there is one."""
        from opentelemetry.trace import SpanKind

        parent = self._propagator.extract(carrier)
        token = _current.set(self)
        try:
            with self._tracer.start_as_current_span(name, parent, kind=SpanKind[kind.upper()]) as root:
                yield root
        finally:
            _current.reset(token)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _span(self, name: str) -> AbstractContextManager[Span]:
        return self._tracer.start_as_current_span(name)

    def _carrier(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier


def span(name: str) -> AbstractContextManager[object]:
    """Add a span to the trace that this is called in; in none, do nothing."""
    tracing = _current.get()
    return _NOTHING if tracing is None else tracing._span(name)


def carrier() -> dict[str, str]:
    """Return what another process needs to go on with this trace; empty outside of one."""
    tracing = _current.get()
    return {} if tracing is None else tracing._carrier()
