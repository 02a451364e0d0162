"""Draws docs/epoch-cost.png: the cost of an epoch here, in eager torch, and at the speed of matrix products.

python -m benchmarks.epoch_cost docs/epoch-cost.png
"""

import os
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from benchmarks.tables import Row, console, medians
from benchmarks.training import EagerTorch, Ours
from models.networks.layouts import layout
from models.specs import NetworkSpec

HIDDEN: list[tuple[int, ...]] = [(4,), (8, 8), (32, 32), (128, 128), (512, 512)]
POINTS = [50, 400, 3_000, 20_000, 100_000]
MAX_WORK = 10**10
"""Largest points x weights of a measured epoch: some seconds."""

SECONDS = 0.2
"""About how long each measurement takes; there are three of each."""


def measure(hidden: tuple[int, ...], n: int) -> tuple[float, float]:
    """Seconds per epoch, in eager torch and here."""
    rows = {}
    for name, one in (("torch", EagerTorch(hidden, n)), ("ours", Ours(hidden, n))):
        one.epochs(1)  # loads what is loaded on first use
        count = 4  # enough that work done once per training matters little
        while True:
            began = time.perf_counter()
            one.epochs(count)
            taken = time.perf_counter() - began
            if taken > SECONDS / 4:
                break
            count *= 4
        rows[name] = Row(lambda one=one, count=count: one.epochs(count), count)  # type: ignore[misc]
    found = medians(f"{hidden} on {n:,}", rows, repetitions=3)
    return found["torch"], found["ours"]


def products_per_second() -> float:
    """Multiply-adds per second of one core, in a matrix product that fits into its cache."""
    a = np.ones((384, 384), np.float32)
    out = np.empty_like(a)
    best = min(_seconds(lambda: np.matmul(a, a, out=out)) for _ in range(50))
    return 384**3 / best


def _seconds(work) -> float:  # type: ignore[no-untyped-def]
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(out: Path) -> None:
    """Measures on one core, and draws the figure."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    torch.set_num_threads(1)
    figure, axes = plt.subplots(figsize=(9, 6.5), layout="constrained")
    for color, hidden in zip(plt.cm.viridis(np.linspace(0, 0.85, len(HIDDEN))), HIDDEN, strict=True):  # type: ignore[attr-defined]
        weights = layout(NetworkSpec(hidden=hidden), 2, 2).weights
        counts = [n for n in POINTS if n * weights <= MAX_WORK]
        taken = np.array([measure(hidden, n) for n in counts]) * 1e6
        work = [n * weights for n in counts]
        name = "-".join(map(str, (2, *hidden, 1)))
        axes.plot(work, taken[:, 1], "o-", color=color, label=f"{name}, {weights:,} weights")
        axes.plot(work, taken[:, 0], "x:", color=color, alpha=0.6)
        for n, (torch_us, ours_us) in zip(counts, taken, strict=True):
            console.print(f"{name} on {n:,} points: eager torch {torch_us:,.1f} us, ours {ours_us:,.2f} us")
    limit = products_per_second()
    edges = np.array([50 * 17, MAX_WORK], float)
    # forward, backward and gradient: three multiplications for each point and weight
    axes.plot(edges, 3 * edges / limit * 1e6, "k--", linewidth=1, label=f"limit: 3 products at {limit / 1e9:.0f} G/s")
    axes.plot([], [], "x:", color="gray", label="eager torch, the tutorial's loop")
    axes.set(xscale="log", yscale="log", xlabel="points x weights", ylabel="microseconds per epoch")
    axes.set_title("What an epoch of training costs on one core")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
