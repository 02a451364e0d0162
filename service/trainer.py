"""Takes trainings in: checks what is asked for, writes the job's row, and sees to it that an engine has it."""

import logging
import re
import secrets
import time
from collections.abc import Mapping

from models import specs
from models.datasets import LabelledPoints
from models.recipes import Recipe
from models.specs import DatasetSpec, InvalidInput, NetworkSpec, TrainingSpec
from service import datasets
from service.jobs.engine import JobEngine
from service.records import NAME_PATTERN, NAME_RULE, Job, Origin
from service.store.files import Files
from service.store.store import Store

logger = logging.getLogger(__name__)

MAX_DEATHS = 3
"""A job that so many workers died with is at fault itself, and would go on for ever."""


class Trainer:
    """The way into the queue."""

    def __init__(self, store: Store, files: Files, engine: JobEngine, *, max_queued_jobs: int) -> None:
        """All parts are given; `max_queued_jobs` bounds how many jobs may wait."""
        self._store = store
        self._files = files
        self._engine = engine
        self._max_queued_jobs = max_queued_jobs

    def submit(
        self,
        model: str,
        data: DatasetSpec | LabelledPoints,
        network: NetworkSpec,
        training: TrainingSpec,
        *,
        origin: Origin,
    ) -> str:
        """Puts a training in the queue and gives the job's id. Once this returns, the job is not lost.

        Raises:
            InvalidInput: the name is none, or data, network and settings together are out of bounds.
            QueueFull: too many jobs wait.
        """
        job = self._job(model, data, network, training, origin=origin)
        self._store.add_job(job, max_queued=self._max_queued_jobs)
        self._engine.start(job.id)
        return job.id

    def submit_first(self, trainings: Mapping[str, tuple[DatasetSpec, NetworkSpec, TrainingSpec]]) -> None:
        """Puts trainings in the queue, by model name, if there never was a job."""
        first = [self._job(model, *recipe, origin="starter") for model, recipe in trainings.items()]
        if self._store.add_first_jobs(first):
            for job in first:
                self._engine.start(job.id)

    def cancel(self, job_id: str) -> None:
        """Cancels a job that waits, asks a job that runs to stop, leaves an ended job as it is."""
        self._store.request_cancel(job_id)

    def reconcile(self) -> None:
        """Brings every job that waits to the engine, and those whose worker has fallen silent, whoever had them."""
        for job_id, deaths in self._store.claimable_jobs():
            if deaths < MAX_DEATHS:
                self._engine.start(job_id)
            elif (job := self._store.claim(job_id)) is not None:
                logger.error("job %s ended its training process %d times and is given up", job_id, deaths)
                detail = f"The training process died {deaths} times over this job. Try fewer or narrower layers."
                self._store.fail(job, code="worker-died", detail=detail, epoch=job.epoch)

    def _job(
        self,
        model: str,
        data: DatasetSpec | LabelledPoints,
        network: NetworkSpec,
        training: TrainingSpec,
        *,
        origin: Origin,
    ) -> Job:
        if not re.fullmatch(NAME_PATTERN, model):
            raise InvalidInput("model", NAME_RULE)
        points = datasets.points_of(data)
        recipe = Recipe(points, network, training)
        if isinstance(data, LabelledPoints):
            self._files.put_points(data)
        return Job(
            id=secrets.token_hex(12),
            model=model,
            origin=origin,
            data=datasets.describe(data),
            data_digest=points.digest,
            network=specs.asdict(network),
            training=specs.asdict(training),
            recipe=recipe.digest,
            created_at=time.time(),
        )
