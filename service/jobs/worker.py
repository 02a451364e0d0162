"""One job from claim to end: the one function that every engine runs."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import numpy as np

from models import checkpoints
from models.cards import Card
from models.datasets import LabelledPoints
from models.networks import build
from models.recipes import batch_values
from models.runs import Epoch, Epochs, Metrics, Outcome, Restart
from models.specs import MAX_BATCH_VALUES, NetworkSpec, TrainingSpec
from models.training import Best, Observer, train_best
from service import datasets
from service.errors import StoreUnavailable
from service.records import Job, JobState
from service.store.files import DamagedData, Files
from service.store.store import Store

logger = logging.getLogger(__name__)

HEARTBEAT_S = 0.25
"""How often a worker notes its progress: often enough to watch, seldom enough to cost nothing beside the training."""


RETRY_S = 1.0
"""How long to wait before the end of a job is written again, when the database was away."""


def run_job(
    job_id: str,
    *,
    store: Store,
    files: Files,
    should_release: Callable[[], bool] = lambda: False,
    on_claim: Callable[[int], None] = lambda attempt: None,
) -> None:
    """Takes a job from the queue and works on it; does nothing if it is not to be had.

    `on_claim` is told the number of the attempt.
    """
    job = store.claim(job_id)
    if job is not None:
        on_claim(job.attempt)
        work(job, store=store, files=files, should_release=should_release)


def work(
    job: Job,
    *,
    store: Store,
    files: Files,
    should_release: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, Epoch], None] = lambda passes, latest: None,
) -> None:
    """Trains a claimed job, publishes the result, and ends the job.

    Whatever goes wrong with the job itself ends it as failed, with a problem that says what. `should_release` is asked
    after every step: once it is true the job goes back to the queue, or to its end if it was to be cancelled. If the
    database is away when the job ends, its end is written when it is back. `on_progress` is told of the passes made, by
    all restarts together, and the latest of them.
    """
    with _Heartbeat(store, job) as heartbeat:
        end = _train(job, files, _Observer(heartbeat, should_release, on_progress))
        while True:
            try:
                end(store)
                return
            except StoreUnavailable:
                logger.exception("job %s: its end could not be written, and is tried again", job.id)
                if should_release():
                    raise
                time.sleep(RETRY_S)


End = Callable[[Store], object]
"""How a job ends: what is yet to be written to the store, which holds only if the job is still this attempt's."""


def _train(job: Job, files: Files, observer: Observer) -> End:
    """Trains and keeps the weights; the checkpoint is on the disk before a row can name it."""
    try:
        points = datasets.load(files, job.data, job.data_digest)
        settings = TrainingSpec(**job.training)
        network = NetworkSpec(**job.network)
        trained = train_best(
            lambda seed: build(network, points.features, len(points.classes), seed=seed),
            points,
            settings,
            threads=_threads(points, network, settings),
            observer=observer,
        )
        if trained.best is None:
            return lambda store: store.put_back(job)
        return _keep(job, trained.best, trained.restarts, points, files)
    except DamagedData as error:
        return _failed(job, "damaged-data", str(error))
    except OSError as error:
        logger.error("job %s could not read or write its files: %s", job.id, error)
        return _failed(job, "storage", "The data folder could not be read or written; the service's log says why.")
    except Exception:
        logger.exception("job %s failed by a fault of the service", job.id)
        return _failed(job, "internal", "A fault of the service ended this training; the service's log says which.")


def _failed(job: Job, code: str, detail: str) -> End:
    return lambda store: store.fail(job, code=code, detail=detail, epoch=0)


def _threads(points: LabelledPoints, network: NetworkSpec, training: TrainingSpec) -> int:
    """How many restarts to train at a time: one a core, and no more than there is memory for."""
    room = MAX_BATCH_VALUES // batch_values(points, network, training)
    return min(training.restarts, len(os.sched_getaffinity(0)), room)


def _keep(job: Job, best: Best, all_restarts: tuple[Restart, ...], points: LabelledPoints, files: Files) -> End:
    outcome = best.outcome
    metrics = asdict(outcome.metrics) if outcome.metrics else None
    restarts = [asdict(restart) for restart in all_restarts]
    passes = sum(restart.epochs for restart in all_restarts)
    card = _card(job, outcome, points, metrics, restarts)
    card_digest = checkpoints.save(files.checkpoint_folder(job.checkpoint_id), best.network, card)
    detail = outcome.advice
    if detail is None:
        return lambda store: store.publish(
            job, card_digest=card_digest, epoch=passes, metrics=metrics, restarts=restarts
        )
    return lambda store: store.fail(
        job, code="diverged", detail=detail, epoch=passes, metrics=metrics, restarts=restarts, kept=True
    )


def _card(
    job: Job,
    outcome: Outcome,
    points: LabelledPoints,
    metrics: dict[str, Any] | None,
    restarts: list[dict[str, Any]],
) -> Card:
    return Card(
        network=NetworkSpec(**job.network),
        features=points.features,
        classes=points.classes,
        training=TrainingSpec(**job.training),
        data=job.data,
        data_digest=job.data_digest,
        low=tuple(points.xy_ND.min(axis=0).tolist()),
        high=tuple(points.xy_ND.max(axis=0).tolist()),
        median=tuple(np.median(points.xy_ND, axis=0).tolist()),
        recipe=job.recipe,
        ending=outcome.ending,
        epochs=outcome.epochs,
        metrics=metrics,
        created_at=datetime.now(UTC).isoformat(),
        software=_software(),
        files={},
        implementation=outcome.implementation,
        restarts=tuple(restarts),
    )


@cache
def _software() -> dict[str, str]:
    """Versions by name; they are read from files, which takes some milliseconds."""
    return {name: version(name) for name in ("separatrix", "torch", "numpy", "numba")}


class _Heartbeat:
    """Renews a job's lease and notes its progress from a thread of its own, however long an epoch takes.

    `progress`, set by the training, is the passes made and the latest of them; `stop` turns true when the job is to be
    cancelled, or is another worker's now.
    """

    def __init__(self, store: Store, job: Job) -> None:
        self.progress: tuple[int, Epoch] | None = None
        self.stop = False
        self._store = store
        self._job = job
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{job.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT_S):
            try:
                passes, latest = self.progress or (0, None)
                state = self._store.heartbeat(self._job, epoch=passes, metrics=_figures(latest) if latest else None)
            except (
                Exception
            ):  # the database is away: the lease may lapse, the training goes on until it is known to have
                logger.exception("job %s: no heartbeat", self._job.id)
                continue
            self.stop = state != JobState.RUNNING


class _Observer(Observer):
    """Hands on what a training tells, to the heartbeat among others, and what it is to be told."""

    def __init__(
        self,
        heartbeat: _Heartbeat,
        should_release: Callable[[], bool],
        on_progress: Callable[[int, Epoch], None],
    ) -> None:
        self._heartbeat = heartbeat
        self._should_release = should_release
        self._on_progress = on_progress
        self._passes: dict[int, int] = {}

    def should_stop(self) -> bool:
        return self._heartbeat.stop or self._should_release()

    def note_epochs(self, restart: int, epochs: Epochs) -> None:
        self._passes[restart] = epochs.last.number
        self._heartbeat.progress = sum(self._passes.values()), epochs.last
        self._on_progress(*self._heartbeat.progress)


def _figures(epoch: Epoch) -> dict[str, float | None]:
    """The figures of an epoch under the names that the finished training will use."""
    return asdict(Metrics(epoch.loss, epoch.accuracy, epoch.validation_loss, epoch.validation_accuracy))
