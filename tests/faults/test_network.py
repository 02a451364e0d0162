"""The network between the service and PostgreSQL is slow, is cut, or loses everything."""

import os
import time
from collections.abc import Iterator

import httpx
import pytest

from service.store.database import CONNECT_S, SILENCE_S
from tests.contract.problems import assert_problem
from tests.faults.proxy import FaultProxy
from tests.postgres import PostgreSQL
from tests.processes import Service, service
from tests.serving import train, wait_until

pytestmark = pytest.mark.processes

LONGEST_S = SILENCE_S + CONNECT_S + 30
"""Longest time until the service gives up a connection, with a margin for a busy machine."""


@pytest.fixture(scope="module")
def proxy(postgresql: PostgreSQL) -> Iterator[FaultProxy]:
    one = FaultProxy(postgresql.port)
    yield one
    one.close()


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, postgresql: PostgreSQL, proxy: FaultProxy) -> Iterator[Service]:
    """A service that reaches its database through the proxy, with a model."""
    url = postgresql.new_database().replace(f":{postgresql.port}/", f":{proxy.port}/")
    with service(tmp_path_factory.mktemp("behind"), "--lease-s", "60", "--database-url", url) as one:
        train(one.client, "served")
        yield one


def predicts(one: Service) -> bool:
    answer = one.client.post("/predict", json={"model": "served", "points": [[0, 0]]})
    return answer.status_code == 200


@pytest.fixture
def path(behind: Service) -> Iterator[str]:
    """The path of a job that has begun to train, and trains until the end of the test."""
    path = behind.submit()
    wait_until(lambda: behind.job(path)["progress"]["epoch"] > 0)
    yield path
    behind.client.post(f"{path}/cancel", headers={"Prefer": "wait=50"})


def assert_trains_on(one: Service, path: str) -> None:
    """Waits until a running job has made progress, and asserts that its first attempt made it."""
    epoch = one.job(path)["progress"]["epoch"]
    wait_until(lambda: one.job(path)["progress"]["epoch"] > epoch)
    assert one.job(path)["attempt"] == 1


def test_requests_and_trainings_succeed_over_a_slow_network(behind: Service, proxy: FaultProxy) -> None:
    proxy.latency_s = 0.05
    try:
        assert train(behind.client, "slowly")["status"] == "succeeded"
        assert predicts(behind)
    finally:
        proxy.latency_s = 0.0


def test_a_job_survives_cut_connections(behind: Service, proxy: FaultProxy, path: str) -> None:
    for _ in range(5):
        before = proxy.accepted
        proxy.cut()
        wait_until(lambda: behind.client.get(path).status_code == 200)
        assert proxy.accepted > before, "no connection was cut"
        assert_trains_on(behind, path)


def test_while_the_database_cannot_be_reached_requests_get_503_and_the_job_goes_on(
    behind: Service, proxy: FaultProxy, path: str
) -> None:
    with proxy.down():
        for answer in (
            behind.client.get(path),
            behind.client.post("/train", json={"data": {"dataset": "flower"}, "model": "m"}),
        ):
            assert_problem(answer, 503, "store-unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        assert predicts(behind)
    wait_until(lambda: behind.client.get(path).status_code == 200)
    assert_trains_on(behind, path)


@pytest.mark.skipif(os.environ.get("FAULTS") != "1", reason="waits for a minute: make test-faults")
def test_half_open_connections_are_given_up_in_time_and_the_job_goes_on(
    behind: Service, proxy: FaultProxy, path: str
) -> None:
    with proxy.half_open():
        began = time.monotonic()
        answer = behind.client.get(path, timeout=httpx.Timeout(LONGEST_S))
        assert time.monotonic() - began >= SILENCE_S / 2, "the connection was not half open"
        assert_problem(answer, 503, "store-unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert predicts(behind)
        assert behind.client.get("/health/live").status_code == 200
    wait_until(lambda: behind.client.get(path).status_code == 200, deadline_s=LONGEST_S)
    assert_trains_on(behind, path)
