"""How soon a page sees the boundary of a training that is not published: `python -m benchmarks.unpublished [ADDRESS]`.

Trains the tutorial's network by `lbfgs` on points that move a little each time, as while somebody drags one.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from models.datasets import generate
from models.specs import DatasetSpec
from tests.serving import running

TRAININGS = 60
SNAPSHOTS = 60
"""How many epochs the page can go back to."""

WAIT = {"Prefer": "wait=10"}


def main() -> None:
    """Prints the figures of the service at the address, else of one of its own."""
    if len(sys.argv) > 1:
        with httpx.Client(base_url=sys.argv[1], timeout=30) as client:
            report(client)
        return
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), training_niceness=19) as client:
        report(client)


def report(client: httpx.Client) -> None:
    """Measures and prints."""
    for what, data, snapshots in (
        ("a generator", {"dataset": "flower"}, None),
        ("given points", None, None),
        ("snapshots", None, SNAPSHOTS),
    ):
        trained, shown = [], []
        warm_up(client)
        began = time.perf_counter()
        for i in range(TRAININGS):
            to_job, to_boundary = train(client, data or moved(i), publish=False, snapshots=snapshots)
            trained.append(to_job)
            shown.append(to_boundary)
        rate = TRAININGS / (time.perf_counter() - began)
        print(f"{what:12}  POST to job {ms(trained)}, to boundary {ms(shown)}, {rate:.0f} trainings/s")
    published = [train(client, {"dataset": "flower"}, publish=True) for _ in range(20)]
    print(f"published     POST to job {ms([job for job, _ in published])}, to boundary {ms([b for _, b in published])}")


def warm_up(client: httpx.Client) -> None:
    """Waits until both training processes have started and compiled the kernel."""
    for named in ({"publish": False}, {"model": "measured"}):
        body = {"data": {"dataset": "flower"}, "training": {"optimizer": "lbfgs"}} | named
        job = client.post("/train", json=body).raise_for_status().json()
        while client.get(job["links"]["self"], headers=WAIT).json()["status"] != "succeeded":
            pass


def train(
    client: httpx.Client, data: dict[str, Any], *, publish: bool, snapshots: int | None = None
) -> tuple[float, float]:
    """Trains, and asks for a grid of 100 x 100. Returns the seconds to the end of the job and to the grid."""
    body: dict[str, Any] = {"data": data, "training": {"optimizer": "lbfgs"}}
    body["training"] |= {"snapshots": snapshots} if snapshots else {}
    body |= {"model": "measured"} if publish else {"publish": False}
    began = time.perf_counter()
    job = client.post("/train", json=body, headers=WAIT).raise_for_status().json()
    to_job = time.perf_counter() - began
    client.get("/boundary-grid", params={"job": job["id"], "resolution": 100, "format": "npy"}).raise_for_status()
    return to_job, time.perf_counter() - began


def moved(step: int) -> dict[str, Any]:
    """The points of the tutorial, one of them moved."""
    points = generate(DatasetSpec())
    xy_ND = np.round(points.xy_ND.astype(float), 3)
    xy_ND[0] += 0.01 * step
    return {"points": xy_ND.tolist(), "labels": points.label_N.tolist()}


def ms(seconds: list[float]) -> str:
    """Median and 95th percentile in milliseconds."""
    return f"{1000 * statistics.median(seconds):.1f} ms (p95 {1000 * np.percentile(seconds, 95):.1f})"


if __name__ == "__main__":
    main()
