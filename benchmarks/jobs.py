"""Jobs as those see them who submit, follow and wait for them."""

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
LISTENERS, FOLLOWED_S = 200, 10
REQUESTS, ROUNDS = 3_000, 7

TUTORIAL = {"model": "tutorial", "data": {"dataset": "flower"}}
WITHOUT_END = {
    "model": "endless",
    "data": {"dataset": "flower"},
    "network": {"hidden": [64, 64]},
    "training": {"epochs": 1_000_000},
}


def show(title: str, headings: tuple[str, ...], *rows: tuple[str, ...]) -> None:
    """Prints a table."""
    shown = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        shown.add_column(heading, justify="right" if number else "left")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def the_trainings_alone() -> float:
    """Seconds that the kernel takes for one tutorial job, nothing around it."""
    warm_up_training()
    network, points = build(NetworkSpec(), 2, 2, seed=0), generate(DatasetSpec())
    return seconds(lambda: train(network, points, TrainingSpec()))


def submit(client: httpx.Client, body: dict[str, object], headers: dict[str, str] | None = None) -> str:
    """The path of a new job."""
    answer = client.post("/train", json=body, headers=headers)
    answer.raise_for_status()
    return answer.headers["location"]


def endless(client: httpx.Client, jobs: int) -> list[str]:
    """The paths of so many new jobs that do not end by themselves, once they run."""
    paths = [submit(client, WITHOUT_END) for _ in range(jobs)]
    wait_until(lambda: all(client.get(path).json()["status"] == "running" for path in paths))
    return paths


def many(client: httpx.Client) -> None:
    """So many jobs from so many clients at once, until the last has ended."""

    def one(_: int) -> None:
        submit(client, TUTORIAL, {"Prefer": "wait=60"})

    with ThreadPoolExecutor(CLIENTS) as pool:
        taken_s = seconds(lambda: list(pool.map(one, range(JOBS))))
    alone_s = the_trainings_alone()
    show(
        f"{JOBS} tutorial jobs by {CLIENTS} clients, two training processes",
        ("", "jobs a second"),
        ("submitted, trained, published, told", f"{JOBS / taken_s:.1f}"),
        ("the trainings alone, one after the other", f"{1 / alone_s:.1f}"),
    )


def submit_to_done(client: httpx.Client) -> None:
    """One job at a time: by a request that waits, and by the stream of its events."""
    waited = [seconds(lambda: submit(client, TUTORIAL, {"Prefer": "wait=60"})) for _ in range(30)]
    followed = [seconds(lambda: follow_to_the_end(client)) for _ in range(30)]
    alone = [the_trainings_alone() for _ in range(5)]
    show(
        "one tutorial job",
        ("", "median", "slowest of 30"),
        (
            "from POST /train to its answer, Prefer: wait",
            milliseconds(statistics.median(waited)),
            milliseconds(max(waited)),
        ),
        (
            "from POST /train to `done` in its stream",
            milliseconds(statistics.median(followed)),
            milliseconds(max(followed)),
        ),
        ("the training alone", milliseconds(statistics.median(alone)), ""),
    )


def milliseconds(duration_s: float) -> str:
    """For a table."""
    return f"{duration_s * 1e3:.1f} ms"


def follow_to_the_end(client: httpx.Client) -> None:
    """Submits a job, and reads its stream until that ends."""
    path = submit(client, TUTORIAL)
    with client.stream("GET", f"{path}/events", headers={"Accept": "text/event-stream"}) as answer:
        assert "event: done" in "".join(answer.iter_text())


def listeners(server: Running, client: httpx.Client) -> None:
    """What it costs the serving process to stream one running job to many, without and with frames."""
    (path,) = endless(client, 1)
    rows = []
    for name, query in (("events", ""), ("events, and frames of 64 x 64", "?boundary=64")):
        received, share = asyncio.run(stream_to_many(server, f"{path}/events{query}"))
        rows.append((name, f"{received / LISTENERS / FOLLOWED_S:.1f}", f"{share:.0%}"))
    client.post(f"{path}/cancel")
    show(f"one running job streamed to {LISTENERS}", ("", "messages a second to each", "of a core"), *rows)


async def stream_to_many(server: Running, path: str) -> tuple[int, float]:
    """The messages that all receive together, and the share of a core that the serving process takes."""
    address = urlsplit(server.address)
    received = 0

    async def listen() -> None:
        nonlocal received
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())
        try:
            while chunk := await reader.read(2**16):
                received += chunk.count(b"event: ")
        finally:
            writer.close()

    tasks = [asyncio.create_task(listen()) for _ in range(LISTENERS)]
    await asyncio.sleep(2)  # all are connected, and have been told what was
    process = psutil.Process(server.pid)
    before, received, began = sum(process.cpu_times()[:2]), 0, time.perf_counter()
    await asyncio.sleep(FOLLOWED_S)
    share = (sum(process.cpu_times()[:2]) - before) / (time.perf_counter() - began)
    counted = received
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return counted, share


def predictions_beside(server: Running, client: httpx.Client) -> None:
    """One point after the other, while nothing else runs and while two trainings do, in turns."""
    submit(client, TUTORIAL, {"Prefer": "wait=60"})
    idle, busy = [], []
    for _ in range(ROUNDS):
        idle.append(point_after_point(server))
        paths = endless(client, 2)
        busy.append(point_after_point(server))
        for path in paths:
            client.post(f"{path}/cancel", headers={"Prefer": "wait=10"}).raise_for_status()
    rows = [
        (name, *(milliseconds(median_percentile(rounds, share)) for share in (50, 99)))
        for name, rounds in (("nothing", idle), ("two trainings", busy))
    ]
    show(f"one-point /predict beside, median of {ROUNDS} rounds", ("", "p50", "p99"), *rows)


def median_percentile(rounds: list[list[float]], share: int) -> float:
    """The median of a percentile over some rounds: a machine has its moments."""
    return statistics.median(statistics.quantiles(times, n=100)[share - 1] for times in rounds)


def point_after_point(server: Running) -> list[float]:
    """Seconds of each of so many predictions on one connection."""
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
    """Looks every few milliseconds."""
    while not condition():
        time.sleep(0.005)


def main() -> None:
    """All of it, on a service of its own with two training processes."""
    with tempfile.TemporaryDirectory() as folder:
        server = separatrix(Path(folder), "--no-seed-models", "--training-processes", "2")
        with running(server, 8766) as up, httpx.Client(base_url=up.address, timeout=60) as client:
            follow_to_the_end(client)
            many(client)
            submit_to_done(client)
            listeners(up, client)
            predictions_beside(up, client)


if __name__ == "__main__":
    main()
