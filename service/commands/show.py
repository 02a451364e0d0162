"""`separatrix show`: a summary of a version."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.table import Table

from models.checkpoints.cards import Card
from models.datasets import FloatArray
from models.exports.exported import Exported
from models.networks import printing
from models.networks.plans import members_of
from models.networks.printing import Part
from models.specs import InvalidInput
from models.wording import listed
from service.commands.terminal import plain_console
from service.commands.workspace import open_workspace
from service.records import Reference
from service.registry.registry import LoadedVersion
from service.settings import Settings

BINS = 24
"""Bars of the histogram of a layer."""


_BARS = " ▁▂▃▄▅▆▇█"


def run(settings: Settings, *, model: str, version: Reference, member: int = 0) -> None:
    """Prints what a version is, how it was trained, how good it is, and its layers.

    Of an ensemble it prints the layers of one network, the `member`, counted from 0.

    Raises:
        InvalidInput: the version has no such network.
        ServiceError: there is no such model or version, or the database is unavailable.
        OSError: the data folder cannot be read.
    """
    with open_workspace(settings) as workspace:
        found = workspace.registry.resolve(model, version)
    networks = len(found.exported.members)
    if member >= networks:
        raise InvalidInput("member", f"must be less than {networks}, the number of networks of this version")
    console = plain_console()
    console.print(f"{model}, version {found.published.version}", style="bold")
    facts = Table.grid(padding=(0, 2))
    for name, text in _facts(found):
        facts.add_row(name, text)
    console.print(facts)
    for table in (_figures(found.card), _layers(found.exported, member)):
        if table.row_count:
            console.print(table)
    for warning in found.card.warnings:
        console.print(f"Warning: {warning}", style="yellow")


def _facts(version: LoadedVersion) -> Iterator[tuple[str, str]]:
    card, plan = version.card, version.plan
    members = members_of(plan)
    widths = "-".join(map(str, members[0].widths))
    count = f"{len(members)} x " if len(members) > 1 else ""
    yield "network", f"{count}{card.network.kind} {widths}, {plan.size:,} parameters"
    yield "features", listed(card.feature_names) if card.feature_names else f"{card.features}, without names"
    if card.network.inputs is not None:
        yield "inputs", listed(card.network.inputs)
    yield "classes", listed(card.classes)
    if card.data:
        yield "data", _data(card.data)
    if card.imported:
        yield "imported", f"{card.imported['format']} file"
    if card.training:
        rate = "" if card.training.learning_rate is None else f", learning rate {card.training.learning_rate:g}"
        yield "training", f"{card.training.optimizer}{rate}, {card.epochs:,} epochs ({card.stop_reason})"
    yield "published", datetime.fromtimestamp(version.published.created_at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _data(data: Mapping[str, Any]) -> str:
    name = data.get("dataset") or data.get("stored") or "points of the client"
    count = data.get("n", data.get("n_points"))
    return f"{name}, {count:,} points" if count else f"{name}"


def _figures(card: Card) -> Table:
    """Accuracy and log loss of the points of each kind."""
    table = Table("points", "accuracy", "log loss", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for kind, figures in (card.evaluation or {}).items():
        accuracy, loss = figures.get("accuracy"), figures.get("log_loss")
        shown = ["" if accuracy is None else f"{accuracy:.1%}", "" if loss is None else f"{loss:.4g}"]
        table.add_row(kind.replace("_", "-"), *shown)
    return table


def _layers(exported: Exported, member: int) -> Table:
    title = "layer" if len(exported.members) == 1 else f"network {member}"
    table = Table(
        title, "", "weight", "least", "greatest", "histogram", box=None, padding=(0, 2, 0, 0), header_style="dim"
    )
    state = exported.state_of_member(member)
    for part in printing.parts(exported.layout):
        table.add_row(*_row(part, state))
    return table


def _row(part: Part, state: Mapping[str, FloatArray]) -> list[str]:
    if part.linear is None:
        return [part.name, part.kind]
    weight = state[part.linear.weight]
    shape = " x ".join(map(str, weight.shape))
    return [part.name, part.kind, shape, f"{weight.min():.4g}", f"{weight.max():.4g}", sparkline(weight)]


def sparkline(weight: FloatArray) -> str:
    """The histogram of an array between its least and its greatest value. A bar that is not empty is visible."""
    count_B, _ = np.histogram(weight.astype(np.float64), BINS)
    height_B = np.ceil(count_B / count_B.max() * (len(_BARS) - 1)).astype(int)
    return "".join(_BARS[height] for height in height_B)
