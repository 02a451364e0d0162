"""Traces: which requests and trainings belong together, by the W3C trace context and, on request, OpenTelemetry.

The trace context of a request is always read, and kept with the jobs that it submits. Spans are made only with the
setting `tracing`, which needs the extra `otel`; otherwise OpenTelemetry is not imported. (FastAPI imports its API,
which does nothing by itself.)
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal

from models.specs import InvalidInput

TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
"""The header `traceparent` of https://www.w3.org/TR/trace-context/. Later versions may have more fields."""

CLOSE_S = 1.0
"""How long the end of a process waits until its last spans are sent."""

Kind = Literal["server", "consumer"]
"""What a span is for: a request, or work that was submitted earlier."""


def parse(header: bytes | None) -> str | None:
    """A `traceparent` of version 00; None if it is missing or not valid."""
    found = TRACEPARENT.fullmatch(header.decode("latin-1")) if header else None
    if found is None or (found[1] == "00" and found[5] is not None):
        return None
    return "-".join(("00", found[2], found[3], found[4]))


def require_installed() -> None:
    """Checks that spans can be made.

    Raises:
        InvalidInput: OpenTelemetry is not installed.
    """
    if find_spec("opentelemetry.sdk") is None or find_spec("opentelemetry.exporter") is None:
        raise InvalidInput("tracing", "needs OpenTelemetry: pip install 'separatrix[otel]'")


class Span:
    """One request or one training.

    Attributes:
        traceparent: identifies it as the parent of other spans.
    """

    def __init__(self, span: Any) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, name: str, *, has_failed: bool, attributes: dict[str, str | int]) -> None:
        """Ends the span. Its final name is known only now."""
        from opentelemetry.trace import StatusCode

        self._span.update_name(name)
        self._span.set_attributes(attributes)
        if has_failed:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Tracer:
    """Makes spans and sends them to a collector, by OTLP over HTTP.

    The standard variables of OpenTelemetry say where it is, such as OTEL_EXPORTER_OTLP_ENDPOINT.
    """

    def __init__(self) -> None:
        """Starts a thread that sends spans now and then. OpenTelemetry must be installed, see `require_installed`."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource({"service.name": "separatrix"}).merge(Resource.create())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # `close` does, in bounded time
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("separatrix")
        self._contexts = TraceContextTextMapPropagator()

    def begin(self, name: str, kind: Kind, *, parent: str | None) -> Span:
        """Begins a span. Its parent is the span that the `traceparent` `parent` identifies, if any."""
        from opentelemetry.trace import SpanKind

        context = self._contexts.extract({"traceparent": parent}) if parent else None
        kinds = {"server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER}
        return Span(self._tracer.start_span(name, context=context, kind=kinds[kind]))

    def close(self) -> None:
        """Sends the spans that have ended. Waits for `CLOSE_S` at most, because the collector may not answer."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)


@contextmanager
def tracer(*, is_on: bool) -> Iterator[Tracer | None]:
    """A tracer for the duration of the block, if the setting `tracing` is on."""
    made = Tracer() if is_on else None
    yield made
    if made is not None:
        made.close()
