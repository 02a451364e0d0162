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
        """Puts trainings in the queue, by model name; see `Store.add_starters` for when."""
        starters = [new_job(model, *recipe, origin="starter") for model, recipe in trainings.items()]
        for job in self._store.add_starters(starters):
            self._engine.start(job)

    def reconcile(self) -> None:
        """Brings the jobs that wait to the engine, and those whose worker has fallen silent, whoever had them."""
        for job in self._store.silent_jobs(limit=AT_ONCE):
            # the row first: a worker that could only not write in time keeps its job by writing now
            if self._store.take_back(job, max_deaths=MAX_DEATHS):
                logger.error("the worker of job %s is silent; the job is taken from it", job.id)
                self._engine.end_worker(job)
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
