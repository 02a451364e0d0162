"""Streams of events as connections: headers, limits, refusals, slow readers, a stopping service, a lost database."""

import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.contract.job_requests import UNKNOWN_ID
from tests.contract.manual_worker import ManualWorker, events_path, manual_worker
from tests.contract.problems import assert_problem
from tests.postgres import PostgreSQL
from tests.serving import DEADLINE_S, running, wait_until
from tests.streams import StreamEvent, all_events, events_of, stream, with_id

ACCEPT = {"Accept": "text/event-stream"}


def test_the_headers_of_a_stream_forbid_caching_and_buffering(worker: ManualWorker) -> None:
    job = worker.new_job()
    worker.fail(job)
    answer = worker.client.get(events_path(job), headers=ACCEPT)
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["vary"] == "Accept"
    assert answer.text.startswith("retry: 1000\n\n")


@pytest.mark.slow
def test_a_slow_reader_receives_every_event_in_order_and_delays_nobody(worker: ManualWorker) -> None:
    count = 250  # more than are kept in memory, and at 80 kB each more than the sockets hold
    job = worker.new_job()
    slow = open_stream(worker.client, events_path(job), buffer_bytes=4_096)
    with stream(worker.client, events_path(job)) as fast:
        for epoch in range(count):
            worker.report(job, epoch=epoch, padding=80_000)
            if epoch % 100 == 0:
                while next(fast).data.get("epoch") != epoch:
                    pass
        worker.fail(job)
        assert list(fast)[-1].kind == "done"
    response = http.client.HTTPResponse(slow)
    response.begin()
    received = with_id(events_of(line.decode().rstrip("\n") for line in response))
    slow.close()
    assert [event.id for event in received] == [str(i) for i in range(1, count + 5)]
    assert [event.data["epoch"] for event in received if event.kind == "metrics"] == list(range(count))


def open_stream(client: httpx.Client, path: str, *, buffer_bytes: int = 65_536) -> socket.socket:
    """A connection on which a stream was requested and nothing was read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.settimeout(DEADLINE_S)
    connection.connect((client.base_url.host, client.base_url.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
    return connection


def can_open_stream(client: httpx.Client, path: str) -> bool:
    with client.stream("GET", path, headers=ACCEPT) as answer:
        return answer.status_code == 200


def open_all_streams(client: httpx.Client, path: str) -> list[socket.socket]:
    """Opens as many streams as the service allows, which may still be closing some of an earlier test."""
    streams: list[socket.socket] = []

    def are_open() -> bool:
        connection = open_stream(client, path)
        if connection.recv(12) == b"HTTP/1.1 200":
            streams.append(connection)
        else:
            connection.close()
        return len(streams) == 4

    wait_until(are_open)
    return streams


def test_a_closed_stream_makes_room_for_another_where_all_were_taken(worker: ManualWorker) -> None:
    job = worker.new_job()
    streams = open_all_streams(worker.client, events_path(job))
    refused = worker.client.get(events_path(job), headers=ACCEPT)
    assert_problem(refused, 503, "too-many-streams")
    assert int(refused.headers["retry-after"]) > 0
    assert worker.client.get(events_path(job)).status_code == 200, "a page is not a stream"

    streams.pop().close()
    wait_until(lambda: can_open_stream(worker.client, events_path(job)))
    for connection in streams:
        connection.close()
    worker.fail(job)


@pytest.mark.slow
def test_a_request_that_waits_needs_no_stream_and_takes_none(worker: ManualWorker) -> None:
    job = worker.new_job()
    path = f"/jobs/{job.id}"
    streams = open_all_streams(worker.client, events_path(job))
    started = time.monotonic()
    waited = worker.client.get(path, headers={"Prefer": "wait=1"})
    assert waited.headers["preference-applied"] == "wait=1"
    assert time.monotonic() - started >= 1, "the request needs no stream"
    for connection in streams:
        connection.close()

    with ThreadPoolExecutor(6) as threads:
        waits = [threads.submit(worker.client.get, path, headers={"Prefer": "wait=50"}) for _ in range(6)]
        for _ in range(100):
            wait_until(lambda: can_open_stream(worker.client, events_path(job)), deadline_s=30)
        assert not any(wait.done() for wait in waits)
        worker.fail(job)
        assert {wait.result().json()["status"] for wait in waits} == {"failed"}


@pytest.mark.parametrize(
    ("path", "headers", "field"),
    [
        ("/jobs/{job}/events?after=-1", {}, "after"),
        ("/jobs/{job}/events?after=x", {}, "after"),
        ("/jobs/{job}/events?after=1,2", {}, "after"),
        ("/jobs/{job}/events?limit=0", {}, "limit"),
        ("/jobs/{job}/events?limit=1001", {}, "limit"),
        ("/jobs/{job}/events?boundary=7", {}, "boundary"),
        ("/jobs/{job}/events?boundary=257", {}, "boundary"),
        ("/jobs/{job}/events?boundary=many", {}, "boundary"),
        ("/jobs/{job}/events?boundary=64", {"Accept": "application/json"}, "boundary"),
        ("/jobs/{job}/events", {"Last-Event-ID": "x"}, "Last-Event-ID"),
        ("/jobs/{job}/events", {"Last-Event-ID": "-1"}, "Last-Event-ID"),
        ("/jobs/{job}/events", {"Last-Event-ID": "1,2"}, "Last-Event-ID"),
        ("/jobs/{job}/events", {"Last-Event-ID": "1" * 30}, "Last-Event-ID"),
        ("/events", {}, "job"),
        ("/events?job={job},{job}", {}, "job"),
        ("/events?job={job}" + f",{UNKNOWN_ID}" * 20, {}, "job"),
        ("/events?job={job}&lastEventId=1,2", {}, "lastEventId"),
        ("/jobs/{job}/events?lastEventId=x&after=1", {}, "lastEventId"),
        ("/events?job={job}&after=", {}, "after"),
        ("/events?job={job}&after=1,2", {}, "after"),
        (f"/events?job={{job}},{UNKNOWN_ID}&after=1", {}, "after"),
        (f"/events?job={{job}},{UNKNOWN_ID}&after=1;2", {}, "after"),
        (f"/events?job={{job}},{UNKNOWN_ID}", {"Last-Event-ID": "3"}, "Last-Event-ID"),
        ("/events?job={job}&boundary=1", {}, "boundary"),
    ],
)
def test_an_invalid_request_for_a_stream_is_refused_before_it_starts(
    worker: ManualWorker, path: str, headers: dict[str, str], field: str
) -> None:
    job = worker.new_job()
    worker.fail(job)
    answer = worker.client.get(path.format(job=job.id), headers=ACCEPT | headers)
    assert_problem(answer, 422, "invalid-input", field=field, place="header" if field in headers else "query")


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_the_events_of_a_job_that_does_not_exist_are_not_found(worker: ManualWorker, accept: str) -> None:
    headers = {"Accept": accept}
    assert_problem(worker.client.get(f"/jobs/{UNKNOWN_ID}/events", headers=headers), 404, "job-not-found")
    if accept == "text/event-stream":
        job = worker.new_job()
        worker.fail(job)
        for other in (UNKNOWN_ID, "nonsense", "", "1" * 1_000):
            answer = worker.client.get(f"/events?job={job.id},{other}", headers=headers)
            assert_problem(answer, 404, "job-not-found")


def test_events_of_several_jobs_are_available_only_as_a_stream(worker: ManualWorker) -> None:
    job = worker.new_job()
    worker.fail(job)
    answer = worker.client.get(f"/events?job={job.id}", headers={"Accept": "application/json"})
    assert_problem(answer, 406, "not-acceptable")
    assert worker.client.get(f"/events?job={job.id}").headers["content-type"].startswith("text/event-stream")
    answer = worker.client.get(events_path(job), headers={"Accept": "image/png"})
    assert_problem(answer, 406, "not-acceptable")


@pytest.mark.slow
def test_streams_close_when_the_service_stops_and_resume_after_a_restart(tmp_path: Path) -> None:
    stopping = threading.Event()
    service = running(tmp_path, stopping=stopping, training_processes=0)
    with service as client, manual_worker(client, tmp_path) as worker:
        job, other = worker.new_job(), worker.new_job()
        with stream(client, events_path(job, other)) as events, stream(client, events_path(job)) as alone:
            seen = [next(events) for _ in range(6)]
            stopping.set()
            stopped_at = time.monotonic()
            (last,) = list(events)
            assert list(alone)[-1] == last
            assert time.monotonic() - stopped_at < 5, "this is how long requests may hold up a shutdown"
        worker.report(other)
        worker.fail(job)
        worker.fail(other)
    reason = "The service is stopping. Connect again with Last-Event-ID."
    assert last == StreamEvent("closing", {"reason": reason}, None, None, None)
    with running(tmp_path, training_processes=0) as client:
        rest = with_id(all_events(client, events_path(job, other), last_id=seen[-1].id))
    assert rest[-1].id == "4,5"
    assert len(rest) == 5


def test_a_stream_survives_an_outage_of_the_database(tmp_path: Path, mortal_postgresql: PostgreSQL) -> None:
    url = mortal_postgresql.new_database()
    service = running(tmp_path, training_processes=0, database_url=url)
    with service as client, manual_worker(client, tmp_path, url) as worker:
        job = worker.new_job()
        with stream(client, events_path(job), boundary=8) as events:
            assert [next(events).kind for _ in range(3)] == ["job", "status", "status"]
            mortal_postgresql.kill()
            ready = client.get("/health/ready")
            assert (ready.status_code, [one["part"] for one in ready.json()["missing"]]) == (200, ["database"])
            refused = client.get(events_path(job), headers=ACCEPT)
            assert_problem(refused, 503, "store-unavailable")
            mortal_postgresql.start()
            worker.report(job)
            assert next(events).id == "3"
            worker.fail(job)
            assert [event.kind for event in events] == ["status", "done"]


@pytest.mark.slow
def test_the_openapi_document_describes_pages_and_streams(worker: ManualWorker) -> None:
    paths = worker.client.get("/openapi.json").json()["paths"]
    responses = paths["/jobs/{job_id}/events"]["get"]["responses"]
    assert responses["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/EventPage")
    assert "text/event-stream" in responses["200"]["content"]
    assert list(paths["/events"]["get"]["responses"]["200"]["content"]) == ["text/event-stream"]
    assert "204" in responses
    for path in ("/events", "/jobs/{job_id}/events"):
        assert all(parameter["description"] for parameter in paths[path]["get"]["parameters"])
