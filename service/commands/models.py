"""`separatrix models`: a table of all versions."""

from datetime import UTC, datetime

from rich.table import Column, Table

from service.commands.terminal import plain_console
from service.commands.workspace import open_workspace
from service.records import PublishedVersion
from service.registry.registry import Registry
from service.settings import Settings


def run(settings: Settings) -> None:
    """Prints one row for each version of each model."""
    with open_workspace(settings) as workspace:
        registry = workspace.registry
        models = registry.models()
        if not models:
            print("No models yet. Train one: separatrix train --dataset flower")
            return
        table = Table(
            Column("model", no_wrap=True), "version", "aliases", "network", "data", "training accuracy", "created (UTC)"
        )
        for name in sorted(models):
            for version in models[name].versions.values():
                aliases = ", ".join(models[name].aliases_of(version))
                table.add_row(name, str(version.version), aliases, *_about(version, registry))
    plain_console().print(table)


def _about(version: PublishedVersion, registry: Registry) -> list[str]:
    created = datetime.fromtimestamp(version.created_at, UTC).strftime("%Y-%m-%d %H:%M")
    summary, broken = registry.summary(version), registry.broken(version)
    if summary is None:
        return ["broken", broken.reason if broken else "", "", created]
    widths = "-".join(str(width) for width in summary["widths"])
    if summary.get("networks", 1) > 1:
        widths = f"{summary['networks']} x {widths}"
    points = "imported" if summary["n_points"] is None else f"{summary['n_points']} points"
    data = summary["dataset"] or points
    accuracy = f"{summary['metrics']['training_accuracy']:.1%}" if summary["metrics"] else ""
    return [f"{summary['kind']} {widths}", data, accuracy, created]
