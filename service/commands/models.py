"""`separatrix models`: a table of all versions."""

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Column, Table

from service.commands.workspace import open_workspace
from service.registry.registry import LoadedVersion, Version
from service.settings import Settings


def run(settings: Settings) -> None:
    """Prints one row for each version of each model."""
    with open_workspace(settings) as workspace:
        models = workspace.registry.models()
    if not models:
        print("No models yet. Train one: separatrix train --dataset flower")
        return
    table = Table(Column("model", no_wrap=True), "version", "network", "data", "training accuracy", "created (UTC)")
    for name in sorted(models):
        for version in models[name].values():
            table.add_row(*_row(version))
    Console().print(table)


def _row(version: Version) -> list[str]:
    published = version.published
    created = datetime.fromtimestamp(published.created_at, UTC).strftime("%Y-%m-%d %H:%M")
    if not isinstance(version, LoadedVersion):
        return [published.model, str(published.version), "broken", version.reason, "", created]
    card = version.card
    widths = "-".join(str(width) for width in version.plan.widths)
    data = card.data.get("dataset") or card.data.get("stored") or f"{card.data['n_points']} points"
    accuracy = f"{card.metrics['training_accuracy']:.1%}" if card.metrics else ""
    return [published.model, str(published.version), f"{card.network.kind} {widths}", data, accuracy, created]
