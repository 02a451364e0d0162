"""The command `separatrix serve` as an operator starts it: a process of its own, on an empty data folder."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from service.starters import STARTERS
from tests.contract.problems import assert_problem
from tests.serving import DEADLINE_S, running, wait_until


@contextmanager
def serving(data_dir: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """A server process and a client of it."""
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(data_dir)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until(lambda: "running on" in log.read_text() or process.poll() is not None)
        address = log.read_text().partition("running on ")[2].split()[0]
        with httpx.Client(base_url=address, timeout=DEADLINE_S) as client:
            yield process, client
    finally:
        process.kill()
        process.wait()


def test_the_first_start_trains_the_tutorials_networks_and_later_ones_serve_them_at_once(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir, tmp_path / "first.log") as (process, client):
        assert client.get("/health/live").status_code == 200
        answer = client.get("/health/ready")
        assert_problem(answer, 503, "not-ready")
        assert answer.headers["retry-after"] == "1"
        assert "flower-module 0%" in answer.json()["detail"]
        wait_until(lambda: client.get("/health/ready").status_code == 200, deadline_s=120)

        models = client.get("/models").json()["data"]
        accuracy = {model["name"]: model["versions"][0]["training_accuracy"] for model in models}
        assert set(accuracy) == set(STARTERS)
        assert 0.4 < accuracy.pop("flower-logistic") < 0.6
        assert all(share > 0.9 for share in accuracy.values()), accuracy
        assert "training the tutorial's networks, once" in (tmp_path / "first.log").read_text()

        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0

    with serving(data_dir, tmp_path / "second.log") as (process, client):
        assert client.get("/health/ready").json() == {"status": "ready", "models": 4, "broken_versions": 0}
        libraries = {Path(file.path).name for file in psutil.Process(process.pid).memory_maps()}
        assert not any(name.startswith("libtorch") for name in libraries), "the serving process needs no torch"
        answer = client.post("/predict", json={"model": "flower-two-layer", "points": [[0.5, -0.25]]})
        assert answer.json()["labels"] == ["red"]
        libraries = {Path(file.path).name for file in psutil.Process(process.pid).memory_maps()}
        assert not any(name.startswith("libtorch") for name in libraries)
        assert client.get("/jobs").json()["data"][0]["attempt"] == 1, "nothing was trained again"


def test_a_request_that_waits_for_a_job_is_answered_at_once_when_the_service_is_told_to_stop(tmp_path: Path) -> None:
    with serving(tmp_path / "data", tmp_path / "log") as (process, client), ThreadPoolExecutor(1) as pool:
        path = client.get("/jobs").json()["data"][0]["links"]["self"]
        url = str(client.base_url.join(path))
        waiting = pool.submit(httpx.get, url, headers={"Prefer": "wait=60"}, timeout=DEADLINE_S)
        wait_until(lambda: len(psutil.Process(process.pid).net_connections("tcp")) >= 3)
        client.get("/health/live")  # answered after the other request has been read
        process.send_signal(signal.SIGTERM)
        answer = waiting.result(DEADLINE_S)
        assert answer.status_code == 200
        assert answer.json()["status"] in ("queued", "running")
        assert process.wait(DEADLINE_S) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_service_that_is_told_to_stop_while_it_starts_stops(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_until(lambda: "pydantic" in str([file.path for file in psutil.Process(process.pid).memory_maps()]))
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) in (0, -signal.SIGTERM)


def test_a_port_that_is_taken_is_said_and_ends_the_command(tmp_path: Path) -> None:
    with running(tmp_path / "one") as client:
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
