"""Measures rows in turns, and prints tables of their medians."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track
from rich.table import Table

REPETITIONS = 7
console = Console()


def seconds(work: Callable[[], object]) -> float:
    """Duration of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Row:
    """Work to measure, and how many units (epochs, for example) one call of it does."""

    work: Callable[[], object]
    units: int = 1


def medians(title: str, rows: dict[str, Row], *, repetitions: int = REPETITIONS) -> dict[str, float]:
    """Seconds per unit, by row. Each row runs once to warm up, then all take turns, so that drift affects all alike."""
    for row in rows.values():
        row.work()
    taken: dict[str, list[float]] = {name: [] for name in rows}
    for _ in track(range(repetitions), description=title, console=console, transient=True):
        for name, row in rows.items():
            taken[name].append(seconds(row.work) / row.units)
    return {name: statistics.median(times) for name, times in taken.items()}


def table(title: str, rows: dict[str, Row], *, repetitions: int = REPETITIONS) -> dict[str, float]:
    """Measures the rows, and prints their medians and how many times as fast as the first each is."""
    found = medians(title, rows, repetitions=repetitions)
    reference = next(iter(found.values()))
    shown = Table(title=title, title_justify="left")
    for heading in ("", "median", "times as fast as the first"):
        shown.add_column(heading, justify="left" if not heading else "right")
    for name, median in found.items():
        shown.add_row(name, _readable(median), f"{reference / median:.2f}")
    console.print(shown)
    return found


def _readable(duration_s: float) -> str:
    return f"{duration_s * 1e6:,.2f} us" if duration_s < 1e-3 else f"{duration_s * 1e3:,.1f} ms"
