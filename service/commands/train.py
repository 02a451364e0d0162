"""`separatrix train`."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from models.datasets import LabelledPoints
from models.selection.candidates import Given
from models.selection.search import Score
from models.specs import DatasetSpec, InvalidInput, Preset
from models.training.runs import Epoch, Metrics
from service.commands.csv_points import name_of, read_labelled
from service.commands.terminal import plain_console
from service.commands.workspace import open_workspace
from service.datasets.stored import StoredDatasets
from service.jobs import promotion, training_data
from service.jobs.queue import requested_job, save
from service.jobs.warm_start import Start, check_data, start_of
from service.jobs.worker import work
from service.records import Job, JobState, Reference, may_be_latest
from service.settings import Settings
from service.store.store import Store
from service.tables.options import TableOptions

console = plain_console(stderr=True)

POLL_S = 0.02
"""How often to check whether the result is served, which takes moments."""


def run(
    settings: Settings,
    *,
    model: str | None,
    data: DatasetSpec | str | Path,
    validation: str | None,
    table: TableOptions,
    preset: Preset | None,
    given: Given,
    start: tuple[str, Reference] | None = None,
    names_data: bool = True,
    promote_if: Mapping[str, str] | None = None,
    promote_to: str | None = None,
) -> None:
    """Trains in this process with a progress bar, and prints the result. Ctrl-C cancels the job.

    `data` is a generator, the name of a stored dataset, or a CSV file, which is read as `table` says. `validation` is
    the name of a stored dataset. `start` is the model and the version at whose weights the training begins. Unless the
    user `names_data`, the command says which data it takes for such a training. For `promote_if` and `promote_to` see
    `service.jobs.promotion.requested`.
    """
    promote = promotion.requested(promote_if or {}, promote_to) if promote_if or promote_to else None
    chosen = read_labelled(data, table) if isinstance(data, Path) else data
    if model is None and start is not None:
        model = start[0]
    if model is None:
        model = name_of(data, "model") if isinstance(data, Path) else _model_name(data, given)
    with open_workspace(settings, make=True) as workspace, _interruption() as interrupted:
        datasets = StoredDatasets(workspace.store, workspace.files, max_bytes=settings.max_datasets_bytes)
        own = training_data.stored(datasets, chosen) if isinstance(chosen, str) else chosen
        points = training_data.with_validation(own, datasets, validation)
        begin = start_of(workspace.registry.resolve(*start), workspace.files) if start else None
        if begin is not None and isinstance(chosen, DatasetSpec) and not names_data:
            _explain_default_data(begin, chosen, training_data.points_of(points))
        new = requested_job(model, points, preset, given, origin="cli", start=begin, promote=promote)
        save(workspace.files, new)
        job = workspace.store.leases.add_claimed(new.spec, worker=f"command:{new.spec.id}")
        with _Progress(job) as bar:
            work(
                job,
                store=workspace.store,
                files=workspace.files,
                should_stop=interrupted.is_set,
                cancel_on_stop=True,
                on_score=bar.count_candidate,
                on_choice=bar.begin_training,
                on_progress=bar.show_epochs,
            )
        job = _wait_until_reported(workspace.store, job)
    _report(job, drawable=training_data.points_of(points).features == 2)


def _explain_default_data(start: Start, default: DatasetSpec, points: LabelledPoints) -> None:
    """Says which data a training from a version takes if the user named none.

    Raises:
        InvalidInput: they do not suit the version.
    """
    try:
        check_data(start.version.card, points)
    except InvalidInput as error:
        raise InvalidInput(
            "from",
            f"{error.reason}; the data are the generator {default.dataset}, because neither --dataset nor --csv names "
            "others",
        ) from None
    _say(f"The data are the generator {default.dataset}, because neither --dataset nor --csv names others.")


def _model_name(data: DatasetSpec | str, given: Given) -> str:
    dataset = data if isinstance(data, str) else data.dataset
    return f"{dataset}-{given.network.get('kind', 'sequential')}".replace("_", "-")


@contextmanager
def _interruption() -> Iterator[Event]:
    """An event that Ctrl-C sets within the context. Pressed again, Ctrl-C ends the command at once."""
    pressed = Event()

    def note(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # first: a second signal must not wait for the event
        pressed.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _wait_until_reported(store: Store, job: Job) -> Job:
    """Waits until the job's end is reported, that is, until a service on the same rows serves its version.

    Returns at once if the job has not ended but this process has lost it.
    """
    while (now := store.jobs.get(job.id)).state.leased and now.status.attempt == job.status.attempt:
        time.sleep(POLL_S)
    return now


class _Progress(Progress):
    """A progress bar: first of the candidates that are compared, if settings are chosen, and then of the epochs."""

    def __init__(self, job: Job) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[done]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._epochs = job.max_epochs
        self._candidates = 0
        self._task = self.add_task("training" if job.settings else "comparing settings", total=job.max_epochs, done="")

    def count_candidate(self, score: Score) -> None:
        """Shows that one more candidate is compared."""
        self._candidates += 1
        figures = f"loss {score.loss:.4f}  accuracy {score.evaluation.accuracy:.1%}"
        self.update(self._task, done=f"candidate {self._candidates}  {figures}")

    def begin_training(self, job: Job) -> None:
        """Shows that the settings are chosen."""
        self._epochs = job.max_epochs
        self.update(self._task, description="training", total=self._epochs, done="")

    def show_epochs(self, epochs: int, latest: Epoch) -> None:
        """Shows how far the training is."""
        done = f"{epochs}/{self._epochs} epochs  loss {latest.loss:.4f}  accuracy {latest.accuracy:.1%}"
        self.update(self._task, completed=epochs, done=done)


def _say(line: str, *, lead: str = "", style: str = "") -> None:
    """Prints a line, after a `lead` in a style."""
    console.print(Text.assemble((lead, style), line), soft_wrap=True)  # unwrapped: a command in it can be copied


def _best_restart(restarts: list[dict[str, Any]], metrics: dict[str, float | None]) -> str:
    seed = next(restart["seed"] for restart in restarts if restart["metrics"] == metrics)
    return (
        f"The best of {len(restarts)} restarts is the one with seed {seed}; "
        f"their losses are between {_range_of_losses(restarts)}."
    )


def _range_of_losses(restarts: list[dict[str, Any]]) -> str:
    finite = [Metrics(**restart["metrics"]).selection_loss for restart in restarts if restart["metrics"]]
    return f"{min(finite):.4f} and {max(finite):.4f}"


def _report(job: Job, *, drawable: bool) -> None:
    """Prints how the job ended, and exits with a code that says so."""
    status = job.status
    if job.state == JobState.SUCCEEDED:
        _report_success(job, drawable=drawable)
        return
    if job.state == JobState.CANCELLED:
        _say("Cancelled; nothing was published.")
        raise typer.Exit(130)
    if job.state == JobState.FAILED and status.problem:
        _say(f" {status.problem['detail']}", lead=f"Failed ({status.problem['code']}).", style="red")
    elif job.state == JobState.PAUSED:
        _say(f"A service on this data folder has paused the job. To resume it there: POST /jobs/{job.id}/resume.")
    else:  # this process slept past its lease, or the job was paused and resumed
        _say(f"A service on this data folder has taken over the job {job.id}.")
    raise typer.Exit(1)


def _chosen(choice: dict[str, Any]) -> str:
    network, training, search = choice["network"], choice["training"], choice["search"]
    widths = ", ".join(map(str, network["hidden"])) or "none"
    settings = f"{network['kind']}, hidden units: {widths}, weight decay {training['weight_decay']:g}"
    if network.get("feature_weights"):
        settings += ", features weighted"
    if search["winner"] is None:
        return f"Settings: {settings}. {search['reason']}"
    best = search["candidates"][search["winner"]]
    return (
        f"Chosen from {len(search['candidates'])} candidates: {settings}. On points that it was not trained on: "
        f"{best['accuracy']:.1%} correct, loss {best['log_loss']:.4f}"
    )


def _compared(start: dict[str, Any], comparison: dict[str, Any]) -> str:
    before, after = (comparison["training"][name] for name in ("before", "after"))
    return (
        f"Compared with {start['model']} version {start['version']}: {comparison['disagreement']:.1%} of the labels "
        f"differ; loss {before['log_loss']:.4f} before, {after['log_loss']:.4f} now."
    )


def _say_promotion(promotion: dict[str, Any]) -> None:
    moved = f"{promotion['alias']} now names it." if promotion["promoted"] else f"{promotion['alias']} has not moved."
    _say(f"{moved} {promotion['reason']}")


def _report_success(job: Job, *, drawable: bool) -> None:
    metrics, restarts = job.status.metrics or {}, job.status.restarts or []
    _say("", lead=f"Published {job.model} version {job.status.version}.", style="green")
    if job.status.promotion is not None:
        _say_promotion(job.status.promotion)
    if job.status.choice and job.status.choice["search"]:
        _say(_chosen(job.status.choice))
    reasons = {restart["stop_reason"] for restart in restarts}
    epochs = f"{job.status.epoch} of {job.max_epochs} epochs"
    if "early_stopped" in reasons:
        _say(f"Stopped early after {epochs}: the loss no longer improved.")
    elif "converged" in reasons:
        _say(f"Converged after {epochs}.")
    if job.settings and job.settings[1].ensemble > 1:
        _say(f"An ensemble of {len(restarts)} networks; their losses are between {_range_of_losses(restarts)}.")
    elif len(restarts) > 1:
        _say(_best_restart(restarts, metrics))
    for points in ("training", "validation"):
        if metrics[f"{points}_accuracy"] is not None:
            accuracy, loss = metrics[f"{points}_accuracy"], metrics[f"{points}_loss"]
            _say(f"{points.capitalize()} points: {accuracy:.1%} correct, loss {loss:.4f}")
    if job.status.comparison and job.spec.started_from:
        _say(_compared(job.spec.started_from, job.status.comparison))
    for warning in job.status.warnings or []:
        _say(f" {warning}", lead="Warning:", style="yellow")
    if drawable:
        not_latest = "" if may_be_latest(job.status.promotion) else f" --version {job.status.version}"
        _say(f"To draw its decision boundary: separatrix boundary {job.model} {job.model}.png{not_latest}")
