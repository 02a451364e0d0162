"""Prints the side-by-side tables: every row is measured here and now, beside what it is compared with.

Each figure is the median of several repetitions, taken in turns, so that a machine whose speed drifts does so for all.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import psutil
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models.datasets import generate
from models.networks import build
from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from models.training import train
from service.commands import train as train_command
from service.settings import Settings

REPETITIONS = 7
console = Console()


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(title: str, rows: dict[str, Callable[[], object]], *, per: int = 1) -> None:
    """Measures the rows in turns and prints their medians, and each as a multiple of the first."""
    for work in rows.values():
        work()  # warm
    taken: dict[str, list[float]] = {name: [] for name in rows}
    for _ in track(range(REPETITIONS), description=title, console=console, transient=True):
        for name, work in rows.items():
            taken[name].append(seconds(work) / per)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    reference = next(iter(medians.values()))
    shown = Table(title=title, title_justify="left")
    for heading in ("", "median", "times the first"):
        shown.add_column(heading, justify="left" if not heading else "right")
    for name, median in medians.items():
        shown.add_row(name, _readable(median), f"{median / reference:.2f}")
    console.print(shown)


def _readable(duration_s: float) -> str:
    return f"{duration_s * 1e6:,.0f} us" if duration_s < 1e-3 else f"{duration_s * 1e3:,.1f} ms"


def tutorial_epochs(epochs: int) -> None:
    """The tutorial's own loop: eager torch, SGD 1.0, 2-4-1 on the flower."""
    flower = generate(DatasetSpec())
    x = torch.from_numpy(flower.xy_ND)
    y = torch.from_numpy(flower.label_N).float().reshape(-1, 1)
    network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(network.parameters(), 1.0)
    criterion = torch.nn.BCEWithLogitsLoss()
    for _ in range(epochs):
        loss = criterion(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def our_epochs(epochs: int) -> None:
    """The same by `models.training`, with its metrics and its finiteness check every epoch."""
    train(build(NetworkSpec(), 2, 2, seed=0), generate(DatasetSpec()), TrainingSpec(epochs=epochs))


def tutorial_grid(network: torch.nn.Module, resolution: int) -> list[list[float]]:
    """The tutorial's mesh, through torch, as the lists that a JSON answer would need."""
    xx, yy = np.meshgrid(np.linspace(-5, 5, resolution), np.linspace(-5, 5, resolution))
    with torch.no_grad():
        mesh = torch.from_numpy(np.c_[xx.ravel(), yy.ravel()]).float()
        values: list[list[float]] = torch.sigmoid(network(mesh)).reshape(xx.shape).tolist()
    return values


def start(data_dir: Path) -> tuple[subprocess.Popen[bytes], httpx.Client, float]:
    """A server process on a filled data folder, and the seconds until it said that it is ready."""
    port = 8765
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "serve", "--port", str(port), "--data-dir", str(data_dir)],
        stderr=subprocess.DEVNULL,
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
    while time.perf_counter() - began < 60:
        try:
            if client.get("/health/ready").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.005)
    return process, client, time.perf_counter() - began


def main() -> None:
    """Measures everything."""
    torch.set_num_threads(1)
    epochs = 500
    table(
        "training, 2-4-1 on 400 points, per epoch, one core",
        {"the tutorial's loop": lambda: tutorial_epochs(epochs), "models.training": lambda: our_epochs(epochs)},
        per=epochs,
    )
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        train_command.run(
            Settings(data_dir=data_dir),
            model="plane",
            data=DatasetSpec(),
            network=NetworkSpec(),
            training={"epochs": 500},
        )
        process, client, ready_s = start(data_dir)
        try:
            resident = psutil.Process(process.pid).memory_info().rss / 2**20
            console.print(f"serving process: ready {ready_s:.2f} s after its start, {resident:.0f} MiB resident\n")
            point = {"model": "plane", "points": [[0.5, -0.25]]}
            many = {"model": "plane", "points": np.random.default_rng(0).uniform(-5, 5, (1_000, 2)).tolist()}
            table(
                "one request over one connection, the client's own time included",
                {
                    "GET /health/live": lambda: [client.get("/health/live") for _ in range(50)],
                    "POST /predict, 1 point": lambda: [client.post("/predict", json=point) for _ in range(50)],
                    "POST /predict, 1,000 points": lambda: [client.post("/predict", json=many) for _ in range(50)],
                },
                per=50,
            )
            network = build(NetworkSpec(), 2, 2, seed=0)
            table(
                "boundary grid, 200 x 200",
                {
                    "the tutorial's mesh through torch, to lists": lambda: tutorial_grid(network, 200),
                    "GET /boundary-grid, JSON over HTTP": lambda: client.get(
                        "/boundary-grid?model=plane&resolution=200"
                    ),
                },
            )
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
