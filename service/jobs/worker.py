"""One attempt at a job, from claim to end. All workers run it, whichever engine started them."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from models.checkpoints import cards, torch_files
from models.checkpoints.cards import Card, DamagedCheckpoint
from models.datasets import LabelledPoints, merged_count
from models.limits import MAX_STEP_VALUES
from models.networks.layouts import joined_state
from models.networks.plans import AnyPlan, of_members, plan_of
from models.recipes import Recipe, step_values
from models.selection.candidates import Given
from models.selection.cross_validation import cross_validated
from models.selection.search import Choice, Score, choose
from models.specs import InvalidInput, NetworkSpec, TrainingSpec
from models.training import runs
from models.training.evaluation import Evaluation
from models.training.replay import new_networks
from models.training.restarts import Trained, train_best
from models.training.resume_state import ResumeState
from models.training.runs import Metrics
from models.training_range import TrainingRange
from models.validation import about_overlap
from service.errors import StoreUnavailable
from service.jobs import outcome, promotion, training_data, warm_start
from service.jobs.monitor import Monitor
from service.jobs.observer import JobObserver, ProgressCallback
from service.jobs.outcome import Failed, Kept, Lost, Outcome, Published, Released
from service.processes.cores import usable_cores
from service.records import FailureCode, Job, JobState
from service.store.files import Files
from service.store.leases import Histories, StatusUpdate
from service.store.points_file import DamagedData
from service.store.store import Store

logger = logging.getLogger(__name__)

RETRY_S = 0.5
"""How long to wait before the outcome is written again when the database was unavailable."""


def work(
    job: Job,
    *,
    store: Store,
    files: Files,
    max_training_s: float = float("inf"),
    should_stop: Callable[[], bool] = lambda: False,
    cancel_on_stop: bool = False,
    on_score: Callable[[Score], object] = lambda score: None,
    on_choice: Callable[[Job], object] = lambda job: None,
    on_progress: ProgressCallback = lambda epochs, latest: None,
    on_end: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Trains a claimed job from its last checkpoint, publishes the result, and ends the attempt.

    An error of the job itself fails the job, with a problem that says why. If the database is unavailable at the end,
    the outcome is written when it is back.

    Args:
        job: as claimed.
        store: of the job.
        files: of the same service.
        max_training_s: longest that the training may take, summed over all attempts.
        should_stop: asked every few milliseconds; once true, the job is released and can resume.
        cancel_on_stop: cancel the job instead of releasing it.
        on_score: called with the score of each candidate, if the job's preset is `auto`.
        on_choice: called with the job when its settings are chosen.
        on_progress: see `ProgressCallback`.
        on_end: called when the outcome is in the database, before unused checkpoints are removed.
        clock: the time in seconds by which checkpoints are due.

    Returns:
        The outcome of the attempt, as recorded in the database.

    Raises:
        StoreUnavailable: the database is unavailable and `should_stop` is true; the lease will expire.
    """
    with Monitor(store, job, max_training_s=max_training_s) as monitor:
        observer = JobObserver(
            job, store, files, monitor, should_stop=should_stop, on_progress=on_progress, clock=clock
        )
        attempt = _Attempt(job, store, files, monitor, observer, on_score, on_choice)
        ended = attempt.run(cancel=lambda: cancel_on_stop and should_stop())
        while True:
            try:
                dropped = outcome.write(ended, job, store)
                on_end()
                files.remove_versions(dropped)
                _remove_unused_checkpoints(job, store, files)
                return ended
            except StoreUnavailable:
                logger.warning("job %s: the database is unavailable; the outcome is written when it is back", job.id)
                if should_stop():
                    raise
                time.sleep(RETRY_S)


def _remove_unused_checkpoints(job: Job, store: Store, files: Files) -> None:
    """Removes the checkpoints of this attempt and earlier ones that no row refers to.

    The rows decide, not this attempt: the answer to a write may have been lost, or the job may have been reclaimed.
    """
    in_use = store.jobs.checkpoints_in_use(job.id)
    for name in files.checkpoints_of(job.id):
        if name not in in_use and int(name.split("-")[1]) <= job.status.attempt:
            files.remove_checkpoint(name)


class _Attempt:
    """Trains a job and saves its files. Writes no outcome: that is the caller's."""

    def __init__(
        self,
        job: Job,
        store: Store,
        files: Files,
        monitor: Monitor,
        observer: JobObserver,
        on_score: Callable[[Score], object],
        on_choice: Callable[[Job], object],
    ) -> None:
        self._job = job
        self._store = store
        self._on_score = on_score
        self._on_choice = on_choice
        self._files = files
        self._monitor = monitor
        self._observer = observer

    def run(self, *, cancel: Callable[[], bool]) -> Outcome:
        """Trains to the end or until the observer stops it. Files that the outcome names are on the disk.

        `cancel` is asked once, if the training was stopped: whether to cancel the job.
        """
        job = self._job
        try:
            points = training_data.load(self._files, job.id, job.spec.data, job.spec.data_digest)
            validation = training_data.load_validation(self._files, job.id, job.spec.data, points)
            if not self._prepare(points, validation):
                return self._stopped(None, cancel=cancel())
            assert self._job.settings is not None
            start = warm_start.load(self._files, job.id, job.spec.started_from)
            recipe = Recipe(points, *self._job.settings, validation, start)
            self._observer.in_data_units = partial(recipe.scaling.in_data_units, recipe.layout)
            trained = self._train(recipe)
            if trained.best is None:
                return self._stopped(trained.resume_state, cancel=cancel())
            return self._ended(trained, recipe)
        except DamagedData as error:
            return self._failed("damaged-data", str(error))
        except OSError as error:
            logger.error("job %s: a file could not be read or written: %s", job.id, error)
            reason = (error.strerror or "an input/output error").lower()
            return self._failed(
                "storage", f"The data folder could not be read or written: {reason}. Fix that, then retry the job."
            )
        except Exception as error:
            if _is_out_of_memory(error):
                detail = "The training exceeded its memory limit. Try a smaller batch_size or narrower layers."
                return self._failed("out-of-memory", detail)
            logger.exception("job %s failed because of an internal error", job.id)
            detail = "An internal error of the service ended this training; the service's log has the details."
            return self._failed("internal", detail)

    def _prepare(self, points: LabelledPoints, validation: LabelledPoints | None) -> bool:
        """Chooses the settings that the client left open, and evaluates given ones in folds. Records the result.

        Returns:
            Whether the training can begin. False if the attempt was stopped.
        """
        if self._job.status.choice is not None:
            return True
        if self._job.settings is None:
            choice = self._chosen(points, validation)
        elif self._job.settings[1].validation_folds is not None:
            choice = self._evaluated(Recipe(points, *self._job.settings))
        else:
            return True
        if choice is None:
            return False
        job = self._recorded(choice)
        if job is None:
            return False
        self._job = job
        self._on_choice(job)
        return True

    def _recorded(self, choice: Choice) -> Job | None:
        """Records a choice, once the database is available. None if the attempt has lost the job or should stop."""
        while not self._observer.should_stop():
            try:
                return self._store.leases.record_choice(self._job, choice.to_json())
            except StoreUnavailable:
                logger.warning("job %s: the database is unavailable; the training waits for it", self._job.id)
                time.sleep(RETRY_S)
        return None

    def _chosen(self, points: LabelledPoints, validation: LabelledPoints | None) -> Choice | None:
        spec = self._job.spec
        return choose(
            points,
            Given(spec.network, spec.training),
            validation=validation,
            threads=usable_cores(),
            should_stop=self._observer.should_stop,
            on_score=self._on_score,
        )

    def _evaluated(self, recipe: Recipe) -> Choice | None:
        """Returns given settings with their cross-validation; without it if logits overflow."""
        try:
            evaluation = cross_validated(recipe, threads=usable_cores(), should_stop=self._observer.should_stop)
        except InvalidInput:
            return Choice(recipe.network, recipe.training, None, None)
        if evaluation is None:
            return None
        return Choice(recipe.network, recipe.training, None, evaluation.to_json())

    def _train(self, recipe: Recipe) -> Trained:
        points = recipe.points
        train = partial(
            train_best,
            new_networks(recipe),
            recipe.scaling.inputs(points),
            recipe.training,
            validation=recipe.scaling.inputs(recipe.validation) if recipe.validation else None,
            threads=_threads(points, recipe.network, recipe.training),
            observer=self._observer,
        )
        try:
            return train(resume_from=self._resume_state())
        except ValueError as error:
            logger.error("job %s restarts from the beginning; its checkpoint does not fit: %s", self._job.id, error)
            return train()

    def _resume_state(self) -> ResumeState | None:
        """Returns where the last attempt left the training; None if there is no checkpoint or it is damaged."""
        checkpoint = self._job.status.checkpoint
        if checkpoint is None:
            return None
        try:
            resume_state = torch_files.load_resume_state(self._files.checkpoint_folder(checkpoint))
        except (DamagedCheckpoint, OSError) as error:
            logger.error("job %s restarts from the beginning; its checkpoint cannot be read: %s", self._job.id, error)
            return None
        self._observer.resume_from(resume_state)
        return resume_state

    def _stopped(self, resume_state: ResumeState | None, *, cancel: bool) -> Outcome:
        """Saves a training that was stopped, unless it had not begun or will never resume."""
        monitor = self._monitor
        if monitor.requested_state is None:
            return Lost()
        status: StatusUpdate = {"ran_s": monitor.ran_s}
        if monitor.requested_state == JobState.CANCELLING:
            return Released(cancel=cancel, status=status, networks=self._so_far)
        if resume_state is not None:
            status["epoch"] = sum(resume_state.epochs.values())
            status["checkpoint"] = self._observer.save_checkpoint(resume_state)
        if monitor.timed_out:
            detail = "The training exceeded its time limit. Try fewer epochs or a larger learning_rate."
            return Failed(code="time-limit", detail=detail, status=status, networks=self._so_far)
        return Released(cancel=cancel, status=status, networks=self._so_far)

    def _ended(self, trained: Trained, recipe: Recipe) -> Outcome:
        """Saves the network, or the ensemble, of a training that has ended by itself."""
        results = [member.outcome for member in trained.members]
        restarts = [restart.to_json() for restart in trained.restarts]
        states = [self._observer.in_data_units(member.weights) for member in trained.members]
        status: StatusUpdate = {
            "epoch": sum(restart.epochs for restart in trained.restarts),
            "restarts": restarts,
            "ran_s": self._monitor.ran_s,
        }
        histories = [result.history.to_json() for result in results]
        folder = self._files.checkpoint_folder(self._job.checkpoint_id)
        diverged = next((result for result in results if result.advice is not None), None)
        if diverged is not None:  # no evaluation: its outputs may overflow
            metrics = asdict(diverged.metrics) if diverged.metrics else None
            card = _card(self._job, results, recipe, metrics, restarts)
            torch_files.save(folder, joined_state(states), card, durable=self._files.durable)
            status |= {"metrics": metrics, "checkpoint": self._job.checkpoint_id}
            return Failed(code="diverged", detail=diverged.advice or "", status=status, networks=histories)
        plan = of_members([plan_of(recipe.layout, state, recipe.scaling.transform) for state in states])
        evaluations = _evaluations(plan, recipe)
        metrics = _metrics(results, evaluations)
        decisive = "validation" if "validation" in evaluations else "training"
        warnings = evaluations[decisive].warnings(recipe.points.classes, decisive)
        warnings += _about_merged(recipe) + warm_start.warnings(recipe) + about_overlap(*recipe.parts)
        status |= {"metrics": metrics, "warnings": warnings}
        if comparison := self._comparison(plan, recipe):
            status["comparison"] = comparison
        choice = self._job.status.choice
        card = replace(
            _card(self._job, results, recipe, metrics, restarts),
            evaluation=_shown(evaluations, choice),
            warnings=tuple(warnings),
            search=choice["search"] if choice else None,
        )
        digest = torch_files.save(
            folder,
            joined_state(states),
            card,
            TrainingRange.of(recipe.parts[0]),
            states_at=self._observer.states_at,
            durable=self._files.durable,
        )
        if not self._job.spec.publishes:
            return Kept(status=status, networks=histories)
        promoted = promotion.decide(self._job.spec.promote, card.evaluation)
        return Published(
            card_digest=digest, summary=card.summary, promotion=promoted, status=status, networks=histories
        )

    def _comparison(self, plan: AnyPlan, recipe: Recipe) -> dict[str, Any] | None:
        """How a network differs from the version at whose weights its training began; None without one."""
        before, start = warm_start.plan_before(recipe), self._job.spec.started_from
        if before is None or start is None:
            return None
        return warm_start.compare(before, plan, recipe, start["corrections"])

    def _failed(self, code: FailureCode, detail: str) -> Outcome:
        return Failed(code=code, detail=detail, status={"ran_s": self._monitor.ran_s}, networks=self._so_far)

    @property
    def _so_far(self) -> Histories:
        """The history of the first network of a training that has not ended by itself."""
        history = self._observer.history
        return [history.to_json()] if history else []


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)  # torch raises a RuntimeError


def _threads(points: LabelledPoints, network: NetworkSpec, training: TrainingSpec) -> int:
    """Returns how many networks to train at a time: one per core, and no more than fit in memory."""
    fitting = MAX_STEP_VALUES // step_values(points, network, training)
    return min(training.networks, usable_cores(), fitting)


def _evaluations(plan: AnyPlan, recipe: Recipe) -> dict[str, Evaluation]:
    """Returns how the network classifies the `training` points and, if there are any, the `validation` points."""
    parts = zip(("training", "validation"), recipe.parts, strict=True)
    return {kind: Evaluation.of(plan, points) for kind, points in parts if points is not None}


def _shown(evaluations: dict[str, Evaluation], choice: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Returns the evaluations as JSON, with the cross-validation of the chosen settings if there was one."""
    shown = {kind: one.to_json() for kind, one in evaluations.items()}
    if choice and choice["cross_validation"]:
        shown["cross_validation"] = choice["cross_validation"]
    return shown


def _metrics(results: Sequence[runs.Outcome], evaluations: dict[str, Evaluation]) -> dict[str, float | None] | None:
    """Returns the metrics of the only network, or of an ensemble."""
    if len(results) == 1:
        return asdict(results[0].metrics) if results[0].metrics else None
    training, validation = evaluations["training"], evaluations.get("validation")
    of_validation = (validation.log_loss, validation.accuracy) if validation else (None, None)
    return asdict(Metrics(training.log_loss, training.accuracy, *of_validation))


def _about_merged(recipe: Recipe) -> list[str]:
    """Returns a warning if the network gets the same input for different points."""
    if recipe.terms is not None:  # derived inputs may be meant to merge points
        return []
    merged = merged_count(recipe.points.xy_ND, recipe.scaling.transform.points)
    if not merged:
        return []
    points = "1 point differs" if merged == 1 else f"{merged:,} points differ"
    what = f"{points} from another by less than single precision can represent, and both get the same answer."
    return [f"{what} Send coordinates relative to a typical value."]


def _card(
    job: Job,
    results: Sequence[runs.Outcome],
    recipe: Recipe,
    metrics: dict[str, Any] | None,
    restarts: list[dict[str, Any]],
) -> Card:
    spec = job.spec
    reasons = {result.stop_reason for result in results}
    return replace(
        cards.of_recipe(recipe, spec.data, spec.data_digest),
        stop_reason=results[0].stop_reason if len(reasons) == 1 else "completed",
        epochs=max(result.epochs for result in results),
        metrics=metrics,
        software=_software(),
        implementation=results[0].implementation,
        restarts=tuple(restarts),
        history=tuple(result.history.to_json() for result in results),
        started_from=spec.started_from
        and {name: spec.started_from[name] for name in ("model", "version", "digest", "corrections")},
    )


@cache
def _software() -> dict[str, str]:
    """Returns package versions by name. Reading them takes some milliseconds."""
    return {name: version(name) for name in ("separatrix", "torch", "numpy", "numba")}
