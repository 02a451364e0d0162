"""The server processes to measure: Separatrix and the servers that it is compared with."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx

DEADLINE_S = 60
"""How long a server may take to start."""

RESPONSE = b'{"model":"plane","version":1,"classes":["red","blue"],"labels":["red"],"probabilities":[[0.9992,0.0008]]}'


async def bare(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    """An ASGI application that reads the request and sends a fixed response."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive())["more_body"]:
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(RESPONSE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": RESPONSE})


UVICORN = [sys.executable, "-m", "uvicorn", "--log-level", "warning", "--no-access-log", "--http", "httptools"]


@dataclass(frozen=True)
class Server:
    """How to start a server process, and a path that answers 200 once it is ready."""

    command: list[str]
    path: str = "/"


def separatrix(data_dir: Path, *options: str) -> Server:
    """Separatrix, serving a data folder."""
    return Server([sys.executable, "-m", "service", "serve", "--data-dir", str(data_dir), *options], "/health/ready")


def servers(data_dir: Path) -> dict[str, Server]:
    """The servers that are installed, by name; `bare uvicorn` comes first."""
    installed = {
        "bare uvicorn": Server([*UVICORN, "benchmarks.servers:bare"]),
        "Separatrix": separatrix(data_dir),
        "FastAPI as tutorials write it": Server([*UVICORN, "benchmarks.peers.tutorial:app"], "/docs"),
    }
    if find_spec("litserve"):
        installed["LitServe"] = Server([sys.executable, "-m", "benchmarks.peers.lit"], "/health")
    return installed


@dataclass(frozen=True)
class Running:
    """A server that is ready: its process id, its address, and the seconds from its start until then."""

    pid: int
    address: str
    ready_s: float


@contextmanager
def running(server: Server, port: int) -> Iterator[Running]:
    """Runs a server while the context is open.

    Raises:
        TimeoutError: it is not ready in time.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        [*server.command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=address, timeout=5) as client:
            while not _is_ready(client, server.path):
                if time.perf_counter() - began > DEADLINE_S:
                    raise TimeoutError(" ".join(server.command))
                time.sleep(0.005)
        yield Running(process.pid, address, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait()


def _is_ready(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False
