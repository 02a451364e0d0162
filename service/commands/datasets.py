"""`separatrix datasets`: the stored datasets of a data folder."""

import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from rich.table import Column, Table

from models.specs import DATASET_NAMES, InvalidInput
from service.commands.csv_points import STANDARD_INPUT, name_of
from service.commands.terminal import plain_console
from service.commands.workspace import Workspace, open_workspace
from service.datasets import formats, reading
from service.datasets.reading import Task
from service.datasets.stored import StoredDatasets, require_free
from service.records import NAME_PATTERN, NAME_RULE, StoredDataset
from service.settings import Settings
from service.tables.options import TableOptions


def add(settings: Settings, *, file: Path, name: str | None, replace: bool, options: TableOptions) -> None:
    """Stores a file as a dataset, by default under its own name, and reports how it was understood.

    Raises:
        InvalidInput: the name is invalid, or the file cannot be read as a dataset.
        DatasetReserved, DatasetExists, DatasetsFull: see `StoredDatasets.add`.
        OSError: the file cannot be read, or the data folder cannot be written.
    """
    name = name_of(file, "name") if name is None else name
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidInput("name", NAME_RULE)
    require_free(name)
    if file == STANDARD_INPUT:
        _add(settings, sys.stdin.buffer, "standard input", name, replace, options)
        return
    with file.open("rb") as opened:
        _add(settings, opened, file.name, name, replace, options)


def _add(settings: Settings, file: IO[bytes], title: str, name: str, replace: bool, options: TableOptions) -> None:
    with open_workspace(settings, make=True) as workspace:
        folder = workspace.files.points_folder
        folder.mkdir(exist_ok=True)
        with formats.seekable(file, folder) as content:
            kind = formats.of_content(content).name
            task = Task(name=name, title=title, format=kind, options=asdict(options), folder=str(folder))
            written = reading.run(task, content)
        dataset, is_new = _datasets(settings, workspace).add(written, replace=replace)
    _report(dataset)
    print(f"{'Stored' if is_new else 'The dataset is now'} {name}. To train on it: separatrix train --dataset {name}")


def show(settings: Settings, *, name: str) -> None:
    """Prints what is known about a dataset."""
    with open_workspace(settings) as workspace:
        dataset = workspace.store.datasets.get(name)
    _report(dataset)
    about = dataset.summary
    names = dataset.feature_names or [str(d + 1) for d in range(about["n_features"])]
    table = Table(Column("feature", no_wrap=True), "min", "max", "mean")
    for row in zip(names, about["min"], about["max"], about["mean"], strict=True):
        table.add_row(row[0], *(f"{value:g}" for value in row[1:]))
    plain_console().print(table)
    print(f"SHA-256 {dataset.digest}")


def list_all(settings: Settings) -> None:
    """Prints one row for each stored dataset."""
    table = Table(Column("dataset", no_wrap=True), "points", "features", "classes", "stored (UTC)")
    with open_workspace(settings) as workspace:
        datasets, _ = workspace.store.datasets.page(limit=sys.maxsize)
    if not datasets:
        print("No datasets yet. Store one: separatrix datasets add points.csv")
    for dataset in datasets:
        about = dataset.summary
        created = datetime.fromtimestamp(dataset.created_at, UTC).strftime("%Y-%m-%d %H:%M")
        counts = (f"{about['n_points']:,}", f"{about['n_features']:,}", str(len(about["classes"])))
        table.add_row(dataset.name, *counts, created)
    if datasets:
        plain_console().print(table)
    print(f"Generators: {', '.join(DATASET_NAMES)}")


def remove(settings: Settings, *, name: str) -> None:
    """Deletes a dataset. Jobs and versions keep the points that they were trained on.

    Raises:
        DatasetReserved, DatasetNotFound: see `StoredDatasets.delete`.
    """
    with open_workspace(settings) as workspace:
        _datasets(settings, workspace).delete(name)
    print(f"Removed {name}.")


def _datasets(settings: Settings, workspace: Workspace) -> StoredDatasets:
    return StoredDatasets(workspace.store, workspace.files, max_bytes=settings.max_datasets_bytes)


def _report(dataset: StoredDataset) -> None:
    for line in dataset.summary["understood"]:
        print(line)
    for line in dataset.summary["warnings"]:
        print(f"warning: {line}")
