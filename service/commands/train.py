"""`separatrix train`."""

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.specs import DatasetSpec, InvalidInput, NetworkSpec, resolve_training
from models.training.runs import Metrics
from service.commands.csv_points import read_labelled
from service.commands.workspace import open_workspace
from service.jobs import training_data
from service.jobs.queue import new_spec
from service.jobs.worker import work
from service.records import Job, JobState
from service.settings import Settings
from service.store.store import Store

console = Console(stderr=True)

LOOK_S = 0.02
"""How often to look whether the result is served; it is within moments."""


def run(
    settings: Settings, *, model: str | None, data: DatasetSpec | Path, network: NetworkSpec, training: dict[str, Any]
) -> None:
    """Trains here and now, with a progress bar, and says what came of it. Ctrl-C cancels the job."""
    resolved = resolve_training(network.kind, training)
    points = read_labelled(data) if isinstance(data, Path) else data
    if model is None:
        if isinstance(data, Path):
            raise InvalidInput("model", "give a name with --model")
        model = f"{data.dataset}-{network.kind}".replace("_", "-")
    spec = new_spec(model, points, network, resolved, origin="cli")
    with open_workspace(settings, make=True) as workspace, _Interrupted() as interrupted:
        training_data.keep(workspace.files, spec.id, points)
        job = workspace.store.jobs.add_claimed(spec, worker=f"command:{spec.id}")
        with _progress(job.spec.max_epochs) as bar:
            work(
                job,
                store=workspace.store,
                files=workspace.files,
                should_leave=lambda: interrupted.yes,
                leaving_cancels=True,
                on_progress=lambda passes, latest: bar.update(
                    bar.task_ids[0], completed=passes, loss=latest.loss, accuracy=latest.accuracy
                ),
            )
        job = _ended(workspace.store, job)
    _report(job, drawable=training_data.points_of(points).features == 2)


class _Interrupted:
    """Whether Ctrl-C was pressed meanwhile; pressed again, it ends the command at once."""

    def __init__(self) -> None:
        self.yes = False
        self._before = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> Self:
        signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, _: int, __: FrameType | None) -> None:
        self.yes = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _ended(store: Store, job: Job) -> Job:
    """The job when its end may be told: when a service that runs on the same rows serves its version.

    Or when it has not ended, and is not this process's any more.
    """
    while (now := store.jobs.get(job.id)).state.held and now.status.attempt == job.status.attempt:
        time.sleep(LOOK_S)
    return now


def _progress(epochs: int) -> Progress:
    progress = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs  loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.1%}"),
        TimeRemainingColumn(),
        console=console,
    )
    progress.add_task("training", total=epochs, loss=float("nan"), accuracy=float("nan"))
    return progress


def _say(line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False)  # a command to copy must stay whole


def _best_of(job: Job) -> str:
    restarts = job.status.restarts or []
    seed = next(restart["seed"] for restart in restarts if restart["metrics"] == job.status.metrics)
    finite = [Metrics(**restart["metrics"]).decisive_loss for restart in restarts if restart["metrics"]]
    return (
        f"The best of {len(restarts)} restarts is that of seed {seed}; "
        f"their losses lie between {min(finite):.4f} and {max(finite):.4f}."
    )


def _report(job: Job, *, drawable: bool) -> None:
    if job.state == JobState.SUCCEEDED:
        figures = job.status.metrics or {}
        _say(f"[green]Published {job.model} version {job.status.version}.[/]")
        if any(restart["ending"] == "stalled" for restart in job.status.restarts or []):
            _say(f"Stopped early, after {job.status.epoch} of {job.spec.max_epochs} epochs: the loss had stalled.")
        if len(job.status.restarts or []) > 1:
            _say(_best_of(job))
        _say(f"Training points: {figures['training_accuracy']:.1%} right, loss {figures['training_loss']:.4f}")
        if figures["validation_accuracy"] is not None:
            _say(
                f"Validation points: {figures['validation_accuracy']:.1%} right, loss {figures['validation_loss']:.4f}"
            )
        if drawable:
            _say(f"See where it draws the line: separatrix boundary {job.model} {job.model}.png")
        return
    if job.state == JobState.FAILED and job.status.problem:
        _say(f"[red]Failed ({job.status.problem['code']}).[/] {job.status.problem['detail']}")
        raise typer.Exit(1)
    if job.state == JobState.PAUSED:
        _say(f"Paused by a service on this data folder, which goes on with it after POST /jobs/{job.id}/resume.")
        raise typer.Exit(1)
    if not job.state.ended:  # this process slept past its lease, or the job was paused and resumed
        _say(f"A service that runs on this data folder has taken the job over; it is {job.id} there.")
        raise typer.Exit(1)
    _say("Cancelled; nothing was published.")
    raise typer.Exit(130)
