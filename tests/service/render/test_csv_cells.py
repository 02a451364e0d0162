import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.boundary.grids import Grid
from service.inference.grids import BoundaryGrid
from service.render import csv_cells


def grid(width: int, height: int) -> BoundaryGrid:
    version: Any = SimpleNamespace(card=SimpleNamespace(classes=("no", "yes")))
    values_HW = np.random.default_rng(0).normal(size=(height, width)).astype(np.float32)
    cells = Grid(np.linspace(-1 / 3, 2 / 3, width), np.linspace(-1e-3, 7, height), values_HW)
    return BoundaryGrid(SimpleNamespace(version=version), cells, "logit", 1)  # type: ignore[arg-type]


def test_the_smallest_and_the_largest_numbers_read_back_as_they_are() -> None:
    limits = np.finfo(np.float32)
    boundary = grid(4, 2)
    boundary.grid.values_HW[:] = [[limits.max, limits.min, limits.tiny, limits.smallest_subnormal], [0, -0.0, 1, 1 / 3]]
    lines = csv_cells.encode(boundary).decode().splitlines()[1:]
    x_N, y_N, value_N = np.array([line.split(",") for line in lines], dtype=object).T
    np.testing.assert_array_equal(value_N.astype(np.float32), boundary.grid.values_HW.ravel())
    np.testing.assert_array_equal(x_N[:4].astype(np.float64), boundary.grid.x_W)
    np.testing.assert_array_equal(y_N[::4].astype(np.float64), boundary.grid.y_H)


@pytest.mark.slow
def test_encoding_takes_little_more_memory_than_the_result() -> None:
    boundary = grid(512, 512)
    csv_cells.encode(boundary)
    tracemalloc.start()
    try:
        size = len(csv_cells.encode(boundary))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 512 * 512 * 30
    assert peak < 1.3 * size + 1_000_000
