"""Training jobs as clients experience them: submitting, following and waiting."""

import asyncio
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from rich.table import Table

from benchmarks.servers import Running, running, separatrix
from benchmarks.tables import console, seconds
from models.datasets import generate
from models.networks.modules import build
from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from models.training.compiled_run import warm_up_training
from models.training.train import train

JOBS, CLIENTS = 200, 20
LATENCY_JOBS = 30
SUBSCRIBERS, FOLLOWED_S = 200, 10
REQUESTS, ROUNDS = 3_000, 7

TUTORIAL_JOB = {"model": "tutorial", "data": {"dataset": "flower"}}
ENDLESS_JOB = {
    "model": "endless",
    "data": {"dataset": "flower"},
    "network": {"hidden": [64, 64]},
    "training": {"epochs": 1_000_000},
}


def show(title: str, headings: tuple[str, ...], *rows: tuple[str, ...]) -> None:
    """Prints a table."""
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def bare_training() -> float:
    """Seconds that the kernel takes to train the tutorial's network, without a job around it."""
    warm_up_training()
    network, points = build(NetworkSpec(), 2, 2, seed=0), generate(DatasetSpec())
    return seconds(lambda: train(network, points, TrainingSpec()))


def submit(client: httpx.Client, body: dict[str, object], headers: dict[str, str] | None = None) -> str:
    """Submits a job and returns its path."""
    answer = client.post("/train", json=body, headers=headers)
    answer.raise_for_status()
    return answer.headers["location"]


def start_endless(client: httpx.Client, jobs: int) -> list[str]:
    """Starts jobs that do not end by themselves, and returns their paths once all are running."""
    paths = [submit(client, ENDLESS_JOB) for _ in range(jobs)]
    wait_until(lambda: all(client.get(path).json()["status"] == "running" for path in paths))
    return paths


def throughput(client: httpx.Client) -> None:
    """Prints how many jobs a second the service completes, submitted by several clients at once."""

    def run_one(_: int) -> None:
        submit(client, TUTORIAL_JOB, {"Prefer": "wait=60"})

    with ThreadPoolExecutor(CLIENTS) as pool:
        taken_s = seconds(lambda: list(pool.map(run_one, range(JOBS))))
    bare_s = bare_training()
    show(
        f"{JOBS} tutorial jobs by {CLIENTS} clients, two training processes",
        ("", "jobs a second"),
        ("jobs, from POST /train to its response", f"{JOBS / taken_s:.1f}"),
        ("the trainings alone, one after another", f"{1 / bare_s:.1f}"),
    )


def latency(client: httpx.Client) -> None:
    """Prints how long one job takes at a time: with a request that waits, and with its event stream."""
    waited = [seconds(lambda: submit(client, TUTORIAL_JOB, {"Prefer": "wait=60"})) for _ in range(LATENCY_JOBS)]
    followed = [seconds(lambda: follow(client)) for _ in range(LATENCY_JOBS)]
    bare = [bare_training() for _ in range(5)]
    show(
        "one tutorial job",
        ("", "median", f"slowest of {LATENCY_JOBS}"),
        (
            "from POST /train to its response, Prefer: wait",
            milliseconds(statistics.median(waited)),
            milliseconds(max(waited)),
        ),
        (
            "from POST /train to the `done` event",
            milliseconds(statistics.median(followed)),
            milliseconds(max(followed)),
        ),
        ("the training alone", milliseconds(statistics.median(bare)), ""),
    )


def milliseconds(duration_s: float) -> str:
    """The duration as a table shows it."""
    return f"{duration_s * 1e3:.1f} ms"


def follow(client: httpx.Client) -> None:
    """Submits a job and reads its event stream to the end."""
    path = submit(client, TUTORIAL_JOB)
    with client.stream("GET", f"{path}/events", headers={"Accept": "text/event-stream"}) as answer:
        assert "event: done" in "".join(answer.iter_text())


def streams(server: Running, client: httpx.Client) -> None:
    """Prints what it costs the API process to stream one running job to many clients, without and with frames."""
    (path,) = start_endless(client, 1)
    rows = []
    for name, query in (("events", ""), ("events and 64 x 64 frames", "?boundary=64")):
        received, share = asyncio.run(stream_to_many(server, f"{path}/events{query}"))
        rows.append((name, f"{received / SUBSCRIBERS / FOLLOWED_S:.1f}", f"{share:.0%}"))
    client.post(f"{path}/cancel")
    show(
        f"one running job streamed to {SUBSCRIBERS} clients", ("", "events a second to each", "share of a core"), *rows
    )


async def stream_to_many(server: Running, path: str) -> tuple[int, float]:
    """The number of events that all clients together receive, and the share of a core that the API process uses."""
    address = urlsplit(server.address)
    received = 0

    async def subscribe() -> None:
        nonlocal received
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())
        try:
            while chunk := await reader.read(2**16):
                received += chunk.count(b"event: ")
        finally:
            writer.close()

    tasks = [asyncio.create_task(subscribe()) for _ in range(SUBSCRIBERS)]
    await asyncio.sleep(2)  # until all are connected and have received the past events
    process = psutil.Process(server.pid)
    before, received, began = sum(process.cpu_times()[:2]), 0, time.perf_counter()
    await asyncio.sleep(FOLLOWED_S)
    share = (sum(process.cpu_times()[:2]) - before) / (time.perf_counter() - began)
    counted = received
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return counted, share


def prediction_latency(server: Running, client: httpx.Client) -> None:
    """Prints how long predictions of one point take, alternately with no training running and with two."""
    submit(client, TUTORIAL_JOB, {"Prefer": "wait=60"})
    idle, busy = [], []
    for _ in range(ROUNDS):
        idle.append(predict_points(server))
        paths = start_endless(client, 2)
        busy.append(predict_points(server))
        for path in paths:
            client.post(f"{path}/cancel", headers={"Prefer": "wait=10"}).raise_for_status()
    rows = [
        (name, *(milliseconds(median_percentile(rounds, share)) for share in (50, 99)))
        for name, rounds in (("no training", idle), ("two trainings", busy))
    ]
    show(f"POST /predict of one point during other work, median of {ROUNDS} rounds", ("", "p50", "p99"), *rows)


def median_percentile(rounds: list[list[float]], share: int) -> float:
    """The median over rounds of a percentile, so that single slow rounds do not count."""
    return statistics.median(statistics.quantiles(times, n=100)[share - 1] for times in rounds)


def predict_points(server: Running) -> list[float]:
    """The duration of each of `REQUESTS` predictions on one connection, in seconds."""
    connection = http.client.HTTPConnection(server.address.removeprefix("http://"))
    body = json.dumps({"model": "tutorial", "points": [[0.5, -0.25]]})

    def predict() -> None:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()

    times = [seconds(predict) for _ in range(REQUESTS)]
    connection.close()
    return times


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds, checking it every few milliseconds."""
    while not condition():
        time.sleep(0.005)


def main() -> None:
    """Runs all measurements on a new service with two training processes."""
    with tempfile.TemporaryDirectory() as folder:
        server = separatrix(Path(folder), "--no-seed-models", "--training-processes", "2")
        with running(server, 8766) as up, httpx.Client(base_url=up.address, timeout=60) as client:
            follow(client)
            throughput(client)
            latency(client)
            streams(up, client)
            prediction_latency(up, client)


if __name__ == "__main__":
    main()
