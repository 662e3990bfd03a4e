"""Traces: where requests spend their time, over all processes. Free if OTEL_EXPORTER_OTLP_ENDPOINT is not set.

A trace begins with a request, or with a task that a request has caused; parts add spans to the current trace. Without
a trace, `span` only reads a context variable, and OpenTelemetry is not imported.
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
    """Starts traces; a process has one instance, or none."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("image_similarity", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to(cls, endpoint: str, service: str) -> Tracing:
        """Send traces to a collector over HTTP. Raises ImportError if the extra `tracing` is not installed."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
        told = OTELResourceDetector().detect()
        named = Resource.create({"service.name": service, "service.version": __version__})
        provider = TracerProvider(resource=named.merge(told))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
        return cls(provider)

    @contextmanager
    def begin(self, name: str, kind: Literal["server", "consumer"], carrier: Mapping[str, str]) -> Iterator[Span]:
        """Start this process's part of a trace; it continues the trace in `carrier` if there is one."""
        from opentelemetry.trace import SpanKind

        parent = self._propagator.extract(carrier)
        token = _current.set(self)
        try:
            with self._tracer.start_as_current_span(name, parent, kind=SpanKind[kind.upper()]) as root:
                yield root
        finally:
            _current.reset(token)

    def close(self) -> None:
        """Send the remaining spans."""
        self._provider.shutdown()

    def _span(self, name: str) -> AbstractContextManager[Span]:
        return self._tracer.start_as_current_span(name)

    def _carrier(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier


def span(name: str) -> AbstractContextManager[object]:
    """Add a span to the current trace; do nothing outside of a trace."""
    tracing = _current.get()
    return _NOTHING if tracing is None else tracing._span(name)


def carrier() -> dict[str, str]:
    """Return the headers by which another process continues this trace; empty outside of a trace."""
    tracing = _current.get()
    return {} if tracing is None else tracing._carrier()
