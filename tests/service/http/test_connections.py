"""Connections of clients that send or read slowly, that say nothing, or that are too many."""

import json
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from tests.serving import DEADLINE_S, running, train, wait_until

TIMEOUT_S = 0.8
GRID = "/boundary-grid?model=plane&resolution=500&format=json"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with short deadlines and a model."""
    timeouts = dict.fromkeys(("head_timeout_s", "body_timeout_s", "write_timeout_s"), TIMEOUT_S)
    with running(tmp_path_factory.mktemp("data"), **timeouts) as client:
        train(client, "plane")
        yield client


def connect(service: httpx.Client) -> socket.socket:
    """A new connection. Its receive buffer is small, so that a response does not fit into it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.settimeout(DEADLINE_S)
    client.connect((service.base_url.host, service.base_url.port))
    return client


def answer(client: socket.socket) -> bytes:
    """All that the service sends until it closes the connection."""
    parts = []
    try:
        while part := client.recv(65_536):
            parts.append(part)
    except ConnectionResetError:  # the service has closed it before it read everything
        pass
    return b"".join(parts)


def problem(client: socket.socket) -> dict[str, Any]:
    """The problem that the service sends before it closes the connection."""
    head, _, body = answer(client).partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/problem+json" in head
    found: dict[str, Any] = json.loads(body)
    assert head.startswith(f"HTTP/1.1 {found['status']} ".encode())
    return found


def trickle(client: socket.socket, part: bytes) -> None:
    """Sends `part` again and again, with short pauses, until the service answers or closes the connection."""
    while not select.select([client], [], [], TIMEOUT_S / 8)[0]:
        client.sendall(part)


def assert_disconnected_if_it_does_not_read(service: httpx.Client) -> None:
    """Asserts that the service closes the connection of a client that sends requests and reads no response."""
    with connect(service) as client:
        closed = select.poll()
        closed.register(client, 0)  # reports only that the connection was closed
        # The responses are larger than the buffers of the kernel.
        client.sendall(f"GET {GRID} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 10)
        assert closed.poll(DEADLINE_S * 1_000)


@pytest.mark.slow
def test_connections_that_say_nothing_are_closed_and_do_not_delay_others(service: httpx.Client) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(service)) for _ in range(250)]
        assert service.get("/health/live").status_code == 200
        assert [answer(client) for client in silent] == [b""] * 250


@pytest.mark.slow
def test_headers_that_trickle_are_refused(service: httpx.Client) -> None:
    with connect(service) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\n")
        trickle(client, b"a: b\r\n")
        found = problem(client)
    assert (found["status"], found["code"]) == (408, "head-too-slow")


@pytest.mark.slow
def test_blank_lines_after_a_response_do_not_keep_a_connection_open(service: httpx.Client) -> None:
    with connect(service) as client:
        client.sendall(LIVE)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        trickle(client, b"\r\n")
        assert problem(client)["code"] == "head-too-slow"


@pytest.mark.slow
def test_a_body_that_trickles_without_a_pause_is_refused(service: httpx.Client) -> None:
    with connect(service) as client:
        headers = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 90000"
        client.sendall(b"POST /predict HTTP/1.1\r\n" + headers + b"\r\n\r\n{")
        trickle(client, b" ")
        found = problem(client)
    assert (found["status"], found["code"]) == (408, "body-too-slow")


@pytest.mark.slow
def test_the_rest_of_a_refused_body_does_not_keep_a_connection_open(service: httpx.Client) -> None:
    with connect(service) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\n{")
        assert client.recv(65_536).startswith(b"HTTP/1.1 413")
        trickle(client, b" ")
        assert answer(client) == b""


def test_a_head_without_an_end_is_refused_after_a_refused_body_too(service: httpx.Client) -> None:
    with connect(service) as client:
        client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 404")
        client.sendall(b"abcGET /" + b"a" * 600_000)
        assert problem(client)["code"] == "head-too-large"


@pytest.mark.parametrize("sizes", [(66_000,), (200_000,), (40_000, 60_000), (60_000, 5_000, 1_000)])
def test_a_large_head_is_refused_however_it_arrives(service: httpx.Client, sizes: tuple[int, ...]) -> None:
    with connect(service) as client:
        client.sendall(b"GET /models HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        for size in sizes:
            assert service.get("/health/live").status_code == 200, "the service has received what was sent before"
            client.sendall(b"a" * size + (b"\r\n\r\n" if size is sizes[-1] else b""))
        assert problem(client)["code"] == "head-too-large"


@pytest.mark.parametrize("cut", range(1, 5))
def test_a_head_may_end_anywhere_between_two_packets(service: httpx.Client, cut: int) -> None:
    body = b'{"model": "plane", "points": [' + b"[0.5, -0.25], " * 10_000 + b"[0, 0]]}"
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    message = head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with connect(service) as client:
        client.sendall(message[:-cut])
        assert service.get("/health/live").status_code == 200, "the service has received what was sent before"
        client.sendall(message[-cut:] + body)
        assert answer(client).startswith(b"HTTP/1.1 200 OK")


def test_a_body_that_follows_its_headers_does_not_count_as_headers(service: httpx.Client) -> None:
    points = [[0.123456, -0.25]] * 20_000
    assert len(service.post("/predict", json={"model": "plane", "points": points}).json()["labels"]) == 20_000


@pytest.mark.slow
def test_a_client_that_does_not_read_its_response_is_disconnected(service: httpx.Client) -> None:
    assert_disconnected_if_it_does_not_read(service)


@pytest.mark.slow
def test_a_client_that_reads_slowly_gets_the_whole_response(service: httpx.Client) -> None:
    expected = service.get(GRID, headers={"Accept-Encoding": "identity"}).content
    with connect(service) as client:
        client.sendall(f"GET {GRID} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while part := client.recv(len(expected) // 20):
            received += part
            Event().wait(TIMEOUT_S / 10)  # in total, longer than the deadline
    assert received.endswith(expected)


@pytest.mark.slow
def test_the_unread_responses_of_all_connections_have_a_common_bound(tmp_path: Path) -> None:
    patient = dict.fromkeys(("head_timeout_s", "body_timeout_s", "write_timeout_s"), 3_600)
    with running(tmp_path, **patient, max_unread_bytes=2**20) as service:
        train(service, "plane")
        assert_disconnected_if_it_does_not_read(service)
        assert service.get("/health/live").status_code == 200


@pytest.mark.parametrize("head", [b"GET /" + b"a" * 70_000, b"GET / HTTP/1.1\r\na: " + b"b" * 70_000])
def test_a_head_without_an_end_is_refused(service: httpx.Client, head: bytes) -> None:
    with connect(service) as client:
        client.sendall(head)
        found = problem(client)
    assert (found["status"], found["code"]) == (431, "head-too-large")


def test_bytes_that_are_not_http_get_a_problem(service: httpx.Client) -> None:
    with connect(service) as client:
        client.sendall(b"hello\r\n\r\n")
        found = problem(client)
    assert (found["status"], found["code"]) == (400, "malformed-request")


@pytest.mark.slow
def test_a_connection_beyond_the_limit_gets_a_problem(tmp_path: Path) -> None:
    with running(tmp_path, max_connections=5) as service:
        with ExitStack() as stack:
            for _ in range(5):  # the default deadlines are longer than the test
                stack.enter_context(connect(service)).sendall(b"GET")
            with connect(service) as one_more:
                found = problem(one_more)
        wait_until(lambda: service.get("/health/live").status_code == 200)
    assert (found["status"], found["code"]) == (503, "too-many-connections")
