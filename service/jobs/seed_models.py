"""The tutorial's four networks on the flower data: what a new service trains first."""

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
"""Network kind by model name; all else is as the tutorial has it."""

REPORT_S = 2.0
"""How often the log says how far the training is."""


class SeedModels:
    """Has the starters trained in an empty data folder; until they are published the service is not ready."""

    def __init__(self, store: Store, registry: Registry, job_queue: JobQueue) -> None:
        """`begin` does the work."""
        self.ready = False
        self.pending: list[Job] = []
        self._store = store
        self._registry = registry
        self._job_queue = job_queue
        self._next_report = time.monotonic()

    def begin(self) -> None:
        """Submits the starters if there never was a job in this data folder, or if they have failed before."""
        flower = DatasetSpec()
        self._job_queue.submit_seed_models(
            {model: (flower, NetworkSpec(kind=kind), resolve_training(kind, {})) for model, kind in SEED_MODELS.items()}
        )

    def observe(self) -> None:
        """Notes which starters are still to come, from this start or an earlier one that was cut short."""
        self.pending = self._store.jobs.unended_seed_jobs()
        if not self.pending:
            self._registry.refresh()
            self.ready = True
            logger.info("ready: %d models are served", len(self._registry.models()))
        elif time.monotonic() >= self._next_report:
            self._next_report = time.monotonic() + REPORT_S
            done = ", ".join(f"{job.model} {job.progress:.0%}" for job in self.pending)
            logger.info("training the tutorial's networks, once for this data folder: %s", done)
