"""OpenTelemetry, behind the extra `[otel]`: keeps our spans and sends them to a collector over OTLP/HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan

from gateway import SERVICE, VERSION
from gateway.telemetry import trace
from gateway.telemetry.trace import Attribute, Kind, Trace

_KINDS: dict[Kind, SpanKind] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}


class _Span:
    """`trace.Span` on one of OpenTelemetry's."""

    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        at = span.get_span_context()
        self.trace = Trace(f"{at.trace_id:032x}", f"{at.span_id:016x}", f"{at.trace_flags:02x}")

    def note(self, name: str, value: Attribute) -> None:
        self._span.set_attribute(name, value)


@contextmanager
def _span(
    tracer: Tracer, name: str, kind: Kind, parent: Trace | None, attributes: dict[str, Attribute]
) -> Iterator[_Span]:
    """`trace.Exporter` by one of OpenTelemetry's tracers."""
    context = Context() if parent is None else set_span_in_context(NonRecordingSpan(_remote(parent)))
    with tracer.start_as_current_span(name, context, _KINDS[kind], attributes) as span:
        yield _Span(span)


def _remote(parent: Trace) -> SpanContext:
    flags = TraceFlags(int(parent.flags, 16))
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)


@asynccontextmanager
async def exporting(
    *, endpoint: str, ratio: float, exporter: SpanExporter | None = None, every_s: float = 5.0
) -> AsyncIterator[None]:
    """Export every span inside the block, and what is left of them at its end.

    Args:
        endpoint: the collector's, such as `http://127.0.0.1:4318/v1/traces`; '' leaves it to OpenTelemetry's own
            environment variables.
        ratio: which part of the traces that begin here is kept; one that a caller began is kept as they decided.
        exporter: in place of OTLP.
        every_s: how often spans are sent.
    """
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(ratio),
        resource=Resource.create({"service.name": SERVICE, "service.version": VERSION}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint or None), schedule_delay_millis=every_s * 1000)
    )
    try:
        with trace.exporting(partial(_span, provider.get_tracer(SERVICE, VERSION))):
            yield
    finally:
        await asyncio.to_thread(provider.shutdown)
