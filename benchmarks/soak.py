"""A mixed load on one service for minutes: `make soak`. Fails if memory grows, descriptors leak or a status is 5xx.

Threads send predictions of several sizes and formats, grids, trainings with their event streams, datasets and invalid
requests. They pause in between, so that the load is the same on a fast machine. During the first fifth of the time the
caches fill.
"""

import argparse
import io
import itertools
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.servers import running, separatrix

MAX_GROWTH = 0.05
"""Largest share by which the memory of all processes may grow from the second fifth of the time to the last."""

PAUSE_S = 0.05
"""Mean pause between two requests of a thread, in seconds."""

REQUESTS_PER_CONNECTION = 100

LOOK_EVERY_S = 2.0

SETTLED_S = 60.0
"""Longest time until a service has closed the connections of clients that are gone, in seconds."""

OPTIONS = ("--response-cache-bytes", "2000000", "--keep-versions", "5", "--max-sessions", "20")
"""Bounds so small that they are reached in the first fifth of the time."""


@dataclass
class Load:
    """Sends requests and counts the responses.

    Attributes:
        stopping: ends the load when it is set.
        statuses: how often each kind of request was answered with each status.
        failures: server errors, broken connections, and refusals of valid requests.
    """

    address: str
    stopping: threading.Event = field(default_factory=threading.Event)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def run(self, name: str, send: Callable[[httpx.Client, int], httpx.Response]) -> None:
        """Sends one kind of request until `stopping` is set."""
        for number in itertools.count():
            with httpx.Client(base_url=self.address, timeout=120) as client:
                for step in range(REQUESTS_PER_CONNECTION):
                    if self.stopping.wait(PAUSE_S * random.uniform(0.5, 1.5)):  # noqa: S311
                        return
                    self._send(name, send, client, REQUESTS_PER_CONNECTION * number + step)

    def _send(
        self, name: str, send: Callable[[httpx.Client, int], httpx.Response], client: httpx.Client, number: int
    ) -> None:
        try:
            answer = send(client, number)
        except httpx.HTTPError as error:
            self.failures.append(f"{name}: {error!r}")
            return
        self.statuses[name, answer.status_code] += 1
        if answer.status_code >= 500 or (name != "broken" and not answer.is_success):
            self.failures.append(f"{name}: {answer.status_code} {answer.text[:300]}")


def _npy(points: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.random.default_rng(points).normal(size=(points, 2)))
    return file.getvalue()


MANY, LARGE = [[0.25, -0.5]] * 1_000, _npy(20_000)
WRONG = [b"", b"{", b'{"model": "soak"}', b'{"model": "none", "points": [[0, 0]]}', b"[" * 5_000, b"\xff" * 300]
CSV = b"x,y,label\n" + b"0.5,1,a\n1.5,2,b\n" * 200


def small(client: httpx.Client, _: int) -> httpx.Response:
    """One point as JSON."""
    return client.post("/predict", json={"model": "soak", "points": [[0.5, 1.0]]})


def medium(client: httpx.Client, _: int) -> httpx.Response:
    """A thousand points as JSON."""
    return client.post("/predict", json={"model": "soak", "points": MANY})


def large(client: httpx.Client, _: int) -> httpx.Response:
    """20,000 points as an array."""
    return client.post("/predict?model=soak", content=LARGE, headers={"content-type": "application/x-npy"})


def inference(client: httpx.Client, _: int) -> httpx.Response:
    """One point by the Open Inference Protocol."""
    tensor = {"name": "points", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 1.0]}
    return client.post("/v2/models/soak/infer", json={"inputs": [tensor]})


def grid(client: httpx.Client, number: int) -> httpx.Response:
    """A grid in one of four formats."""
    kind = ("png", "json", "svg", "npy")[number % 4]
    return client.get("/boundary-grid", params={"model": "soak", "resolution": 64 + number % 50, "format": kind})


def training(client: httpx.Client, number: int) -> httpx.Response:
    """A training, published or not, whose events are read to the end."""
    body = {
        "data": {"dataset": "flower", "n": 100, "seed": number % 1_000},
        "training": {"epochs": 200, "seed": number % 1_000},
    }
    body |= {"publish": False} if number % 2 else {"model": "soak"}
    answer = client.post("/train", json=body)
    if answer.status_code == 202:
        with client.stream(
            "GET", f"{answer.headers['location']}/events", headers={"accept": "text/event-stream"}
        ) as events:
            for _ in events.iter_lines():
                pass
    return answer


def dataset(client: httpx.Client, _: int) -> httpx.Response:
    """Stores a dataset, and deletes it."""
    answer = client.post("/datasets/soaked", content=CSV, headers={"content-type": "text/csv"})
    client.delete("/datasets/soaked")
    return answer


def broken(client: httpx.Client, number: int) -> httpx.Response:
    """Sends an invalid request. One time in ten, also closes another connection in the middle of a request."""
    if number % 10 == 0:
        with (
            suppress(OSError),
            httpx.Client(base_url=client.base_url, timeout=0.01) as hasty,
            suppress(httpx.HTTPError),
        ):
            hasty.post("/predict?model=soak", content=LARGE, headers={"content-type": "application/x-npy"})
    path = ("/predict", "/train", "/models/x/versions", "/v2/models/soak/infer", "/nowhere")[number % 5]
    return client.post(path, content=random.choice(WRONG), headers={"content-type": "application/json"})  # noqa: S311


def reading(client: httpx.Client, number: int) -> httpx.Response:
    """Reads what pages and monitors read."""
    return client.get(("/models", "/jobs?limit=20", "/metrics", "/health/ready", "/", "/datasets")[number % 6])


KINDS = (small, medium, large, inference, grid, training, dataset, broken, reading)


@dataclass(frozen=True)
class Look:
    """Proportional memory in MiB, open descriptors and number of all processes of the service at one moment.

    Descriptors of the database do not count: a pool opens them when several threads need one, up to its bound.
    """

    memory: float
    descriptors: int
    processes: int


def look(pid: int) -> Look:
    """Looks at a service. Processes that end meanwhile do not count."""
    root = psutil.Process(pid)
    memory, descriptors, processes = 0.0, 0, 0
    for one in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            memory += one.memory_full_info().pss / 2**20
            descriptors += sum("separatrix.db" not in str(target) for target in _open_files(one.pid))
            processes += 1
    return Look(memory, descriptors, processes)


def _open_files(pid: int) -> Iterator[Path]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # it has been closed meanwhile
            yield entry.readlink()


def idle(pid: int, at_most: float = 0) -> Look:
    """Waits until at most `at_most` descriptors are open, or for `SETTLED_S`. Returns the last look at the service."""
    until = time.monotonic() + SETTLED_S
    while time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
        found = look(pid)
        if found.descriptors <= at_most:
            break
    return found


def work(load: Load, pid: int, minutes: float) -> list[Look]:
    """Runs the load for `minutes`. Returns the looks at the service during that time."""
    load.stopping.clear()
    threads = [threading.Thread(target=load.run, args=(kind.__name__, kind)) for kind in KINDS]
    for thread in threads:
        thread.start()
    looks = []
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
        looks.append(look(pid))
    load.stopping.set()
    for thread in threads:
        thread.join()
    return looks


def soak(minutes: float, port: int) -> bool:
    """Runs the load and prints what was found. Returns whether all is well."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(separatrix(Path(folder) / "data", "--port", str(port), *OPTIONS), port) as service,
    ):
        load = Load(service.address)
        with httpx.Client(base_url=service.address, timeout=300) as client:
            body = {"model": "soak", "data": {"dataset": "flower"}}
            client.post("/train", json=body, headers={"prefer": "wait=120"}).raise_for_status()
            for kind in KINDS:  # loads everything that is loaded on first use
                kind(client, 1)
        work(load, service.pid, minutes / 5)  # fills the caches and the pool of database connections
        before = idle(service.pid)
        looks = work(load, service.pid, minutes * 4 / 5)
        after = idle(service.pid, at_most=before.descriptors)
    return report(load, looks, before, after)


def report(load: Load, looks: list[Look], before: Look, after: Look) -> bool:
    """Prints the figures. Returns whether all is well."""
    fifth = max(1, len(looks) // 4)  # the first fifth has no looks
    early = statistics.median(one.memory for one in looks[:fifth])
    late = statistics.median(one.memory for one in looks[-fifth:])
    leaked = after.descriptors - before.descriptors
    for (name, status), count in sorted(load.statuses.items()):
        print(f"{name:>10} {status}: {count:,}")
    print(f"{sum(load.statuses.values()):,} requests; memory {early:.0f} MiB in the second fifth of the time, ", end="")
    print(f"{late:.0f} MiB in the last ({late / early - 1:+.1%})")
    print(f"idle before: {before.descriptors} descriptors of {before.processes} processes; ", end="")
    print(f"after: {after.descriptors} of {after.processes}")
    for failure in load.failures[:10]:
        print(failure)
    problems = []
    if late > early * (1 + MAX_GROWTH):
        problems.append(f"the memory grew by more than {MAX_GROWTH:.0%}")
    if leaked > 0:
        problems.append(f"{leaked} descriptors more are open than before")
    if load.failures:
        problems.append(f"{len(load.failures)} requests failed")
    print("; ".join(problems) or "memory flat, no descriptor leaked, no server error")
    return not problems


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=10, help="how long the load lasts")
    options.add_argument("--port", type=int, default=8_765, help="of the service, on 127.0.0.1")
    given = options.parse_args()
    raise SystemExit(0 if soak(given.minutes, given.port) else 1)
