"""The tutorial's four networks on the flower data, which a new service trains first."""

import logging
import time

from models.specs import DatasetSpec, NetworkKind, NetworkSpec, resolve_training
from service.jobs.queue import JobQueue
from service.records import Job
from service.registry.registry import Registry
from service.store.store import Store

logger = logging.getLogger(__name__)

SEED_MODELS: dict[str, NetworkKind] = {
    "flower-logistic": "logistic",
    "flower-two-layer": "two_layer",
    "flower-sequential": "sequential",
    "flower-module": "module",
}
"""Network kind by model name. All other settings are the tutorial's."""

REPORT_S = 2.0
"""How often the log reports the progress."""


class SeedModels:
    """Trains the seed models in an empty data folder. Until they are published, the service is not ready.

    Attributes:
        ready: whether no seed model is pending any more.
        pending: the jobs of seed models that have not ended, as of the last `update`.
    """

    def __init__(self, store: Store, registry: Registry, job_queue: JobQueue) -> None:
        self.ready = False
        self.pending: list[Job] = []
        self._store = store
        self._registry = registry
        self._job_queue = job_queue
        self._next_report = time.monotonic()

    def submit(self) -> None:
        """Submits the seed models if the data folder has never had a job, or if they only failed so far."""
        flower = DatasetSpec()
        self._job_queue.submit_seed_models(
            {model: (flower, NetworkSpec(kind=kind), resolve_training(kind, {})) for model, kind in SEED_MODELS.items()}
        )

    def update(self) -> None:
        """Reads which seed models are pending, from this start or an earlier one that was interrupted."""
        self.pending = self._store.jobs.unended_seed_jobs()
        if not self.pending:
            self._registry.refresh()
            self.ready = True
            logger.info("ready: %d models are served", len(self._registry.models()))
        elif time.monotonic() >= self._next_report:
            self._next_report = time.monotonic() + REPORT_S
            done = ", ".join(f"{job.model} {job.progress:.0%}" for job in self.pending)
            logger.info("training the tutorial's networks, once for this data folder: %s", done)
