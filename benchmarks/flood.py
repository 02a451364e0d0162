"""Latency of health checks and small predictions during floods of expensive requests: `python -m benchmarks.flood`.

Each flood comes from wrk over loopback, from several connections that send the next request as soon as one is answered.
Refusals are answers too. Each figure is the best of three rounds, because other work on the machine slows some
down. The benchmark takes about a minute.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
from rich.table import Table

from benchmarks.load import Load, percentile_ms, run_wrk, wrk_process
from benchmarks.servers import running, separatrix
from benchmarks.tables import console

PORT = 8148
ROUNDS, SECONDS = 3, 1
TRAINING_POINTS = 2_000
JSON = (("Content-Type", "application/json"),)

NOTHING = Load("nothing else", 0)
BUSY_LOOPS = Load("two busy loops outside the service", 0)
"""Shows how much of a latency is due to a lack of cores: the scheduler gives each program time slices of several ms."""


def floods(random: np.random.Generator) -> Iterator[Load]:
    """The most expensive requests that clients can send. Each is within all limits, or is refused after it was read."""
    xy_N2 = random.uniform(-5, 5, (100_000, 2)).round(4)
    rows = json.dumps({"model": "plane", "points": xy_N2.tolist()}).encode()
    records = json.dumps({"model": "plane", "points": [{"x": x, "y": y} for x, y in xy_N2.tolist()]}).encode()
    training = {
        "model": "flood",
        "data": {"points": xy_N2[:TRAINING_POINTS].tolist(), "labels": [0, 1] * (TRAINING_POINTS // 2)},
        "network": {"hidden": [256, 256]},
        "training": {"epochs": 10_000},
    }
    yield NOTHING
    yield BUSY_LOOPS
    yield Load("trainings of 2-256-256-1", 8, "/train", json.dumps(training).encode(), JSON)
    yield Load("100,000 points as JSON", 4, content=rows, headers=JSON)
    yield Load("100,000 points as records", 4, content=records, headers=JSON)
    npy = Path(tempfile.gettempdir()) / "flood.npy"
    np.save(npy, xy_N2.astype(np.float32))
    content = npy.read_bytes()
    npy.unlink()
    yield Load("100,000 points as .npy", 4, "/predict?model=plane", content, (("Content-Type", "application/x-npy"),))
    grid = "/boundary-grid?model=plane&resolution=1000&format=json&x_min=-{}"
    yield Load("grids of 1000 x 1000 as JSON", 4, grid.format(random.integers(1_000_000)))
    brackets = b'{"model": "plane", "points": [' + b"[]," * 200_000 + b"[]]}"
    yield Load("200,001 empty points", 4, content=brackets, headers=JSON)
    yield Load("a body of 2,000,000 numbers", 4, content=b'{"a": [' + b"1," * 1_999_000 + b"1]}", headers=JSON)
    yield Load("a body of 399,000 numbers", 4, content=b'{"a": [' + b"1.5," * 398_999 + b"1]}", headers=JSON)
    yield Load("a body of 300,000 strings", 4, content=b'{"a": [' + b'"s",' * 300_000 + b"1]}", headers=JSON)


@contextmanager
def flooding(address: str, flood: Load, folder: Path) -> Iterator[None]:
    """Sends a flood while the context is open."""
    if flood is BUSY_LOOPS:
        busy = [sys.executable, "-c", "while True: pass"]
        processes = [subprocess.Popen(busy, text=True) for _ in range(2)]
    elif flood is NOTHING:
        processes = []
    else:
        processes = [wrk_process(address, flood, folder, 10 * ROUNDS * SECONDS)]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def main() -> None:
    """Prints the latencies of two small requests during each flood."""
    if shutil.which("wrk") is None:
        console.print("wrk is not installed: skipping the floods")
        return
    point = Load("one point", 1, content=b'{"model": "plane", "points": [[0.5, -0.5]]}', headers=JSON)
    probes = {"/health/live": replace(point, path="/health/live", content=None, headers=()), "one point": point}
    table = Table(title="Latency of small requests during floods, one connection each", title_justify="left")
    for heading in ("beside", *(f"{share}, {name}" for name in probes for share in ("p50", "p99"))):
        table.add_column(heading, justify="left" if heading == "beside" else "right")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(separatrix(folder / "data"), PORT) as server:
            data = {"points": [{"x": x, "y": y} for x in range(20) for y in range(20)], "labels": [0, 1] * 200}
            body = {"model": "plane", "data": data, "training": {"epochs": 100}}
            answer = httpx.post(f"{server.address}/train", json=body, headers={"Prefer": "wait=60"}, timeout=90)
            answer.raise_for_status()
            for flood in floods(np.random.default_rng(0)):
                row = [flood.title]
                with flooding(server.address, flood, folder / "flood"):
                    for probe in probes.values():
                        reports = [run_wrk(server.address, probe, folder / "probe", SECONDS) for _ in range(ROUNDS)]
                        for share in ("50%", "99%"):
                            best_ms = min(percentile_ms(report, share) for report in reports)
                            row.append(f"{best_ms:.2f} ms")
                table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
