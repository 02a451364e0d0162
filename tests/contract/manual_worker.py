"""A worker whose every step a test controls, for a service without training processes."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import safetensors.numpy

from models.datasets import LabelledPoints
from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service.jobs import training_data
from service.jobs.queue import new_spec
from service.records import Job
from service.store.files import Files
from tests.service.places import Place

FIGURES = {
    "training_loss": 0.5,
    "training_accuracy": 0.75,
    "validation_loss": None,
    "validation_accuracy": None,
}
"""The metrics that a manual worker reports."""

LOGISTIC = NetworkSpec(kind="logistic", hidden=())


class ManualWorker:
    """Does with jobs what a test says, by writing to the database of a service.

    Attributes:
        client: of the service.
        place: the service's data folder and database.
    """

    def __init__(self, client: httpx.Client, place: Place) -> None:
        self.client = client
        self.place = place
        self.jobs = place.store.jobs
        self.leases = place.store.leases

    def new_job(
        self, data: DatasetSpec | LabelledPoints | None = None, network: NetworkSpec | None = None, epochs: int = 5
    ) -> Job:
        """A running job, with the events `queued` and `running`."""
        data = data or DatasetSpec()
        spec = new_spec("by-hand", data, network or NetworkSpec(), TrainingSpec(epochs=epochs), origin="http")
        training_data.save(self.place.files, spec.id, data)
        return self.leases.add_claimed(spec, worker="test")

    def report(self, job: Job, *, epoch: int = 1, padding: int = 0) -> None:
        """Adds an event `metrics`, longer by some characters than the others are."""
        metrics: dict[str, Any] = FIGURES | ({"padding": "0" * padding} if padding else {})
        assert self.leases.heartbeat(job, epoch=epoch, metrics=metrics, ran_s=1.0, emit=True)

    def fail(self, job: Job) -> None:
        """Ends a job, with the events `failed` and `done`."""
        assert self.leases.fail(job, code="internal", detail="It was the test.")

    def cancel(self, job: Job) -> None:
        """Cancels a job, with the events `cancelling`, `cancelled` and `done`."""
        self.jobs.cancel(job.id)
        assert self.leases.release(job)

    def leave_snapshot(self, job: Job, epoch: int, **weights: list[Any]) -> None:
        """Stores weights, from which the service renders the next frame."""
        state = {key: np.array(value, np.float32) for key, value in weights.items()}
        self.leases.record_snapshot(job, epoch=epoch, weights=safetensors.numpy.save(state))

    def watch(self, job: Job) -> None:
        """Marks a job as watched, so that its snapshot is the newest."""
        self.place.store.events.watch([job.id], seconds=60)

    @contextmanager
    def leaving_snapshots(self, job: Job, epoch: int, **weights: list[Any]) -> Iterator[None]:
        """Stores weights as soon as somebody watches the job, as a worker does."""
        done = threading.Event()

        def leave() -> None:
            while not done.wait(0.01):
                if self.leases.instructions(job).watched:
                    self.leave_snapshot(job, epoch, **weights)
                    return

        thread = threading.Thread(target=leave)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@contextmanager
def manual_worker(client: httpx.Client, folder: Path, url: str | None = None) -> Iterator[ManualWorker]:
    """The manual worker of the service on this folder and database."""
    place = Place(folder, url or Files(folder).database_url)
    with closing(place.store):
        yield ManualWorker(client, place)


def events_path(*jobs: Job) -> str:
    """The path of the stream of these jobs."""
    return f"/jobs/{jobs[0].id}/events" if len(jobs) == 1 else "/events?job=" + ",".join(job.id for job in jobs)
