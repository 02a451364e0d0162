"""What a training reports while a worker runs it: progress, checkpoints and snapshots."""

import logging
import time
from collections.abc import Callable

import safetensors.numpy

from models.checkpoints import torch_files
from models.datasets import FloatArray
from models.training.restarts import Observer
from models.training.resume_state import ResumeState
from models.training.runs import Epoch, Epochs, History
from service.errors import StoreUnavailable
from service.jobs.monitor import EVENT_SHARE, Monitor
from service.records import Job
from service.store.files import Files
from service.store.store import Store

logger = logging.getLogger(__name__)

CHECKPOINT_S = 1.0
"""How often a training saves a checkpoint, at most. A crash loses that much work."""

CHECKPOINT_SHARE = 0.05
"""The share of a worker's time that checkpoints may take: checkpoints of large networks are saved less often."""

WeightsConverter = Callable[[dict[str, FloatArray]], dict[str, FloatArray]]

ProgressCallback = Callable[[int, Epoch], object]
"""Called with the epochs trained so far, summed over all restarts, and the latest epoch."""


class JobObserver(Observer):
    """Observes the training of one attempt.

    Attributes:
        in_data_units: turns a state dict of the training into one of the finished network. Set before the training.
        snapshot_epochs: the epochs after which `on_epoch_weights` is called.
        states_at: what the job keeps of them: the state dict of the network after each.
    """

    def __init__(
        self,
        job: Job,
        store: Store,
        files: Files,
        monitor: Monitor,
        *,
        should_stop: Callable[[], bool],
        on_progress: ProgressCallback,
        clock: Callable[[], float],
    ) -> None:
        self._job = job
        self._store = store
        self._files = files
        self._monitor = monitor
        self._should_stop = should_stop
        self._on_progress = on_progress
        self._clock = clock
        self.in_data_units: WeightsConverter = dict
        self._history: Callable[[], History] | None = None
        self._checkpoint = job.status.checkpoint
        self._epochs: dict[int, int] = {}  # by restart
        self.states_at: dict[int, dict[str, FloatArray]] = {}
        self.snapshot_epochs = tuple(job.spec.snapshots or ())
        self._next_checkpoint = clock() + CHECKPOINT_S
        self._next_event = 0.0

    def resume_from(self, resume_state: ResumeState) -> None:
        """Counts the epochs of earlier attempts."""
        self._epochs = dict(resume_state.epochs)

    def should_stop(self) -> bool:
        """Returns whether the monitor or the worker wants the training to stop."""
        return self._monitor.should_stop or self._should_stop()

    def on_epochs(self, restart: int, epochs: Epochs) -> None:
        """Reports the progress to the monitor and the caller."""
        latest = epochs.last
        self._epochs[restart] = latest.number
        total = sum(self._epochs.values())
        self._monitor.report(total, latest)
        self._on_progress(total, latest)

    @property
    def history(self) -> History | None:
        """The history of the first network so far; None before this attempt has trained it."""
        return self._history() if self._history else None

    def on_history(self, restart: int, history: Callable[[], History]) -> None:
        """Keeps the history of the first network, and reports it to the monitor."""
        if restart == 0:
            self._history = history
            self._monitor.report_history(history)

    def wants_resume_state(self) -> bool:
        """Returns whether a checkpoint is due."""
        return self._clock() >= self._next_checkpoint

    def on_resume_state(self, resume_state: ResumeState) -> None:
        """Saves a checkpoint in place of the last one. If that fails, the training goes on without."""
        began = self._clock()
        try:
            self._replace_checkpoint(resume_state, emit=began >= self._next_event)
        except (OSError, StoreUnavailable) as error:
            logger.warning("job %s: no checkpoint could be saved (%s)", self._job.id, error)
        took_s = self._clock() - began
        self._next_checkpoint = self._clock() + max(CHECKPOINT_S, took_s / CHECKPOINT_SHARE)

    def _replace_checkpoint(self, resume_state: ResumeState, *, emit: bool) -> None:
        saved = self.save_checkpoint(resume_state)
        epoch = sum(resume_state.epochs.values())
        if not self._store.leases.record_checkpoint(self._job, checkpoint=saved, epoch=epoch, emit=emit):
            return
        if self._checkpoint is not None:
            self._files.remove_checkpoint(self._checkpoint)
        self._checkpoint = saved
        if emit:
            self._next_event = self._clock() + self._monitor.ran_s * EVENT_SHARE

    def save_checkpoint(self, resume_state: ResumeState) -> str:
        """Saves the state of the training to a new folder and returns the folder's name.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        name = f"{self._job.checkpoint_id}-{time.time_ns():x}"
        weights = self.in_data_units(resume_state.weights) if resume_state.weights else {}
        torch_files.save_resume_state(
            self._files.checkpoint_folder(name), resume_state, weights, durable=self._files.durable
        )
        return name

    def wants_weights(self) -> bool:
        """Returns whether a snapshot is due."""
        return self._monitor.wants_snapshot()

    def on_weights(self, _: int, epoch: int, weights: dict[str, FloatArray]) -> None:
        """Passes the weights to the monitor, as a snapshot."""
        self._monitor.submit_snapshot(epoch, safetensors.numpy.save(self.in_data_units(weights)))

    def on_epoch_weights(self, _: int, epoch: int, weights: dict[str, FloatArray]) -> None:
        """Keeps the weights after an epoch for the checkpoint."""
        self.states_at[epoch] = self.in_data_units(weights)
