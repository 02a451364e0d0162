"""Start-up, memory and latency of the service, as clients experience them."""

import io
import tempfile
from itertools import count
from pathlib import Path

import httpx
import numpy as np
import psutil
import torch
from matplotlib.figure import Figure

from benchmarks import load
from benchmarks.servers import running, separatrix
from benchmarks.tables import Row, console, table
from benchmarks.training import EagerTorch
from models.networks.modules import build
from models.selection.candidates import Given
from models.specs import DatasetSpec, NetworkSpec
from service.commands import train as train_command
from service.settings import Settings
from service.tables.options import TableOptions


def tutorial_grid(network: torch.nn.Module, resolution: int) -> list[list[float]]:
    """The tutorial's grid, evaluated by torch, as the lists that a JSON response needs."""
    xx, yy = np.meshgrid(np.linspace(-5, 5, resolution), np.linspace(-5, 5, resolution))
    with torch.no_grad():
        mesh = torch.from_numpy(np.c_[xx.ravel(), yy.ravel()]).float()
        values: list[list[float]] = torch.sigmoid(network(mesh)).reshape(xx.shape).tolist()
    return values


def tutorial_picture(network: torch.nn.Module, resolution: int) -> bytes:
    """The tutorial's picture with as many pixels: grid, network, contourf, savefig."""
    xx, yy = np.meshgrid(np.linspace(-5, 5, resolution), np.linspace(-5, 5, resolution))
    with torch.no_grad():
        mesh = torch.from_numpy(np.c_[xx.ravel(), yy.ravel()]).float()
        values = torch.sigmoid(network(mesh)).reshape(xx.shape).numpy()
    figure = Figure(figsize=(resolution / 100, resolution / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.contourf(xx, yy, values, cmap="RdBu")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def tutorial_job(client: httpx.Client, hidden: tuple[int, ...]) -> None:
    """Compares 10,000 epochs on the tutorial's points by `POST /train` with the tutorial's own loop."""
    body = {"model": "whole", "data": {"dataset": "flower"}, "network": {"hidden": hidden}}

    def train() -> None:
        answer = client.post("/train", json=body, headers={"Prefer": "wait=60"}).json()
        assert answer["status"] == "succeeded", answer

    eager = EagerTorch(hidden, 400)
    table(
        f"10,000 epochs of {'-'.join(map(str, (2, *hidden, 1)))} on 400 points, per epoch",
        {
            "the tutorial's loop, from 300 epochs": Row(lambda: eager.epochs(300), 300),
            "POST /train, Prefer: wait": Row(train, 10_000),
        },
    )


def main() -> None:
    """Prints the start-up time and memory of a server process, the latency of requests, and whole trainings."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        train_command.run(
            Settings(data_dir=data_dir),
            model="plane",
            data=DatasetSpec(),
            validation=None,
            table=TableOptions(),
            preset=None,
            given=Given({}, {"epochs": 500}),
        )
        with (
            running(separatrix(data_dir), 8765) as server,
            httpx.Client(base_url=server.address, timeout=30) as client,
        ):
            resident = psutil.Process(server.pid).memory_info().rss / 2**20
            console.print(
                f"API process: ready {server.ready_s:.2f} s after its start, {resident:.0f} MiB resident memory\n"
            )
            point = {"model": "plane", "points": [[0.5, -0.25]]}
            many = {"model": "plane", "points": np.random.default_rng(0).uniform(-5, 5, (1_000, 2)).tolist()}
            table(
                "one request over one connection, including the time of the client",
                {
                    "GET /health/live": Row(lambda: [client.get("/health/live") for _ in range(50)], 50),
                    "POST /predict, 1 point": Row(lambda: [client.post("/predict", json=point) for _ in range(50)], 50),
                    "POST /predict, 1,000 points": Row(
                        lambda: [client.post("/predict", json=many) for _ in range(50)], 50
                    ),
                },
            )
            numbers = count()

            def grid(form: str, resolution: int) -> None:
                """Requests a window that is not in the response cache."""
                query = {"model": "plane", "resolution": resolution, "x_min": -5 - 1e-6 * next(numbers), "format": form}
                assert client.get("/boundary-grid", params=query).status_code == 200

            network = build(NetworkSpec(), 2, 2, seed=0)
            table(
                "boundary grid, 200 x 200",
                {
                    "the tutorial's grid by torch, as lists": Row(lambda: tutorial_grid(network, 200)),
                    "GET /boundary-grid, JSON over HTTP": Row(lambda: grid("json", 200)),
                    "the same, from the response cache": Row(
                        lambda: client.get("/boundary-grid?model=plane&resolution=200")
                    ),
                },
            )
            table(
                "boundary grid, 1000 x 1000",
                {
                    "the tutorial's grid by torch, contourf, savefig": Row(lambda: tutorial_picture(network, 1_000)),
                    "GET /boundary-grid, PNG over HTTP": Row(lambda: grid("png", 1_000)),
                    "GET /boundary-grid, .npy over HTTP": Row(lambda: grid("npy", 1_000)),
                    "GET /boundary-grid, JSON over HTTP": Row(lambda: grid("json", 1_000)),
                },
            )
            for hidden in ((4,), (8, 8), (32, 32)):
                tutorial_job(client, hidden)
        load.main(data_dir)
