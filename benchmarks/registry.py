"""A service with very many versions: how long it takes to start, its memory, and how long lists take."""

import os
import secrets
import tempfile
import time
from pathlib import Path

import httpx
import psutil
from rich.table import Table

from benchmarks.servers import Running, running, separatrix
from benchmarks.tables import Row, console, medians
from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service.jobs.queue import new_spec
from service.jobs.worker import work
from service.store import publication
from service.store.database import Database
from service.store.files import Files
from service.store.store import Store

MODELS, VERSIONS, LONGEST = 1_000, 5, 5_000
"""Models with some versions each, and one model with many: 10,000 versions in all."""

CHECKED_S = 120
"""Longest that the check of all checkpoints is waited for."""


def names() -> list[str]:
    """The model of each version, in the order of their publication."""
    return [f"model-{number:04}" for number in range(MODELS) for _ in range(VERSIONS)] + ["longest"] * LONGEST


def register(data_dir: Path, models: list[str]) -> None:
    """Publishes one training, then copies of its checkpoint, each with a folder of its own, as versions of models."""
    files = Files(data_dir)
    store = Store(files.database_url)
    spec = new_spec("model-0000", DatasetSpec(), NetworkSpec(), TrainingSpec(epochs=100), origin="cli")
    work(store.leases.add_claimed(spec, worker="benchmark"), store=store, files=files)
    (first,) = store.versions.all()["model-0000"].versions.values()
    store.close()
    source = files.checkpoint_folder(first.checkpoint_id)
    database = Database(files.database_url)
    with database.writing(serial=True, durable=False) as connection:
        for name in models[1:]:
            copy = f"{secrets.token_hex(12)}-1"
            files.checkpoint_folder(copy).mkdir()
            for path in source.iterdir():
                os.link(path, files.checkpoint_folder(copy) / path.name)
            publication.publish(
                connection,
                name,
                job_id=copy[:-2],
                checkpoint_id=copy,
                card_digest=first.card_digest,
                summary=first.summary,
            )
    database.close()


def resident_mib(server: Running) -> float:
    """The resident memory of the process that answers requests."""
    return psutil.Process(server.pid).memory_info().rss / 2**20


def wait_until_idle(server: Running) -> None:
    """Waits until the process has checked all checkpoints: it then uses hardly any processor time."""
    process, until = psutil.Process(server.pid), time.monotonic() + CHECKED_S
    while process.cpu_percent(interval=2) > 5 and time.monotonic() < until:
        pass


def main() -> None:
    """Prints a service with one version beside one with 10,000, then the duration of lists of the latter."""
    table = Table(title="a service with many versions", title_justify="left")
    for heading in ("versions", "ready after its start", "memory then", "after the check of all checkpoints"):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many:
        register(Path(one), names()[:1])
        register(Path(many), names())
        for folder in (one, many):
            with running(separatrix(Path(folder)), 8765) as server:
                before = resident_mib(server)
                wait_until_idle(server)
                with httpx.Client(base_url=server.address, timeout=30) as client:
                    versions = count_versions(client)
                after = resident_mib(server)
                table.add_row(f"{versions:,}", f"{server.ready_s:.2f} s", f"{before:.0f} MiB", f"{after:.0f} MiB")
                if folder == many:
                    console.print(table)
                    lists(server)


def count_versions(client: httpx.Client) -> int:
    """The number of versions of all models."""
    count, page = 0, {"has_more": True, "last_id": None}
    while page["has_more"]:
        after = {"after": page["last_id"]} if page["last_id"] else {}
        page = client.get("/models", params={"limit": 100, **after}).raise_for_status().json()
        count += sum(model["version_count"] for model in page["data"])  # type: ignore[attr-defined]
    return count


def lists(server: Running) -> None:
    """Prints how long pages take, and predictions by versions that are not in memory."""
    numbers = iter(range(1, LONGEST))
    with httpx.Client(base_url=server.address, timeout=30) as client:

        def predict_next() -> None:
            body = {"model": "longest", "version": next(numbers), "points": [[0.5, -0.25]]}
            client.post("/predict", json=body).raise_for_status()

        taken = medians(
            "registry",
            {
                "GET /models, 20 of 1,001": Row(lambda: client.get("/models").raise_for_status()),
                "GET /models, 100 of 1,001": Row(lambda: client.get("/models?limit=100").raise_for_status()),
                "GET /models, the last 100": Row(
                    lambda: client.get("/models?limit=100&after=model-0899").raise_for_status()
                ),
                "GET /models/longest": Row(lambda: client.get("/models/longest").raise_for_status()),
                "100 of 5,000 versions": Row(
                    lambda: client.get("/models/longest/versions?limit=100&after=2500").raise_for_status()
                ),
                "POST /predict by another version each time": Row(predict_next),
                "POST /predict by the latest version": Row(
                    lambda: client.post("/predict", json={"model": "longest", "points": [[0.5, -0.25]]})
                ),
            },
        )
    table = Table(title="with 10,000 versions, including the time of the client", title_justify="left")
    table.add_column("")
    table.add_column("median", justify="right")
    for name, duration_s in taken.items():
        table.add_row(name, f"{duration_s * 1e3:.1f} ms")
    console.print(table)


if __name__ == "__main__":
    main()
