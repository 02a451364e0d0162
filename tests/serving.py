"""A real server for a test: uvicorn in a thread, on a free port, with a data folder of its own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from service.app import create_app
from service.http import connections
from service.settings import Settings

DEADLINE_S = 180.0
"""Longest that a test waits for anything. A busy machine may take a minute to import torch."""

LONGEST_PAUSE_S = 0.04
"""Between two looks at a condition. Looking more often would take the processor from what is waited for."""


@contextmanager
def running(data_dir: Path, *, stopping: threading.Event | None = None, **settings: Any) -> Iterator[httpx.Client]:
    """A client of a service that runs on `data_dir`, without the tutorial's models unless `settings` ask for them.

    `stopping` is the event that the service sees when it is told to stop.
    """
    stopping = stopping or threading.Event()
    # Trainings compete with the tests themselves for the processor: with a low priority they would take minutes.
    given = {"seed_models": False, "log_level": "warning", "training_niceness": 0} | settings
    chosen = Settings(data_dir=data_dir, port=0, **given)
    app = create_app(chosen, stopping=stopping)
    config = uvicorn.Config(app, port=0, log_config=None, log_level="warning", http=connections.protocol(chosen))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        with connected(f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        stopping.set()
        server.should_exit = True
        thread.join()


def connected(address: str) -> httpx.Client:
    """A client of a service on this machine. It loads no certificates, which would take 0.1 s."""
    return httpx.Client(base_url=address, timeout=DEADLINE_S, verify=False)


def wait_until(condition: Callable[[], object], *, deadline_s: float = DEADLINE_S) -> None:
    """Returns as soon as the condition holds. Fails if it does not hold in time."""
    until = time.monotonic() + deadline_s
    pause_s = 0.001
    while not condition():
        assert time.monotonic() < until, f"it did not happen within {deadline_s:g} s"
        threading.Event().wait(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def train(client: httpx.Client, model: str, **body: Any) -> dict[str, Any]:
    """Submits a training and returns its job once it has ended."""
    request = {"model": model, "data": {"dataset": "flower"}, "training": {"epochs": 30}} | body
    answer = client.post("/train", json=request, headers={"Prefer": "wait=50"})
    assert answer.status_code in (200, 202), answer.text
    return ended(client, answer.headers["location"])


def ended(client: httpx.Client, path: str) -> dict[str, Any]:
    """The job at `path` once it has ended."""
    until = time.monotonic() + DEADLINE_S
    while True:
        job: dict[str, Any] = client.get(path, headers={"Prefer": "wait=50"}).json()
        if job["status"] in ("succeeded", "failed", "cancelled"):
            return job
        assert time.monotonic() < until, job
