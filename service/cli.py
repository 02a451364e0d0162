"""The command line: what each command takes.

What a command does is in `service.commands`, imported when it is called for: torch and matplotlib take seconds to
import that no other command should pay.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from models.specs import (
    Activation,
    DatasetName,
    DatasetSpec,
    ImplementationChoice,
    InvalidInput,
    NetworkKind,
    NetworkSpec,
    Optimizer,
)
from service.errors import ServiceError
from service.settings import Settings

app = typer.Typer(
    help="Train small neural networks on points, serve them over HTTP, and see where they draw the line.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _setting(name: str, *flags: str) -> Any:
    """The option for a setting. Its default and its environment variable are read by `Settings` alone."""
    field = Settings.model_fields[name]
    note = f"(default {field.default}; SEPARATRIX_{name.upper()})"
    return typer.Option(*flags, help=f"{field.description} {note}", show_default=False)


DataDir = Annotated[Path | None, _setting("data_dir")]
DatabaseUrl = Annotated[str | None, _setting("database_url")]
Version = Annotated[int | None, typer.Option(min=1, help="The latest, if not given.")]


@app.command()
def serve(
    host: Annotated[str | None, _setting("host")] = None,
    port: Annotated[int | None, _setting("port")] = None,
    insecure: Annotated[bool | None, _setting("insecure", "--insecure")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    workers: Annotated[int | None, _setting("workers")] = None,
    training_processes: Annotated[int | None, _setting("training_processes")] = None,
    training_niceness: Annotated[int | None, _setting("training_niceness")] = None,
    max_training_s: Annotated[float | None, _setting("max_training_s")] = None,
    max_training_memory_bytes: Annotated[int | None, _setting("max_training_memory_bytes")] = None,
    lease_s: Annotated[float | None, _setting("lease_s")] = None,
    seed_models: Annotated[bool | None, _setting("seed_models", "--seed-models/--no-seed-models")] = None,
    log_level: Annotated[str | None, _setting("log_level")] = None,
    max_body_bytes: Annotated[int | None, _setting("max_body_bytes")] = None,
    body_timeout_s: Annotated[float | None, _setting("body_timeout_s")] = None,
    max_points_per_request: Annotated[int | None, _setting("max_points_per_request")] = None,
    response_cache_bytes: Annotated[int | None, _setting("response_cache_bytes")] = None,
    max_queued_jobs: Annotated[int | None, _setting("max_queued_jobs")] = None,
    max_streams: Annotated[int | None, _setting("max_streams")] = None,
    shutdown_timeout_s: Annotated[int | None, _setting("shutdown_timeout_s")] = None,
) -> None:
    """Serve the models of a data folder over HTTP, and train what is asked for."""
    given = locals()
    # until uvicorn's own handler is there, and as the first process of a container, which else ignores it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _one_clear_line():
        from service.commands import serve as command

        command.run(_settings(**given))


@app.command()
def train(
    dataset: Annotated[
        DatasetName | None, typer.Option(help="A built-in data set; flower, if no CSV is given.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Train on this file instead: the coordinates of a point, then its label, a line."),
    ] = None,
    n: Annotated[int, typer.Option(help="Points of the data set.")] = 400,
    noise: Annotated[float | None, typer.Option(help="Noise of the data set, in data units.")] = None,
    data_seed: Annotated[int, typer.Option(help="Seed of the data set.")] = 1,
    classes: Annotated[int, typer.Option(help="Classes of spirals or gaussians.")] = 2,
    model: Annotated[str | None, typer.Option(help="Name to publish under; by default DATASET-NETWORK.")] = None,
    network: Annotated[NetworkKind, typer.Option(help="Kind of network.")] = "sequential",
    hidden: Annotated[
        str | None,
        typer.Option(help="Widths of the hidden layers, such as 4 or 16,16 (default 4; none for logistic)."),
    ] = None,
    activation: Annotated[Activation, typer.Option(help="Between the layers.")] = "tanh",
    epochs: Annotated[int | None, typer.Option(help="By default 10000, for logistic 100.")] = None,
    optimizer: Annotated[Optimizer | None, typer.Option(help="By default sgd.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="By default 1, for logistic 0.1, for adam 0.01.")] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd (default 0).")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="By default 0.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="By default all points at once.")] = None,
    validation_fraction: Annotated[float | None, typer.Option(help="Kept out of training (default 0).")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after that many epochs without improvement.")] = None,
    min_delta: Annotated[float | None, typer.Option(help="Least improvement that counts (default 0.0001).")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, split and batches (default 0).")] = None,
    restarts: Annotated[int | None, typer.Option(help="Train from so many seeds, keep the best (default 1).")] = None,
    implementation: Annotated[
        ImplementationChoice | None, typer.Option(help="What trains; by default the faster one.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Train a network and publish it as the next version of a model."""
    with _one_clear_line():
        from service.commands import train as command

        if csv is not None and dataset is not None:
            raise InvalidInput("csv", "give either a CSV file or a data set")
        command.run(
            _settings(data_dir=data_dir, database_url=database_url),
            model=model,
            data=csv or DatasetSpec(dataset=dataset or "flower", n=n, noise=noise, seed=data_seed, classes=classes),
            network=NetworkSpec(kind=network, hidden=_widths(hidden), activation=activation),
            training={
                key: value
                for key, value in {
                    "epochs": epochs,
                    "optimizer": optimizer,
                    "learning_rate": learning_rate,
                    "momentum": momentum,
                    "weight_decay": weight_decay,
                    "batch_size": batch_size,
                    "validation_fraction": validation_fraction,
                    "patience": patience,
                    "min_delta": min_delta,
                    "seed": seed,
                    "restarts": restarts,
                    "implementation": implementation,
                }.items()
                if value is not None
            },
        )


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    csv: Annotated[
        Path | None, typer.Argument(help="Points, one a line; answered as CSV. - reads standard input.")
    ] = None,
    point: Annotated[list[str] | None, typer.Option(help="One point, such as 0.5,-0.25; may be given often.")] = None,
    version: Version = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Say which class points belong to."""
    with _one_clear_line():
        from service.commands import predict as command

        if (csv is None) == (not point):
            raise InvalidInput("points", "give either --point or a CSV file")
        command.run(
            _settings(data_dir=data_dir, database_url=database_url),
            model=model,
            version=version,
            csv=csv,
            points=point or [],
        )


@app.command()
def boundary(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    out: Annotated[Path, typer.Argument(help="The picture to write, such as out.png.")],
    version: Version = None,
    resolution: Annotated[int, typer.Option(help="Columns and rows of the grid.")] = 600,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Draw where a model draws the line: its regions, the training points over them, and how many it gets right."""
    with _one_clear_line():
        from service.commands import boundary as command

        command.run(
            _settings(data_dir=data_dir, database_url=database_url),
            model=model,
            version=version,
            out=out,
            resolution=resolution,
        )


@app.command()
def models(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List the published models."""
    with _one_clear_line():
        from service.commands import models as command

        command.run(_settings(data_dir=data_dir, database_url=database_url))


def _settings(**given: Any) -> Settings:
    """The settings, with the flags that were given in the place of variables and defaults."""
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _widths(hidden: str | None) -> tuple[int, ...] | None:
    if hidden is None:
        return None
    try:
        return tuple(int(width) for width in hidden.split(",") if width.strip())
    except ValueError:
        raise InvalidInput("network.hidden", "must be whole numbers with commas between, such as 16,16") from None


@contextmanager
def _one_clear_line() -> Iterator[None]:
    """Whatever the user can mend is said in one line, with exit status 2 for bad input and 1 for what failed."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(step) for step in first["loc"])
        _exit(2, f"{name}: {first['msg']}" if name else first["msg"].removeprefix("Value error, "))
    except InvalidInput as error:
        _exit(2, str(error))
    except ServiceError as error:
        _exit(1, f"{error.title}: {error}")
    except OSError as error:
        _exit(1, f"{error.filename or 'separatrix'}: {error.strerror or error}")


def _exit(status: int, line: str) -> None:
    print(f"separatrix: {line}", file=sys.stderr)
    raise typer.Exit(status)
