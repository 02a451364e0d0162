"""The generated function agrees with NumPy, which other tests compare with torch."""

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest

from models.inference import numpy_forward, scalar_codegen
from models.networks.plans import Plan
from models.specs import Activation


def random_plan(seed: int, widths: tuple[int, ...], activation: Activation, *, has_skip: bool, scale: float) -> Plan:
    sizes = [*pairwise(widths), *([(widths[0], widths[-1])] if has_skip else [])]
    count = sum(outputs * (inputs + 1) for inputs, outputs in sizes)
    parameters = np.random.default_rng(seed).normal(0, scale, count).astype(np.float32)
    return Plan(widths, (*[activation] * (len(widths) - 2), "identity"), has_skip, parameters)


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("has_skip", [False, True])
@pytest.mark.parametrize("widths", [(1, 1), (2, 1), (2, 4, 1), (3, 4, 3, 4), (2, 3, 2, 2, 1)])
def test_the_generated_function_gives_the_answers_of_numpy(
    widths: tuple[int, ...], activation: Activation, has_skip: bool
) -> None:
    for seed, scale in ((0, 0.5), (1, 2.0)):
        plan = random_plan(seed, widths, activation, has_skip=has_skip, scale=scale)
        points = np.random.default_rng(seed).uniform(-3, 3, (2, widths[0])).astype(np.float32)
        answer = scalar_codegen.function(plan)
        assert answer is not None
        found = [answer(*x_D) for x_D in points.tolist()]
        expected = numpy_forward.probabilities(numpy_forward.logits(plan, points))
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-6)


def test_rare_classes_keep_their_small_probabilities() -> None:
    answer = scalar_codegen.function(
        Plan((1, 1), ("identity",), has_skip=False, parameters=np.array([1, 0], np.float32))
    )
    assert answer is not None
    for x in (-40.0, 40.0):
        np.testing.assert_allclose(min(answer(x)), np.exp(-40.0), rtol=1e-12)


@pytest.mark.parametrize("point", [[1e7, 0.0], [0.0, float("inf")], [float("nan"), 0.0], [0.0, -float("inf")]])
def test_points_that_may_overflow_float32_raise_overflow_error(point: list[float]) -> None:
    answer = scalar_codegen.function(random_plan(0, (2, 4, 1), "tanh", has_skip=False, scale=1))
    assert answer is not None
    with pytest.raises(OverflowError):
        answer(*point)


def test_a_wrong_number_of_coordinates_raises_type_error() -> None:
    answer = scalar_codegen.function(random_plan(0, (2, 4, 1), "tanh", has_skip=False, scale=1))
    assert answer is not None
    for point in ([1.0], [1.0, 2.0, 3.0], []):
        with pytest.raises(TypeError):
            answer(*point)


def test_outputs_that_may_overflow_raise_overflow_error_and_large_plans_have_no_function() -> None:
    steep = scalar_codegen.function(random_plan(0, (2, 4, 1), "relu", has_skip=False, scale=1e6))
    assert steep is not None
    with pytest.raises(OverflowError):
        steep(100.0, 100.0)
    silu = scalar_codegen.function(random_plan(0, (2, 4, 1), "silu", has_skip=False, scale=1e4))
    assert silu is not None
    with pytest.raises(OverflowError):
        silu(100.0, 100.0)
    assert scalar_codegen.function(random_plan(0, (2, 64, 1), "relu", has_skip=False, scale=1)) is None
