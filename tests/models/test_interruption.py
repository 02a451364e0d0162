from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from models import interruption
from models.boundary import embeddings, grids
from models.boundary.certified import nearest, quadtree
from models.inference import dispatch
from models.specs import GridSpec
from tests.models.boundary.test_certified_bounds import random_plan

WIDE = random_plan((2, 96, 96, 1), "tanh", seed=1)
SMALL = random_plan((2, 4, 1), "tanh", scale=3.0, seed=1)


def window(resolution: int) -> GridSpec:
    return GridSpec(x_min=-2.0, x_max=2.0, y_min=-2.0, y_max=2.0, width=resolution, height=resolution)


WINDOW = window(400)


class Enough(Exception):
    """Nobody needs the result."""


def evaluate() -> object:
    return grids.evaluate(WIDE, WINDOW, response="probability", class_index=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "compute",
    [
        evaluate,
        lambda: grids.outputs(WIDE, WINDOW),
        lambda: grids.outputs(SMALL, window(100)),
        lambda: embeddings.embed(WIDE, WINDOW, 0, "principal"),
        lambda: quadtree.labels(SMALL, grids.axes_of(WINDOW)),
        lambda: nearest.nearest(SMALL, np.zeros((4, 2)), radius=2.0),
        lambda: dispatch.probabilities(WIDE, np.zeros((100_000, 2), np.float32)),
        lambda: dispatch.logits(SMALL, np.zeros((20_000, 2), np.float32)),
    ],
)
def test_a_long_computation_stops_before_its_next_block(compute: Callable[[], object]) -> None:
    blocks = 0

    def count() -> None:
        nonlocal blocks
        blocks += 1

    with interruption.checking(count):
        compute()
    assert blocks >= 2

    def stop_at_the_second() -> None:
        count()
        if blocks == 2:
            raise Enough

    blocks = 0
    with interruption.checking(stop_at_the_second), pytest.raises(Enough):
        compute()
    assert blocks == 2
    compute()  # without a check, nothing stops it
    assert blocks == 2


def test_a_grid_in_blocks_equals_one_row_at_a_time() -> None:
    whole = grids.evaluate(WIDE, WINDOW, response="logit", class_index=1).values_HW
    y_H = grids.axes_of(WINDOW).y_H
    assert y_H is not None
    for h in (0, 1, 123, 399):
        two_rows = replace(WINDOW, y_min=float(y_H[h]), y_max=float(y_H[h]) + 1, height=2)
        one = grids.evaluate(WIDE, two_rows, response="logit", class_index=1).values_HW[0]
        np.testing.assert_allclose(one, whole[h], rtol=1e-5)


def test_a_block_is_at_least_one_item_and_at_most_all() -> None:
    assert interruption.block_of(10, 10**12) == 1
    assert interruption.block_of(10, 1) == 10
    assert interruption.block_of(10**6, 3_000) == interruption.BLOCK_WORK // 3_000
