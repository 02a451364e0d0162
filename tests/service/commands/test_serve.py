"""The command `separatrix serve` as an operator starts it: a process of its own, on an empty data folder."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from service.jobs.seed_models import SEED_MODELS
from tests.contract.problems import assert_problem
from tests.processes import Service, has_ended, separatrix, service
from tests.serving import DEADLINE_S, running, train, wait_until
from tests.streams import all_events

pytestmark = pytest.mark.processes


def test_the_first_start_trains_the_tutorials_networks_and_the_next_start_serves_them_at_once(tmp_path: Path) -> None:
    with service(tmp_path, "--seed-models") as one:
        assert one.client.get("/health/live").status_code == 200
        answer = one.client.get("/health/ready")
        assert_problem(answer, 503, "not-ready")
        assert answer.headers["retry-after"] == "1"
        assert "flower-module 0%" in answer.json()["detail"]
        wait_until(lambda: one.client.get("/health/ready").status_code == 200)

        models = one.client.get("/models").json()["data"]
        accuracy = {model["name"]: model["latest"]["metrics"]["training_accuracy"] for model in models}
        assert set(accuracy) == set(SEED_MODELS)
        assert 0.4 < accuracy.pop("flower-logistic") < 0.6
        assert all(share > 0.9 for share in accuracy.values()), accuracy
        assert "training the tutorial's networks, once" in one.log
        one.tell_to_stop()
        assert one.wait() == 0

        one.start("--training-processes", "0")
        ready = {"status": "ready", "models": 4, "broken_versions": 0, "missing": []}
        assert one.client.get("/health/ready").json() == ready
        assert not has_torch(one.process), "a serving process must not import torch"
        answer = one.client.post("/predict", json={"model": "flower-two-layer", "points": [[0.5, -0.25]]})
        assert answer.json()["labels"] == ["red"]
        assert not has_torch(one.process)
        assert one.client.get("/jobs").json()["data"][0]["attempt"] == 1, "nothing was trained again"


def has_torch(process: psutil.Process) -> bool:
    return any(Path(file.path).name.startswith("libtorch") for file in process.memory_maps())


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of one serving process."""
    with service(tmp_path_factory.mktemp("single")) as one:
        yield one


def test_a_stopping_service_finishes_requests_and_ends_streams_and_waits(single: Service) -> None:
    one = single
    with ThreadPoolExecutor(2) as pool, httpx.Client(base_url=one.address) as other:
        train(one.client, "m")
        path = one.submit()
        wait_until(lambda: one.job(path)["status"] == "running")
        waiting = pool.submit(httpx.get, f"{one.address}{path}", headers={"Prefer": "wait=60"}, timeout=DEADLINE_S)
        following = pool.submit(all_events, other, f"{path}/events")
        wait_until(lambda: len(one.process.net_connections("tcp")) >= 4)

        def slow_body() -> Iterator[bytes]:
            yield b'{"model": "m", "points": [[0, 0],'
            one.client.get("/health/live")  # its answer means that the service has read everything sent before
            one.tell_to_stop()
            wait_until(lambda: refuses(one.client))
            yield b"[1, 1]]}"

        headers = {"Content-Type": "application/json"}
        url = f"{one.address}/predict"
        answer = httpx.post(url, content=slow_body(), headers=headers, timeout=DEADLINE_S)
        assert (answer.status_code, len(answer.json()["labels"])) == (200, 2)
        answer = waiting.result(DEADLINE_S)
        assert (answer.status_code, answer.json()["status"]) == (200, "running")
        assert following.result(DEADLINE_S)[-1].kind == "closing"
        assert one.wait() == 0
        assert "Traceback" not in one.log

        one.start()
        wait_until(lambda: one.job(path)["attempt"] == 2)
        assert one.job(path)["status"] == "running", "the next start resumes the training"
        one.client.post(f"{path}/cancel", headers={"Prefer": "wait=50"})


@pytest.mark.parametrize("workers", [1, 2])
def test_no_process_outlives_the_service_and_its_jobs_are_queued_again(
    tmp_path: Path, workers: int, request: pytest.FixtureRequest
) -> None:
    with ExitStack() as stack:
        if workers == 1:
            one: Service = request.getfixturevalue("single")
        else:
            one = stack.enter_context(service(tmp_path, "--workers", str(workers)))
        paths = [one.submit() for _ in range(workers)]
        wait_until(lambda: all(one.job(path)["status"] == "running" for path in paths))
        assert len(one.training_processes()) == workers
        family = one.family()
        assert set(family) >= {*one.fork_servers(), *one.training_processes()}
        one.tell_to_stop()
        assert one.wait() == 0
        assert [process for process in family if not has_ended(process)] == []
        assert "Traceback" not in one.log
    with running(one.data_dir, training_processes=0) as client:
        assert [client.get(path).json()["status"] for path in paths] == ["queued"] * workers


def refuses(client: httpx.Client) -> bool:
    """Whether a service accepts no more requests."""
    try:
        return client.get("/health/ready").status_code == 503
    except httpx.TransportError:
        return True


def test_a_service_that_is_stopped_while_it_starts_ends(tmp_path: Path) -> None:
    with separatrix("serve", "--port", "0", "--data-dir", str(tmp_path), stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: "pydantic" in str([file.path for file in process.memory_maps()]))
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) in (0, -signal.SIGTERM)


def test_a_service_ends_although_its_fork_server_has_not_started_yet(tmp_path: Path) -> None:
    with service(tmp_path) as one:
        wait_until(lambda: one.fork_servers() != [])
        (fork_server,) = one.fork_servers()
        fork_server.suspend()  # as if it took forever to import torch
        one.tell_to_stop()
        assert one.wait() == 0
        assert has_ended(fork_server)
        assert "ERROR" not in one.log


def test_the_fork_server_of_an_idle_service_has_imported_torch_only_and_ends_with_the_service(tmp_path: Path) -> None:
    with service(tmp_path, "--training-idle-s", "0.1", "--log-format", "json", "--log-level", "debug") as one:
        train(one.client, "m", training={"epochs": 1})
        assert_log_is_json(one)
        wait_until(lambda: any(map(is_in_standby, one.fork_servers())))
        (fork_server,) = one.fork_servers()
        assert one.training_processes() == []
        assert train(one.client, "m", training={"epochs": 1})["status"] == "succeeded"
        assert one.fork_servers() == [fork_server]
        wait_until(lambda: one.fork_servers() != [fork_server] and any(map(is_in_standby, one.fork_servers())))
        (fork_server,) = one.fork_servers()
        one.kill()
        wait_until(lambda: has_ended(fork_server))


def assert_log_is_json(one: Service) -> None:
    """Sends a request with an id, a key and a point. Asserts that the log is JSON and has only the id."""
    headers = {"X-Request-ID": "asked-1", "Authorization": "Bearer secret"}
    body = {"model": "m", "data": {"points": [[12.125, 0], [0, 1]], "labels": [0, 1]}, "training": {"epochs": 1}}
    answer = one.client.post("/train?validate_only=true", json=body, headers=headers)
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "asked-1")
    wait_until(lambda: '"status":200,"request_id":"asked-1"' in one.log)
    lines = [json.loads(line) for line in one.log.splitlines()]
    assert {"uvicorn.error", "uvicorn.access", "separatrix.audit"} <= {line["logger"] for line in lines}
    mine = [line for line in lines if line.get("request_id") == "asked-1"]
    assert {line["logger"] for line in mine} == {"uvicorn.access", "separatrix.audit"}
    assert "secret" not in one.log
    assert "12.125" not in one.log


def is_in_standby(process: psutil.Process) -> bool:
    """Whether a process has imported torch (100 MiB) and then released the pages of the files that it had read."""
    with suppress(psutil.NoSuchProcess):
        memory = process.memory_info()
        return bool(memory.rss - memory.shared > 100 * 2**20 > 4 * memory.shared)
    return False


def test_serve_reports_a_port_that_is_taken_and_ends(tmp_path: Path) -> None:
    with running(tmp_path / "one", training_processes=0) as client:
        port = str(client.base_url.port)
        done = subprocess.run(
            [sys.executable, "-m", "service", "serve", "--port", port, "--data-dir", str(tmp_path / "two")],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == f"separatrix: 127.0.0.1:{port}: Address already in use; choose another with --port\n"
