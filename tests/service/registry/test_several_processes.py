"""Several API processes that share a database: `--workers` on one machine, or PostgreSQL on several machines."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.processes import Service, has_ended, service
from tests.serving import DEADLINE_S, running, train, wait_until


def process_of(answer: httpx.Response) -> str:
    """Identifies the process that sent a response."""
    return answer.headers["x-request-id"].partition("-")[0]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of two serving processes."""
    with service(tmp_path_factory.mktemp("pair"), "--workers", "2") as one:
        yield one


@pytest.mark.processes
def test_a_job_that_one_process_reports_as_succeeded_is_served_by_every_process(pair: Service) -> None:
    new_connections = httpx.Limits(max_keepalive_connections=0)  # so that either process may answer a request
    with httpx.Client(base_url=pair.address, timeout=DEADLINE_S, limits=new_connections) as client:
        processes = set()
        for version in range(1, 9):
            assert train(client, "m", training={"epochs": 1})["version"] == version
            for _ in range(12):
                answer = client.post("/predict", json={"model": "m", "points": [[0, 0]]})
                assert answer.json()["version"] == version
                processes.add(process_of(answer))
        assert len(processes) == 2


def requests_counted(address: str) -> tuple[str, float]:
    """A process of the service, and how many requests by its metrics asked for `/docs`, which only one test does."""
    answer = httpx.get(f"{address}/metrics", timeout=DEADLINE_S)
    name = 'separatrix_request_duration_seconds_count{method="GET",route="/docs",status="200"} '
    found = (float(line.removeprefix(name)) for line in answer.text.splitlines() if line.startswith(name))
    return process_of(answer), next(found, 0)


@pytest.mark.processes
def test_the_metrics_are_those_of_all_processes_also_of_one_that_has_died(pair: Service) -> None:
    for _ in range(12):  # each over a connection of its own, so by either process
        assert httpx.get(f"{pair.address}/docs", timeout=DEADLINE_S).status_code == 200
    informed = set()

    def both_know() -> bool:
        with ThreadPoolExecutor(8) as threads:  # a process that is not busy accepts all connections
            found = list(threads.map(requests_counted, [pair.address] * 8))
        informed.update(name for name, count in found if count == 12)
        return len(informed) == 2

    wait_until(both_know)
    process = pair.serving_processes()[0]
    process.kill()
    wait_until(lambda: pair.starts == 3)
    assert process not in pair.serving_processes()
    assert len(pair.serving_processes()) == 2
    assert requests_counted(pair.address)[1] == 12


@pytest.mark.processes
def test_serving_processes_are_replaced_when_they_die_and_end_with_their_parent(pair: Service) -> None:
    before, starts = pair.serving_processes(), pair.starts
    before[0].kill()
    wait_until(lambda: len(set(pair.serving_processes()) - set(before)) == 1)
    assert httpx.get(f"{pair.address}/health/live", timeout=DEADLINE_S).status_code == 200
    wait_until(lambda: pair.starts == starts + 1)

    family = pair.family()
    pair.kill()
    wait_until(lambda: all(has_ended(process) for process in family))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{pair.address}/health/live", timeout=DEADLINE_S)


@pytest.fixture
def hosts(tmp_path: Path, url: str) -> Iterator[Callable[..., httpx.Client]]:
    """Starts services that share a database and a data folder, like machines with a shared file system."""
    database = {"database_url": url} if url.startswith("postgresql") else {}
    with ExitStack() as stack:

        def start(**settings: int) -> httpx.Client:
            client: httpx.Client = stack.enter_context(running(tmp_path / "data", **database, **settings))
            return client

        yield start


@pytest.mark.slow
def test_services_on_one_database_run_each_others_jobs_and_serve_each_others_versions(
    hosts: Callable[..., httpx.Client],
) -> None:
    front, back = hosts(training_processes=0), hosts()
    for version in (1, 2, 3):
        job = train(front, "shared", training={"epochs": 5})
        assert (job["status"], job["version"]) == ("succeeded", version)
        for client in (back, front):
            answer = client.post("/predict", json={"model": "shared", "points": [[0, 0]]})
            assert answer.json()["version"] == version
            assert client.get(f"/jobs/{job['id']}").json() == job


@pytest.mark.slow
def test_a_service_that_has_ended_does_not_delay_the_others(
    hosts: Callable[..., httpx.Client], tmp_path: Path, url: str
) -> None:
    database = {"database_url": url} if url.startswith("postgresql") else {}
    front = hosts()
    with running(tmp_path / "data", training_processes=0, **database):
        assert train(front, "m")["version"] == 1
    assert train(front, "m")["version"] == 2
