"""A data folder with its parts, for tests that play the engine or the worker."""

from pathlib import Path
from typing import Any, Self

from models.datasets import LabelledPoints
from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service.jobs.queue import JobQueue, NewJob, new_spec
from service.jobs.worker import work
from service.records import Job, PublishedVersion
from service.store.files import Files
from service.store.store import Store

ENDLESS: dict[str, Any] = {"epochs": 1_000_000, "hidden": (64, 64)}
"""A training that no test waits for: it takes several minutes."""


class NoEngine:
    """An engine without workers."""

    def wake(self) -> None:
        pass

    def kill_worker(self, worker: str) -> None:
        pass

    def close(self) -> None:
        pass


def all_versions(store: Store) -> list[PublishedVersion]:
    """The versions that exist, in the order of their publication."""
    found = [version for model in store.versions.all().values() for version in model.versions.values()]
    return sorted(found, key=lambda version: version.seq)


class Place:
    """A data folder and a database."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.url = url
        self.files = Files(path)
        self.store = Store(url)
        self.job_queue = JobQueue(self.store, self.files, NoEngine(), max_queued_jobs=100)

    @classmethod
    def of_folder(cls, path: Path) -> Self:
        """Returns a place whose database is in the folder."""
        return cls(path, Files(path).database_url)

    def submit(
        self,
        epochs: int = 5,
        data: DatasetSpec | LabelledPoints | None = None,
        hidden: tuple[int, ...] = (4,),
        model: str = "m",
        **training: Any,
    ) -> str:
        spec = TrainingSpec(epochs=epochs, **training)
        data = data or DatasetSpec()
        job = new_spec(model, data, NetworkSpec(hidden=hidden), spec, origin="http")
        return self.job_queue.submit(NewJob(job, data))

    def claim(self, worker: str = "w") -> Job:
        job = self.store.leases.claim(worker)
        assert job is not None
        return job

    def work(self, job: Job, **options: Any) -> Job:
        """Works on a claimed job and returns the job as it is afterwards."""
        work(job, store=self.store, files=self.files, **options)
        return self.store.jobs.get(job.id)

    def weights(self, version: int) -> bytes:
        """Returns the state dict of a version of the only model."""
        published = all_versions(self.store)[version - 1]
        return (self.files.checkpoint_folder(published.checkpoint_id) / "network.safetensors").read_bytes()

    def folders(self) -> list[str]:
        """Returns the names of all checkpoints on the disk."""
        return sorted(path.name for path in (self.path / "checkpoints").glob("*"))
