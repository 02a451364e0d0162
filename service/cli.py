"""The command line: the arguments and options of each command.

What a command does is in `service.commands`. Each module there is imported when its command runs, because torch and
matplotlib take seconds to import.
"""

import atexit
import errno
import functools
import gc
import inspect
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from models.selection.candidates import Given
from models.specs import DATASET_NAMES, ClassWeight, DatasetSpec, InvalidInput, Preset
from service.api.jobs.requests import GeneratedData, NetworkSettings, TrainingSettings
from service.api.models.import_query import LISTS as IMPORT_LISTS
from service.api.models.import_query import ImportQuery
from service.api.table_query import TableQuery
from service.commands.options import Options
from service.errors import ServiceError
from service.http import messages
from service.records import Reference
from service.registry.references import named
from service.settings import Settings
from service.tables.options import TableOptions

atexit.register(gc.freeze)  # the process ends: looking for garbage in what is loaded takes half a second with torch


class _Commands(TyperGroup):
    """The commands. An error in their arguments is one line, like every other error."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Reads the arguments before the name of the command."""
        with _one_clear_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Reads the arguments of the command, and runs it."""
        with _one_clear_line():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help="Train small neural networks on points, serve them over HTTP, and see where they draw the line.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

datasets_app = typer.Typer(help="Store datasets under names, to train on them.", no_args_is_help=True)
app.add_typer(datasets_app, name="datasets")

keys_app = typer.Typer(help="API keys: who may use the service, and for what.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

KEYS = Options(Settings, names=("data_dir", "keys_file"))
"""The settings that say where the keys are."""

STORAGE = Options(Settings, names=("data_dir", "database_url"))
"""The settings that say which models a command works on."""

TABLE = Options(TableQuery, panel="CSV file")
"""How to read the CSV file of a command."""

CLASS_WEIGHT = (
    "The weight of a class in the loss, such as yes=2; once for each label. Or balanced, by which all classes weigh "
    "the same in total. By default all points weigh the same."
)
"""The help of `--class-weight`, which takes one label at a time. Its field takes an object of all labels."""


def _path(text: str) -> Path:
    if not text:  # which pathlib takes for the current folder
        raise typer.BadParameter("is empty; give the name of a file")
    return Path(text)


def _reference(text: str) -> int | str:
    if re.fullmatch(r"[1-9][0-9]{0,9}", text):
        return int(text)
    if not text[:1].isalpha():
        raise typer.BadParameter("must be the number of a version, counted from 1, or an alias")
    return text


Version = Annotated[
    Any,  # int | str | None, which Typer does not know
    typer.Option(
        parser=_reference,
        metavar="<number|alias>",
        help="Version of the model, by its number or an alias. (default: latest)",
        show_default=False,
    ),
]

ModelVersion = Annotated[str, typer.Argument(help="The model: MODEL, MODEL:VERSION or MODEL:ALIAS.")]

Epoch = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="As the version was after this epoch of its training, which is repeated up to there. (default: the "
        "published weights)",
    ),
]
Resolution = Annotated[int, typer.Option(help="Columns and rows of the grid.")]
Axes = Annotated[
    str | None,
    typer.Option(
        help="The features along x and y, by name or by number from 0, such as 'petal length,petal width'. A name "
        "that contains a comma is written in double quotes. (default: the first two that vary)"
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        help="The values of the other features, such as 5.8,3; or of some, such as 'sepal width=3'. "
        "(default: the medians)"
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        help="Margin on each side, as a share of the range of the points. (default: 0.125; for generated data 1 in "
        "data units)"
    ),
]


def _command(
    to: typer.Typer = app, *, name: str | None = None, **groups: Options
) -> Callable[[Callable[..., None]], None]:
    """Adds a command with generated options. Its function receives each group as a dict of the options given."""

    def add(function: Callable[..., None]) -> None:
        own = [one for one in inspect.signature(function).parameters.values() if one.name not in groups]

        @functools.wraps(function)
        def run(**values: Any) -> None:
            given = {name: group.given(values) for name, group in groups.items()}
            function(**{one.name: values[one.name] for one in own}, **given)
            sys.stdout.flush()  # here, because an error at the end of the process would be no clear line

        options = [parameter for group in groups.values() for parameter in group.parameters()]
        run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]  # what Typer reads
        to.command(name)(run)

    return add


@_command(settings=Options(Settings))
def serve(settings: dict[str, Any]) -> None:
    """Serve the models of a data folder over HTTP, and train new ones on request."""
    # Until uvicorn installs its own handler: as a container's first process, this one ignores SIGTERM by default.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from service.commands import serve as command

    command.run(Settings(**settings))


@_command(
    data=Options(
        GeneratedData,
        [name for name in GeneratedData.model_fields if name not in ("type", "dataset")],
        renamed={"seed": "data_seed"},
        panel="Generated data",
    ),
    network=Options(NetworkSettings, renamed={"kind": "network"}, panel="Network"),
    training=Options(TrainingSettings, helps={"class_weight": CLASS_WEIGHT}, panel="Training"),
    table=TABLE,
    settings=STORAGE,
)
def train(
    data: dict[str, Any],
    network: dict[str, Any],
    training: dict[str, Any],
    table: dict[str, Any],
    settings: dict[str, Any],
    dataset: Annotated[
        str | None,
        typer.Option(help="A built-in dataset. Or a stored one; see `separatrix datasets`. (default: flower)"),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            parser=_path,
            metavar="<path>",
            help="Train on this CSV file instead of generated data; - reads standard input.",
        ),
    ] = None,
    validation_dataset: Annotated[
        str | None,
        typer.Option(help="Validate on the points of this stored dataset.", show_default=False),
    ] = None,
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="Where settings that are not given come from: tutorial, the tutorial's values; auto, a search by "
            "cross-validation; or version, the version in --from. (default: version with --from, auto for a "
            "CSV file without other settings, else tutorial)",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL[:VERSION]",
            help="Begin at the weights of this version. Settings that are not given are taken from it.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Name to publish under. (default: the name of --from, or of the file, or the dataset and the network)"
        ),
    ] = None,
    promote_if: Annotated[
        list[str] | None,
        typer.Option(
            help="Move the alias only if the version meets this on validation points, such as 'accuracy>=0.95' or "
            "'log_loss<=0.2'. May be repeated.",
            show_default=False,
        ),
    ] = None,
    promote_to: Annotated[
        str | None, typer.Option(help="The alias that --promote-if is about. (default: latest)", show_default=False)
    ] = None,
) -> None:
    """Train a network and publish it as the next version of a model."""
    from service.commands import train as command

    if csv is not None and dataset is not None:
        raise InvalidInput("csv", "give either a CSV file or a dataset, not both")
    chosen: Path | str | DatasetSpec | None = csv or dataset
    if chosen is None or chosen in DATASET_NAMES:
        chosen = DatasetSpec(**data | ({"dataset": dataset} if dataset else {}))
    elif data:
        raise InvalidInput(next(iter(data)), "is for generators only")
    _check_table(table, csv)
    if "hidden" in network:
        network["hidden"] = list(_widths(network["hidden"]))
    if "inputs" in network:
        network["inputs"] = network["inputs"].split(",")
    if "feature_weights" in network:
        network["feature_weights"] = _feature_weights(network["feature_weights"])
    if "class_weight" in training:
        training["class_weight"] = _class_weight(training["class_weight"])
    command.run(
        Settings(**settings),
        model=model,
        data=chosen,
        validation=validation_dataset,
        table=TableOptions(**table),
        preset=preset,
        given=Given(network, training),
        start=named(start) if start else None,
        names_data=bool(csv or dataset),
        promote_if=_conditions(promote_if or []),
        promote_to=promote_to,
    )


@_command(table=TABLE, settings=STORAGE)
def predict(
    table: dict[str, Any],
    settings: dict[str, Any],
    model: ModelVersion,
    csv: Annotated[
        Path | None,
        typer.Argument(parser=_path, help="CSV file with one point on each line; - reads standard input."),
    ] = None,
    point: Annotated[
        list[str] | None, typer.Option(help="A point, such as 0.5,-0.25. Repeat the option for more points.")
    ] = None,
    version: Version = None,
    epoch: Epoch = None,
) -> None:
    """Predict the class of points. Prints CSV."""
    from service.commands import predict as command

    if (csv is None) == (not point):
        raise InvalidInput("points", "give either --point or a CSV file")
    _check_table(table, csv)
    model, version = _version_of(model, version)
    command.run(
        Settings(**settings),
        model=model,
        version=version,
        epoch=epoch,
        csv=csv,
        table=TableOptions(**table),
        points=point or [],
    )


@_command(settings=STORAGE)
def boundary(
    settings: dict[str, Any],
    model: ModelVersion,
    out: Annotated[Path, typer.Argument(parser=_path, help="The picture to write, such as out.png.")],
    version: Version = None,
    epoch: Epoch = None,
    resolution: Resolution = 600,
    axes: Axes = None,
    at: At = None,
    margin: Margin = None,
    within: Annotated[
        float | None,
        typer.Option(
            help="Leave out points farther from the plane than this, in standard deviations. All points fade with "
            "their distance. With two features, all points lie in the plane. (default: no limit)"
        ),
    ] = None,
) -> None:
    """Draw the decision boundary of a model: its regions, and the training points with its errors marked."""
    from service.commands import boundary as command

    model, version = _version_of(model, version)
    part = command.Part(axes=axes, at=at, margin=margin, within=within)
    command.run(
        Settings(**settings), model=model, version=version, epoch=epoch, out=out, resolution=resolution, part=part
    )


@_command(settings=STORAGE)
def compare(
    settings: dict[str, Any],
    a: Annotated[str, typer.Argument(help="The first version: MODEL, MODEL:VERSION or MODEL:ALIAS.")],
    b: Annotated[str, typer.Argument(help="The second version, of the same or another model.")],
    out: Annotated[Path, typer.Argument(parser=_path, help="The picture to write, such as out.png.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Compare on the points of this dataset too: a stored one or a generator.", show_default=False
        ),
    ] = None,
    resolution: Resolution = 600,
    axes: Axes = None,
    at: At = None,
    margin: Margin = None,
) -> None:
    """Compare two versions: print how often their labels differ, and draw where."""
    from service.commands import compare as command
    from service.commands.boundary import Part

    part = Part(axes=axes, at=at, margin=margin)
    command.run(Settings(**settings), a=a, b=b, out=out, resolution=resolution, dataset=dataset, part=part)


@_command(settings=STORAGE)
def models(settings: dict[str, Any]) -> None:
    """List the published models."""
    from service.commands import models as command

    command.run(Settings(**settings))


@_command(settings=STORAGE)
def backup(
    settings: dict[str, Any],
    out: Annotated[Path, typer.Argument(parser=_path, help="The archive to write, such as backup.tar.")],
) -> None:
    """Write everything of a data folder and its database to one archive. Services may run meanwhile.

    The exit status is 1 if something is damaged. The archive is written nevertheless.
    """
    from service.commands.maintenance import backup as command

    if not command.run(Settings(**settings), out=out):
        raise typer.Exit(1)


@_command(settings=STORAGE)
def restore(
    settings: dict[str, Any],
    archive: Annotated[Path, typer.Argument(parser=_path, help="An archive that `separatrix backup` wrote.")],
) -> None:
    """Restore a backup into a new data folder, and an empty database if --database-url names one."""
    from service.commands.maintenance import backup as command

    command.restore(Settings(**settings), archive=archive)


@_command(settings=STORAGE)
def doctor(settings: dict[str, Any]) -> None:
    """Check a data folder and its database: what is wrong, and what to do. The exit status is 1 if something is."""
    from service.commands.maintenance import doctor as command

    if not command.run(Settings(**settings)):
        raise typer.Exit(1)


@_command(settings=STORAGE)
def alias(
    settings: dict[str, Any],
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    name: Annotated[str, typer.Argument(help="The alias, such as production.")],
    version: Annotated[int | None, typer.Argument(min=1, help="The number of the version that it shall name.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the alias; the version stays.")] = False,
) -> None:
    """Make an alias name a version of a model, or delete the alias."""
    from service.commands import versions as command

    if (version is None) != delete:
        raise InvalidInput("version", "give either the number of a version or --delete")
    command.alias(Settings(**settings), model=model, alias=name, version=version)


@_command(settings=STORAGE)
def delete(
    settings: dict[str, Any],
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    version: Annotated[int | None, typer.Option(min=1, help="The number of the version to delete.")] = None,
    whole_model: Annotated[bool, typer.Option("--all", help="Delete all versions.")] = False,
) -> None:
    """Delete a version of a model, or all, with their files. Refused while an alias other than latest names one."""
    from service.commands import versions as command

    if (version is None) != whole_model:
        raise InvalidInput("version", "give either --version or --all")
    command.delete(Settings(**settings), model=model, version=version)


@_command(name="import", reading=Options(ImportQuery, panel="Checkpoint"), settings=STORAGE)
def import_model(
    reading: dict[str, Any],
    settings: dict[str, Any],
    model: Annotated[str, typer.Argument(help="Name to publish under.")],
    file: Annotated[
        Path,
        typer.Argument(
            parser=_path,
            help="PyTorch checkpoint, TorchScript, torch.export, safetensors, or an export; - reads standard input.",
        ),
    ],
) -> None:
    """Publish a network from a file as the next version of a model. Nothing of the file is executed."""
    from service.commands import import_model as command

    given = {name: [value] if name in IMPORT_LISTS else value for name, value in reading.items()}
    command.run(Settings(**settings), model=model, file=file, options=ImportQuery(**given).options())


@_command(name="show", settings=STORAGE)
def show_model(
    settings: dict[str, Any],
    model: ModelVersion,
    version: Version = None,
    member: Annotated[int, typer.Option(min=0, help="Which network of an ensemble, counted from 0.")] = 0,
) -> None:
    """Show a model: its network, data and metrics, and the weights of each layer as a histogram."""
    from service.commands import show as command

    model, version = _version_of(model, version)
    command.run(Settings(**settings), model=model, version=version, member=member)


@_command(settings=STORAGE)
def export(
    settings: dict[str, Any],
    model: ModelVersion,
    file: Annotated[
        Path,
        typer.Argument(parser=_path, help="The file to write, such as net.onnx; - is standard output."),
    ],
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="pth, module, torch-export, safetensors, onnx, json or py. (default: by the suffix of the file)",
            show_default=False,
        ),
    ] = None,
    version: Version = None,
) -> None:
    """Write a model as a file for other programs."""
    from service.commands import export as command

    model, version = _version_of(model, version)
    command.run(Settings(**settings), model=model, version=version, file=file, format_name=format_name)


@_command(datasets_app, table=TABLE, settings=STORAGE)
def add(
    table: dict[str, Any],
    settings: dict[str, Any],
    file: Annotated[
        Path,
        typer.Argument(parser=_path, help="CSV, JSON, .npy, .npz, Arrow or Parquet; - reads standard input."),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the dataset. (default: the name of the file)")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace other content under this name.")] = False,
) -> None:
    """Store a file as a dataset."""
    from service.commands import datasets as command

    command.add(Settings(**settings), file=file, name=name, replace=replace, options=TableOptions(**table))


@_command(datasets_app, settings=STORAGE)
def show(settings: dict[str, Any], name: Annotated[str, typer.Argument(help="Name of the dataset.")]) -> None:
    """Show the features and the classes of a stored dataset."""
    from service.commands import datasets as command

    command.show(Settings(**settings), name=name)


@_command(datasets_app, name="list", settings=STORAGE)
def list_datasets(settings: dict[str, Any]) -> None:
    """List the stored datasets."""
    from service.commands import datasets as command

    command.list_all(Settings(**settings))


@_command(datasets_app, settings=STORAGE)
def remove(settings: dict[str, Any], name: Annotated[str, typer.Argument(help="Name of the dataset.")]) -> None:
    """Delete a stored dataset. Jobs and versions keep the points that they were trained on."""
    from service.commands import datasets as command

    command.remove(Settings(**settings), name=name)


@_command(keys_app, name="add", settings=KEYS)
def add_key(
    settings: dict[str, Any],
    name: Annotated[str, typer.Argument(help="A name for the key; it appears in the audit log.")],
    role: Annotated[str, typer.Option(help="What the key allows: read, predict, train or admin.")],
    rate: Annotated[
        float | None,
        typer.Option(help="Maximum number of requests a second, in place of the setting. 0 sets no limit."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of requests in progress at a time, in place of the setting. 0 sets no limit."
        ),
    ] = None,
    queued: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of jobs that wait for a training process, in place of the setting; 1 or more. To "
            "allow no trainings, give the role predict."
        ),
    ] = None,
) -> None:
    """Add an API key and print it, once. From then on every request needs a key."""
    from service.access.keys import Limits
    from service.commands.maintenance import keys as command

    command.add(Settings(**settings), name=name, role=role, limits=Limits(rate, concurrency, queued))


@_command(keys_app, name="list", settings=KEYS)
def list_keys(settings: dict[str, Any]) -> None:
    """List the API keys by name, with their roles."""
    from service.commands.maintenance import keys as command

    command.list_all(Settings(**settings))


@_command(keys_app, name="revoke", settings=KEYS)
def revoke_key(settings: dict[str, Any], name: Annotated[str, typer.Argument(help="The name of the key.")]) -> None:
    """Revoke an API key. Running services refuse it within a second."""
    from service.commands.maintenance import keys as command

    command.revoke(Settings(**settings), name=name)


def _check_table(table: dict[str, Any], csv: Path | None) -> None:
    if table and csv is None:
        raise InvalidInput(next(iter(table)), "says how to read a CSV file, but none is given")


def _widths(hidden: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in hidden.split(",") if width.strip())
    except ValueError:
        raise InvalidInput("network.hidden", "must be whole numbers separated by commas, such as 16,16") from None


def _feature_weights(text: str) -> list[float]:
    """The factors in the value of `--feature-weights`."""
    try:
        return [float(weight) for weight in text.split(",")]
    except ValueError:
        raise InvalidInput("network.feature_weights", "must be numbers separated by commas, such as 1,0.5,2") from None


def _version_of(text: str, option: Reference) -> tuple[str, Reference]:
    """The model and the version of `MODEL[:VERSION]`, or the version that an option names."""
    if ":" in text and option is not None:
        raise InvalidInput("version", f"must be left out: {text} names a version")
    model, version = named(text)
    return model, option if version is None else version


def _class_weight(options: list[str]) -> ClassWeight:
    if options == ["balanced"]:
        return "balanced"
    try:
        pairs = [(label, float(weight)) for label, _, weight in (option.rpartition("=") for option in options)]
    except ValueError:
        pairs = []
    if not pairs or len(dict(pairs)) < len(options):
        raise InvalidInput("training.class_weight", "must be balanced, or once for each label, such as yes=2")
    return dict(pairs)


def _conditions(options: list[str]) -> dict[str, str]:
    found = [re.fullmatch(r"\s*(\w+)\s*([<>].*?)\s*", option) for option in options]
    conditions = {one[1]: one[2] for one in found if one is not None}
    if len(conditions) < len(options):
        raise InvalidInput("promote_if", "must be once for each figure, such as accuracy>=0.95")
    return conditions


@contextmanager
def _one_clear_line() -> Iterator[None]:
    """Reports an error that the user can fix in one line, with exit status 2 for bad input and 1 for what failed."""
    try:
        yield
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # which Typer does not export
            raise
        _exit(2, _wrong_argument(error))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(step) for step in first["loc"])
        _exit(2, f"{name}: {_rule(first)}" if name else _rule(first))
    except InvalidInput as error:
        _exit(2, str(error))
    except ServiceError as error:
        _exit(1, f"{error.title}: {error.for_operator}")
    except OSError as error:
        if error.errno == errno.EPIPE and error.filename is None:
            raise  # the reader, such as head, closed the pipe; Typer ends the process silently
        reason = error.strerror or str(error)
        _give_up_output()
        _exit(1, f"{error.filename}: {reason}" if error.filename else reason)


def _wrong_argument(error: typer.TyperException) -> str:
    """What is wrong with the arguments of a command, in one line."""
    if isinstance(error, typer.BadParameter) and error.param is not None and error.message:
        cause = error.__cause__
        rule = _rule(cause.errors()[0]) if isinstance(cause, ValidationError) else error.message
        return f"{error.param.opts[0]}: {rule}"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see --help"


def _rule(error: Mapping[str, Any]) -> str:
    """What a value must be, by an error of pydantic; without the words that pydantic puts first."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return messages.sentence(error) if error["type"] in messages.RULES else str(error["msg"])


def _give_up_output() -> None:
    """Drops the output that cannot be written. Python would report the error again when the process ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit(status: int, line: str) -> NoReturn:
    print(f"separatrix: {line}", file=sys.stderr)
    raise typer.Exit(status)
