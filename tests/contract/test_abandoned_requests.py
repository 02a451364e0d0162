"""Clients that go away: the service gives up the work for them, and others get their place."""

import re
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.serving import DEADLINE_S, running, train, wait_until

pytestmark = pytest.mark.slow

GRID = "/boundary-grid?model=wide&resolution=1000x{rows}&x_min=-9&x_max=9&y_max=9&y_min={low}&format=npy"
CROWD = 8
"""More than the threads for large responses: some of the requests wait for one."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with a network whose largest grids take about half a second."""
    with running(tmp_path_factory.mktemp("abandoned")) as client:
        small = {"dataset": "moons", "n": 20}
        train(client, "wide", data=small, network={"hidden": [96, 96]}, training={"epochs": 1})
        yield client


def abandoned(client: httpx.Client) -> int:
    """How many requests were abandoned so far."""
    (count,) = re.findall(r"^separatrix_abandoned_requests_total (\S+)", client.get("/metrics").text, re.MULTILINE)
    return int(float(count))


def grid(low: int) -> bytes:
    """A request for one of the largest grids."""
    return b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % GRID.format(rows=1_000, low=low).encode()


def send_and_leave(client: httpx.Client, requests: list[bytes]) -> None:
    """Sends each request on a connection of its own, and closes all connections before any response."""
    connections = [
        socket.create_connection((client.base_url.host, client.base_url.port or 80), DEADLINE_S) for _ in requests
    ]
    for connection, request in zip(connections, requests, strict=True):
        connection.sendall(request)
    client.get("/health/live")  # its answer means that the service has read everything sent before
    for connection in connections:
        connection.close()


def seconds(client: httpx.Client, path: str) -> float:
    """How long a request takes."""
    started = time.monotonic()
    assert client.get(path).status_code == 200
    return time.monotonic() - started


def test_abandoned_grids_are_given_up_and_free_their_threads(service: httpx.Client) -> None:
    seconds(service, GRID.format(rows=100, low=-9))  # loads the kernel
    one_grid_s = seconds(service, GRID.format(rows=1_000, low=-9))
    before = abandoned(service)
    started = time.monotonic()
    send_and_leave(service, [grid(-1 - i) for i in range(CROWD)])
    wait_until(lambda: abandoned(service) == before + CROWD)
    seconds(service, GRID.format(rows=10, low=-9))
    passed_s = time.monotonic() - started
    assert passed_s < CROWD / 4 * one_grid_s, "two processors would need at least twice as long for all grids"


@pytest.mark.parametrize("points", [1_000, 100_000])
def test_an_abandoned_prediction_is_given_up(service: httpx.Client, points: int) -> None:
    before = abandoned(service)
    body = b'{"model": "wide", "points": [[0,0]%s]}' % (b",[0.5,-0.25]" * (points - 1))
    head = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    )
    occupying = [
        b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % GRID.format(rows=1_000, low=-20 - i).encode() for i in range(4)
    ]
    send_and_leave(service, [*occupying, head + body])
    wait_until(lambda: abandoned(service) == before + 5)
    answer = service.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert len(answer.json()["labels"]) == points


def test_a_client_that_stays_gets_its_response_although_others_leave(service: httpx.Client) -> None:
    known = service.get(GRID.format(rows=50, low=-3)).content
    crowd = [
        b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % GRID.format(rows=1_000, low=-40 - i).encode()
        for i in range(CROWD)
    ]
    send_and_leave(service, crowd)
    answer = service.get(GRID.format(rows=50, low=-3), headers={"Accept": "*/*;q=0.5"})  # not the cached response
    assert answer.content == known
