"""Traces: the service reads them from requests, keeps them with its jobs, and sends spans to a collector."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from service import tracing
from service.settings import Settings
from service.store.files import Files
from service.store.store import Store
from tests.processes import service
from tests.serving import running, train, wait_until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("header", "read"),
    [
        (TRACEPARENT, TRACEPARENT),
        (f"cc{TRACEPARENT[2:]}-what-the-future-will-be-like", TRACEPARENT),
        (f"{TRACEPARENT}-01", None),
        (f"ff{TRACEPARENT[2:]}", None),
        (TRACEPARENT.upper(), None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"{TRACEPARENT}, {TRACEPARENT}", None),
        ("", None),
        ("é", None),
    ],
)
def test_only_a_valid_traceparent_is_read(header: str, read: str | None) -> None:
    assert tracing.parse(header.encode()) == read


@pytest.mark.slow
def test_a_job_keeps_the_trace_of_its_request(tmp_path: Path) -> None:
    with running(tmp_path, training_processes=0) as client:
        body = {"model": "m", "data": {"dataset": "flower"}}
        traced = client.post("/train", json=body, headers={"traceparent": TRACEPARENT}).json()
        invalid = client.post("/train", json=body, headers={"traceparent": "00-what"}).json()
    store = Store.of(Settings(data_dir=tmp_path), Files(tmp_path))
    assert store.jobs.get(traced["id"]).spec.traceparent == TRACEPARENT
    assert store.jobs.get(invalid["id"]).spec.traceparent is None
    store.close()


@pytest.mark.slow
def test_the_sdk_of_opentelemetry_is_not_imported_without_the_setting() -> None:
    program = "import sys, service.app, service.jobs.loop; print('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.slow
def test_the_setting_without_the_packages_is_refused_with_the_reason(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        f"sys.argv = ['separatrix', 'serve', '--tracing', '--port', '0', '--data-dir', {str(tmp_path)!r}]\n"
        "from service.cli import app; app()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "tracing: needs OpenTelemetry: pip install 'separatrix[otel]'" in done.stderr


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """The address of a collector of OTLP over HTTP, and the spans that it has received."""
    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            spans.extend(one for group in sent.resource_spans for scope in group.scope_spans for one in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", spans
        server.shutdown()


@pytest.mark.processes
def test_a_request_and_its_training_are_spans_of_the_trace_of_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as (address, spans):
        for name, value in (("ENDPOINT", address), ("COMPRESSION", "none")):
            monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with service(tmp_path, "--tracing") as one:
            one.client.headers["traceparent"] = TRACEPARENT
            job = train(one.client, "m", training={"epochs": 1})
            one.client.get("/no/such/path")
            wait_until(lambda: {"training", "POST /train", "GET unmatched"} <= {span.name for span in spans})
            one.tell_to_stop()
            assert one.wait() == 0
    by_name = {span.name: span for span in spans}
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    request, training = by_name["POST /train"], by_name["training"]
    assert request.parent_span_id.hex() == PARENT
    assert training.parent_span_id == request.span_id
    assert request.start_time_unix_nano < training.start_time_unix_nano < training.end_time_unix_nano
    about = {one.key: one.value.string_value or one.value.int_value for one in training.attributes}
    assert about == {
        "separatrix.job": job["id"],
        "separatrix.model": "m",
        "separatrix.attempt": 1,
        "separatrix.outcome": "published",
    }
    status = {one.key: one.value.int_value for one in by_name["GET unmatched"].attributes}
    assert status["http.response.status_code"] == 404
