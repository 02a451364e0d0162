"""A real server for a test: uvicorn in a thread, on a free port, with a data folder of its own."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from service.app import create_app
from service.settings import Settings

DEADLINE_S = 60.0
"""Longest that a test waits for anything: a busy machine takes seconds to import torch."""


@contextmanager
def running(data_dir: Path, *, stopping: threading.Event | None = None, **settings: Any) -> Iterator[httpx.Client]:
    """A client of a service that runs on `data_dir`, without starters unless asked for. `stopping` tells it to stop."""
    stopping = stopping or threading.Event()
    given = {"seed_models": False, "log_level": "warning"} | settings
    app = create_app(Settings(data_dir=data_dir, port=0, **given), stopping=stopping)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", http="httptools"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as client:
            yield client
    finally:
        stopping.set()
        server.should_exit = True
        thread.join()


def wait_until(condition: Any, *, deadline_s: float = DEADLINE_S) -> None:
    """Returns as soon as the condition holds; fails when it does not in time."""
    until = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        threading.Event().wait(0.01)


def train(client: httpx.Client, model: str, **body: Any) -> dict[str, Any]:
    """The job of a training that has ended."""
    request = {"model": model, "data": {"dataset": "flower"}, "training": {"epochs": 30}} | body
    answer = client.post("/train", json=request, headers={"Prefer": "wait=50"})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert job["status"] in ("succeeded", "failed", "cancelled"), job
    return job
