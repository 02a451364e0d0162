from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.boundary import grids
from models.boundary.grids import evaluate, padded_range
from models.inference import dispatch
from models.networks.layouts import layout
from models.networks.modules import build
from models.networks.plans import Plan, plan_of
from models.specs import GridSpec, InvalidInput, NetworkSpec, ResponseKind
from tests.models.boundary.test_certified_bounds import random_plan


def network_and_plan(features: int = 2, classes: int = 2) -> tuple[torch.nn.Module, Plan]:
    spec = NetworkSpec(hidden=(8,))
    network = build(spec, features, classes, seed=4)
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    return network, plan_of(layout(spec, features, classes), state)


def window(width: int, height: int) -> GridSpec:
    return GridSpec(x_min=-3.0, x_max=5.0, y_min=-1.0, y_max=2.0, width=width, height=height)


@pytest.mark.parametrize(("width", "height"), [(2, 2), (7, 301), (900, 11), (4_096, 3)])
def test_a_grid_evaluated_in_blocks_equals_one_forward_pass_over_its_points(width: int, height: int) -> None:
    network, plan = network_and_plan()
    grid = evaluate(plan, window(width, height), response="probability", class_index=1)

    xx, yy = np.meshgrid(np.linspace(-3, 5, width), np.linspace(-1, 2, height))
    mesh = torch.from_numpy(np.c_[xx.ravel(), yy.ravel()].astype(np.float32))
    with torch.no_grad():
        expected = torch.sigmoid(network(mesh)).numpy().reshape(height, width)

    np.testing.assert_allclose(grid.values_HW, expected, atol=1e-6)
    np.testing.assert_array_equal(grid.x_W, xx[0])
    np.testing.assert_array_equal(grid.y_H, yy[:, 0])
    assert grid.values_HW.dtype == np.float32


def test_labels_are_the_most_probable_classes_and_each_class_has_its_own_logit() -> None:
    network, plan = network_and_plan(classes=3)
    spec = window(20, 10)
    stacked = np.stack([evaluate(plan, spec, response="logit", class_index=k).values_HW for k in range(3)], axis=-1)
    label = evaluate(plan, spec, response="label", class_index=0).values_HW
    np.testing.assert_array_equal(label, stacked.argmax(axis=-1))
    assert label.dtype == np.int64

    xx, yy = np.meshgrid(np.linspace(-3, 5, 20), np.linspace(-1, 2, 10))
    with torch.no_grad():
        expected = network(torch.from_numpy(np.c_[xx.ravel(), yy.ravel()].astype(np.float32)))
    np.testing.assert_allclose(stacked.reshape(-1, 3), expected.numpy(), atol=1e-5)


def test_the_logit_of_the_first_of_two_classes_is_the_negative_of_the_second() -> None:
    _, plan = network_and_plan()
    first, second = (evaluate(plan, window(5, 5), response="logit", class_index=k).values_HW for k in (0, 1))
    np.testing.assert_array_equal(first, -second)


def test_the_default_window_is_the_range_of_the_data_with_a_margin_of_one() -> None:
    assert padded_range(-4.0, 3.0, is_generated=True) == (-5.0, 4.0)
    assert padded_range(-4.0, 4.0, is_generated=False) == (-5.0, 5.0)
    assert padded_range(1.0, 1.0 + 8e-6, is_generated=False) == pytest.approx((1.0 - 1e-6, 1.0 + 9e-6), rel=1e-12)
    assert padded_range(1e30, 1e30, is_generated=False) == (1e30 - 1e24, 1e30 + 1e24)
    assert padded_range(3.0, 3.0, is_generated=False) == (2.0, 4.0)


def test_a_grid_needs_a_network_of_two_features() -> None:
    _, plan = network_and_plan(features=3)
    with pytest.raises(InvalidInput, match="2 features"):
        evaluate(plan, window(2, 2), response="label", class_index=0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"x_min": 6.0}, "x_max"),
        ({"y_max": -1.0}, "y_max"),
        ({"x_max": float("inf")}, "x_max"),
        ({"y_min": float("nan")}, "y_min"),
        ({"width": 1}, "resolution"),
        ({"height": 0}, "resolution"),
        ({"width": 4_097}, "resolution"),
        ({"width": 2_000, "height": 2_000}, "resolution"),
    ],
)
def test_a_grid_out_of_bounds_is_refused_with_the_name_of_the_field(change: dict[str, float], field: str) -> None:
    good = {"x_min": -1.0, "x_max": 1.0, "y_min": -1.0, "y_max": 1.0, "width": 10, "height": 10}
    with pytest.raises(InvalidInput) as refused:
        GridSpec(**good | change)  # type: ignore[arg-type]
    assert refused.value.field == field


@pytest.mark.slow
@settings(max_examples=80)
@given(
    outputs=st.sampled_from([1, 3, 4, 20]),
    scale=st.sampled_from([0.3, 3.0, 300.0]),
    resolution=st.tuples(st.integers(2, 90), st.integers(2, 90)),
    response=st.sampled_from(get_args(ResponseKind)),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_one_evaluation_gives_the_response_and_the_outputs_of_two(
    outputs: int,
    scale: float,
    resolution: tuple[int, int],
    response: ResponseKind,
    seed: int,
    data: st.DataObject,
) -> None:
    plan = random_plan((2, 8, outputs), "tanh", scale=scale, seed=seed)
    assert_one_evaluation_gives_both(plan, window(*resolution), response, data.draw(st.integers(0, plan.classes - 1)))


@pytest.mark.parametrize("response", get_args(ResponseKind))
@pytest.mark.parametrize("outputs", [1, 4])
def test_one_evaluation_by_the_kernel_gives_the_response_and_the_outputs_of_two(
    response: ResponseKind, outputs: int
) -> None:
    plan = random_plan((2, 24, 24, outputs), "tanh", seed=2)
    spec = window(100, 60)
    assert dispatch.is_compiled(plan, spec.cells)
    assert_one_evaluation_gives_both(plan, spec, response, 1)


def assert_one_evaluation_gives_both(plan: Plan, spec: GridSpec, response: ResponseKind, class_index: int) -> None:
    grid, outputs = grids.evaluate_with_outputs(plan, spec, response=response, class_index=class_index)
    evaluated = evaluate(plan, spec, response=response, class_index=class_index)
    assert grid.values_HW.dtype == evaluated.values_HW.dtype
    np.testing.assert_array_equal(grid.values_HW, evaluated.values_HW)
    np.testing.assert_array_equal(outputs.values_OHW, grids.outputs(plan, spec).values_OHW)
    for axes in (grid, outputs):
        np.testing.assert_array_equal(axes.x_W, evaluated.x_W)
        np.testing.assert_array_equal(axes.y_H, evaluated.y_H)
