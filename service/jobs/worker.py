"""One job from claim to end: the one function that every engine runs."""

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from models import checkpoints
from models.cards import Card
from models.datasets import LabelledPoints
from models.networks import build
from models.specs import NetworkSpec, TrainingSpec
from models.training import Epoch, Metrics, Outcome, train
from service import datasets
from service.records import Job, JobState
from service.store.files import DamagedData, Files
from service.store.store import Store

logger = logging.getLogger(__name__)

HEARTBEAT_S = 0.25
"""How often a worker notes its progress: often enough to watch, seldom enough to cost nothing beside the training."""


def run_job(
    job_id: str,
    *,
    store: Store,
    files: Files,
    should_release: Callable[[], bool] = lambda: False,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> None:
    """Takes a job, trains, publishes the result, and ends the job; does nothing if the job is not to be had.

    Whatever goes wrong with the job itself ends it as failed, with a problem that says what. `should_release` is asked
    after every epoch: once it is true the job goes back to the queue.
    """
    job = store.claim(job_id)
    if job is None:
        return
    try:
        points = datasets.load(files, job.data, job.data_digest)
        spec = NetworkSpec(**job.network)
        settings = TrainingSpec(**job.training)
        network = build(spec, points.features, len(points.classes), seed=settings.seed)
        with _Heartbeat(store, job) as heartbeat:

            def note(epoch: Epoch) -> None:
                heartbeat.epoch = epoch
                on_epoch(epoch)

            outcome = train(
                network, points, settings, on_epoch=note, should_stop=lambda: heartbeat.stop or should_release()
            )
            if outcome.ending == "stopped":
                store.put_back(job)
            else:
                _finish(job, outcome, network, points, store=store, files=files)
    except DamagedData as error:
        store.fail(job, code="damaged-data", detail=str(error), epoch=0)
    except OSError as error:
        logger.error("job %s could not be written: %s", job.id, error)
        detail = "The result could not be written to the data directory; the service's log says why."
        store.fail(job, code="storage", detail=detail, epoch=0)
    except Exception:
        logger.exception("job %s failed by a fault of the service", job.id)
        detail = "A fault of the service ended this training; the service's log says which."
        store.fail(job, code="internal", detail=detail, epoch=0)


def _finish(
    job: Job, outcome: Outcome, network: nn.Module, points: LabelledPoints, *, store: Store, files: Files
) -> None:
    """Keeps the weights, then ends the job: the checkpoint is on the disk before a row names it."""
    metrics = asdict(outcome.metrics) if outcome.metrics else None
    card = _card(job, outcome, points, metrics)
    card_digest = checkpoints.save(files.checkpoint_folder(job.checkpoint_id), network, card)
    if outcome.advice is None:
        store.publish(job, card_digest=card_digest, epoch=outcome.epochs, metrics=metrics)
    else:
        store.fail(job, code="diverged", detail=outcome.advice, epoch=outcome.epochs, metrics=metrics, kept=True)


def _card(job: Job, outcome: Outcome, points: LabelledPoints, metrics: dict[str, Any] | None) -> Card:
    return Card(
        network=NetworkSpec(**job.network),
        features=points.features,
        classes=points.classes,
        training=TrainingSpec(**job.training),
        data=job.data,
        data_digest=job.data_digest,
        low=tuple(points.xy_ND.min(axis=0).tolist()),
        high=tuple(points.xy_ND.max(axis=0).tolist()),
        recipe=job.recipe,
        ending=outcome.ending,
        epochs=outcome.epochs,
        metrics=metrics,
        created_at=datetime.now(UTC).isoformat(),
        software={"separatrix": version("separatrix"), "torch": torch.__version__, "numpy": np.__version__},
        files={},
    )


class _Heartbeat:
    """Renews a job's lease and notes its progress from a thread of its own, however long an epoch takes.

    `epoch` is the latest progress, set by the training; `stop` turns true when the job is to be cancelled, or is
    another worker's now.
    """

    def __init__(self, store: Store, job: Job) -> None:
        self.epoch: Epoch | None = None
        self.stop = job.state != JobState.RUNNING
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
                epoch = self.epoch
                state = self._store.heartbeat(
                    self._job, epoch=epoch.number if epoch else 0, metrics=_figures(epoch) if epoch else None
                )
            except (
                Exception
            ):  # the database is away: the lease may lapse, the training goes on until it is known to have
                logger.exception("job %s: no heartbeat", self._job.id)
                continue
            self.stop = state != JobState.RUNNING


def _figures(epoch: Epoch) -> dict[str, float | None]:
    """The figures of an epoch under the names that the finished training will use."""
    return asdict(Metrics(epoch.loss, epoch.accuracy, epoch.validation_loss, epoch.validation_accuracy))
