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

AT_ONCE = 100
"""How many jobs one reconciliation looks at; the next is a moment later."""


class Trainer:
    """The way into the queue."""

    def __init__(self, store: Store, files: Files, engine: JobEngine, *, max_queued_jobs: int) -> None:
        """All parts are given; `max_queued_jobs` bounds how many jobs may wait."""
        self._store = store
        self._files = files
        self._engine = engine
        self._max_queued_jobs = max_queued_jobs

    def submit(
        self, model: str, data: DatasetSpec | LabelledPoints, network: NetworkSpec, training: TrainingSpec
    ) -> str:
        """Puts a training in the queue and gives the job's id. Once this returns, the job is not lost.

        Raises:
            InvalidInput: see `new_job`.
            QueueFull: too many jobs wait.
        """
        job = new_job(model, data, network, training, origin="http")
        self._store.require_room(max_queued=self._max_queued_jobs)  # before the data are kept
        datasets.keep(self._files, data)
        self._store.add_job(job, max_queued=self._max_queued_jobs)
        self._engine.start(job)
        return job.id

    def submit_starters(self, trainings: Mapping[str, tuple[DatasetSpec, NetworkSpec, TrainingSpec]]) -> None:
        """Puts trainings in the queue, by model name, if there never was a job, or if all of that name failed."""
        starters = [new_job(model, *recipe, origin="starter") for model, recipe in trainings.items()]
        for job in self._store.add_starters(starters):
            self._engine.start(job)

    def reconcile(self) -> None:
        """Brings the jobs that wait to the engine, and those whose worker has fallen silent, whoever had them."""
        for job in self._store.silent_jobs(limit=AT_ONCE):
            self._engine.end_silent_worker(job)
            if job.deaths + 1 < MAX_DEATHS:
                self._engine.start(job)
            elif (claimed := self._store.claim(job.id)) is not None:
                logger.error("job %s lost its training process %d times and is given up", job.id, claimed.deaths)
                detail = (
                    f"Its training process died or fell silent {claimed.deaths} times; the service's log may say why. "
                    "If memory ran out, try a smaller batch_size or narrower layers."
                )
                self._store.fail(claimed, code="worker-died", detail=detail, epoch=job.epoch)
        for job in self._store.waiting_jobs(limit=AT_ONCE):
            self._engine.start(job)


def new_job(
    model: str,
    data: DatasetSpec | LabelledPoints,
    network: NetworkSpec,
    training: TrainingSpec,
    *,
    origin: Origin,
) -> Job:
    """A job that nobody has yet put anywhere.

    Raises:
        InvalidInput: the name is none, or data, network and settings together are out of bounds.
    """
    if not re.fullmatch(NAME_PATTERN, model):
        raise InvalidInput("model", NAME_RULE)
    points = datasets.points_of(data)
    return Job(
        id=secrets.token_hex(12),
        model=model,
        origin=origin,
        data=datasets.describe(data),
        data_digest=points.digest,
        network=specs.asdict(network),
        training=specs.asdict(training),
        recipe=Recipe(points, network, training).digest,
        created_at=time.time(),
    )
