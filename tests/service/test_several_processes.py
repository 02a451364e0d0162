"""Several API processes on one database: on one machine by `--workers`, on several by PostgreSQL."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.faults.services import command_of
from tests.serving import DEADLINE_S, running, train, wait_until


@contextmanager
def serving(data_dir: Path, log: Path, *options: str) -> Iterator[tuple[psutil.Process, str]]:
    """The parent of two serving processes, and their address."""
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(data_dir)]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "--workers", "2", "--no-starters", *options], stderr=output)
    parent = psutil.Process(process.pid)
    try:
        wait_until(lambda: log.read_text().count("startup complete") == 2 or process.poll() is not None)
        yield parent, log.read_text().partition("running on ")[2].split()[0]
    finally:
        family = parent.children(recursive=True) if parent.is_running() else []
        for one in (process, *family):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def who_answers(answer: httpx.Response) -> str:
    return answer.headers["x-request-id"].partition("-")[0]


def test_what_one_process_reports_as_succeeded_every_process_serves(tmp_path: Path) -> None:
    with serving(tmp_path / "data", tmp_path / "log") as (_, address):
        asked = set()
        for version in range(1, 9):
            with httpx.Client(base_url=address, timeout=DEADLINE_S) as client:
                assert train(client, "m", training={"epochs": 1})["version"] == version
            for _ in range(12):  # each by a connection of its own, which goes to whichever process is first
                answer = httpx.post(f"{address}/predict", json={"model": "m", "points": [[0, 0]]}, timeout=DEADLINE_S)
                assert answer.json()["version"] == version
                asked.add(who_answers(answer))
        assert len(asked) == 2


def test_serving_processes_that_die_are_replaced_and_end_with_their_parent(tmp_path: Path) -> None:
    with serving(tmp_path / "data", tmp_path / "log") as (parent, address):

        def serving_processes() -> list[psutil.Process]:
            return [child for child in parent.children() if "multiprocessing.spawn" in command_of(child)]

        family = serving_processes()
        family[0].kill()
        wait_until(lambda: len({child.pid for child in serving_processes()} - {one.pid for one in family}) == 1)
        assert httpx.get(f"{address}/health/live", timeout=DEADLINE_S).status_code == 200
        wait_until(lambda: (tmp_path / "log").read_text().count("startup complete") == 3)

        family = parent.children(recursive=True)
        parent.kill()
        wait_until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family))
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health/live", timeout=DEADLINE_S)


def test_several_processes_end_in_time_when_they_are_told_to(tmp_path: Path) -> None:
    with serving(tmp_path / "data", tmp_path / "log") as (parent, address):
        long = {"model": "m", "data": {"dataset": "flower"}, "network": {"hidden": [64, 64]}}
        for _ in range(2):
            httpx.post(f"{address}/train", json=long | {"training": {"epochs": 1_000_000}}, timeout=DEADLINE_S)
        wait_until(lambda: [job["status"] for job in httpx.get(f"{address}/jobs").json()["data"]] == ["running"] * 2)
        family = parent.children(recursive=True)
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(10) == 0
        wait_until(lambda: not any(one.is_running() for one in family))
    assert "Traceback" not in (tmp_path / "log").read_text()
    with running(tmp_path / "data", training_processes=0) as client:
        assert [job["status"] for job in client.get("/jobs").json()["data"]] == ["queued"] * 2


@pytest.fixture
def hosts(tmp_path: Path, url: str) -> Iterator[Callable[..., httpx.Client]]:
    """Starts services that share a database and a data folder, as on machines that share a file system."""
    database = {"database_url": url} if url.startswith("postgresql") else {}
    with ExitStack() as stack:

        def start(**settings: int) -> httpx.Client:
            client: httpx.Client = stack.enter_context(running(tmp_path / "data", **database, **settings))
            return client

        yield start


def test_services_on_one_database_do_each_others_jobs_and_serve_each_others_versions(
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


def test_a_service_that_ends_holds_up_nobody(hosts: Callable[..., httpx.Client], tmp_path: Path, url: str) -> None:
    database = {"database_url": url} if url.startswith("postgresql") else {}
    front = hosts()
    with running(tmp_path / "data", training_processes=0, **database):
        assert train(front, "m")["version"] == 1
    assert train(front, "m")["version"] == 2
